"""What is made of Slurm's word about a job, and how a run is put to Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.backends import BackendRefused, Exit, NodeShare, Reason, RunOrder
from agent.backends.rundir import RunDirectory
from agent.backends.slurm.command import NodePlace, SlurmSettings, batch_script, sbatch_arguments
from agent.backends.slurm.layout import TOLD_TO_END
from agent.backends.slurm.verdict import SLURM_SAYS, JobWord, judged, parse_words

NAME = "suan-j1-1"
RUN = RunDirectory(Path("/shared/runs") / NAME)
SETTINGS = SlurmSettings(
    {
        "n1": NodePlace("ascend", "npu:910b", 4, 3888),
        "n2": NodePlace("ascend", "npu:910b", 4, 3888),
        "d1": NodePlace("hygon", "dcu"),
    },
    accounts={"tenant": "lab"},
    account="guests",
)


def ended(reason: Reason, code: int = 0, signal: int = 0, detail: str = "") -> Exit:
    return Exit(NAME, code, signal, reason, 1.0, 2.0, detail=detail)


def order(*nodes: str, **fields: Any) -> RunOrder:
    shares = tuple(NodeShare(node, node, (0, 1)) for node in nodes)
    return RunOrder(NAME, "j1", 1, "s", shares, 2, "true", **fields)


TOLD = ended(Reason.STOPPED, detail=TOLD_TO_END)
KILLED = ended(Reason.EXITED, 137, 9)
MISSING = ended(Reason.UNKNOWN, 137, 9, f"{SLURM_SAYS}it")


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [
        (KILLED, "OUT_OF_MEMORY", Reason.OUT_OF_MEMORY),
        (TOLD, "TIMEOUT", Reason.TIME_LIMIT),
        (TOLD, "PREEMPTED", Reason.STOPPED),
        (TOLD, "CANCELLED", Reason.STOPPED),
        (MISSING, "NODE_FAIL", Reason.MACHINE_REBOOTED),
        (MISSING, "FAILED", Reason.UNKNOWN),
        (KILLED, "FAILED", Reason.EXITED),
        (ended(Reason.EXITED, 3), "TIMEOUT", Reason.EXITED),
        (ended(Reason.EXITED), "CANCELLED", Reason.EXITED),
        (ended(Reason.TIME_LIMIT), "CANCELLED", Reason.TIME_LIMIT),
        (ended(Reason.LEASE_ENDED), "CANCELLED", Reason.LEASE_ENDED),
    ],
)
def test_slurms_word(told: Exit, state: str, reason: Reason) -> None:
    assert judged(told, JobWord("1", state, ""), "").reason is reason


def test_the_site_stopping_it_is_no_fault_of_the_user() -> None:
    for word in (JobWord("1", "PREEMPTED", ""), JobWord("1", "CANCELLED", ""), None):
        assert judged(TOLD, word, "").detail == "SitePaused"


def test_our_own_wish_is_the_reason() -> None:
    word = JobWord("1", "CANCELLED", "")
    for told in (TOLD, MISSING, ended(Reason.LAUNCH_FAILED)):
        stopped = judged(told, word, "Preempted")
        assert (stopped.reason, stopped.detail) == (Reason.STOPPED, "Preempted")
    assert judged(ended(Reason.EXITED), word, "Preempted").succeeded


def test_words_by_name() -> None:
    words = parse_words(f"3|PENDING|Priority|{NAME}\n7|NODE_FAIL|None|a|b\n9|RUNNING|None|{NAME}\n")
    assert words[NAME] == JobWord("9", "RUNNING", "None")
    assert words["a|b"].is_over
    assert not words["a|b"].is_proof
    with pytest.raises(ValueError, match="squeue"):
        parse_words("slurm_load_jobs error: Unable to contact slurm controller")


def test_a_state_of_tomorrow_is_no_proof_of_an_end() -> None:
    assert not JobWord("1", "EVAPORATED", "").is_over


def test_the_options_of_sbatch() -> None:
    wish = order("n1", "n2", tenant="tenant", time_limit_seconds=3600.0, grace_seconds=30.0)
    options = sbatch_arguments(wish, RUN, SETTINGS)
    for option in (
        f"--job-name={NAME}",
        "--partition=ascend",
        "--nodes=2-2",
        "--ntasks-per-node=1",
        "--nodelist=n1,n2",
        "--gres=npu:910b:2",
        "--cpus-per-task=8",
        "--mem=7776M",
        "--time=62",
        "--account=lab",
        "--no-requeue",
    ):
        assert option in options
    assert "--account=guests" in sbatch_arguments(order("d1", tenant="x"), RUN, SETTINGS)
    assert not [o for o in sbatch_arguments(order("d1"), RUN, SETTINGS) if "--time" in o]


def test_a_gang_of_two_partitions_is_refused() -> None:
    for nodes in (("n1", "d1"), ("n1", "gone")):
        with pytest.raises(BackendRefused) as refused:
            sbatch_arguments(order(*nodes), RUN, SETTINGS)
        assert refused.value.code == "BadShape"


def test_the_script_quotes_its_places() -> None:
    script = batch_script(order("n1"), Path("/a b/état"), Path("/a b/tools"), SETTINGS)
    assert script.startswith("#!/bin/sh\nexec srun ")
    assert "'/a b/tools/node.py' '/a b/état' suan-j1-1" in script
