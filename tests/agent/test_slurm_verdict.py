"""What is made of Slurm's word about a job, and how a run is put to Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.backends import BackendRefused, Exit, NodeShare, Reason, RunOrder
from agent.backends.judge import judged, says
from agent.backends.layout import TOLD_TO_END
from agent.backends.rundir import RunDirectory
from agent.slurm.command import NodePlace, SlurmSettings, batch_script, sbatch_arguments
from agent.slurm.from_text import SlurmJob, parse_jobs
from agent.slurm.verdict import SlurmWord, words_of
from agent.supervisor.outcomes import outcome_of

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


def word_of(state: str) -> SlurmWord:
    return SlurmWord(SlurmJob(1, NAME, state))


TOLD = ended(Reason.STOPPED, detail=TOLD_TO_END)
KILLED = ended(Reason.EXITED, 137, 9)
RANK_FIRST = ended(Reason.EXITED, 143, 15)  # Slurm's SIGTERM came to the rank before its fence
MISSING = ended(Reason.UNKNOWN, 137, 9, f"{says('Slurm')}it")


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [
        (KILLED, "OUT_OF_MEMORY", Reason.OUT_OF_MEMORY),
        (RANK_FIRST, "CANCELLED", Reason.STOPPED),
        (RANK_FIRST, "FAILED", Reason.EXITED),
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
    assert judged(told, "Slurm", word_of(state), "").reason is reason


@pytest.mark.parametrize(
    ("state", "code"),
    [("PREEMPTED", "SitePreempted"), ("CANCELLED", "SitePaused"), ("", "SitePaused")],
)
def test_the_site_stopping_it_is_no_fault_of_the_user(state: str, code: str) -> None:
    stopped = judged(TOLD, "Slurm", word_of(state) if state else None, "")
    outcome, failure = outcome_of(stopped, "")
    assert (outcome, stopped.detail) == ("preempted", code)
    assert failure is not None
    assert (failure.category, failure.code) == ("site", code)


def test_our_own_wish_is_the_reason() -> None:
    word = word_of("CANCELLED")
    for told in (TOLD, MISSING, ended(Reason.LAUNCH_FAILED)):
        stopped = judged(told, "Slurm", word, "Preempted")
        assert (stopped.reason, stopped.detail) == (Reason.STOPPED, "Preempted")
    assert judged(ended(Reason.EXITED), "Slurm", word, "Preempted").succeeded


def test_words_by_name() -> None:
    said = f"3|PENDING|Priority||N/A|N/A|{NAME}\n7|RUNNING|None|n1|N/A|NONE|theirs\n"
    words = words_of(parse_jobs(said + f"9|RUNNING|None|n1|N/A|NONE|{NAME}\n"))
    assert {name: word.job.id for name, word in words.items()} == {NAME: 9}


def test_a_lost_node_is_no_proof() -> None:
    assert word_of("NODE_FAIL").is_over
    assert not word_of("NODE_FAIL").is_proof
    assert word_of("COMPLETED").is_proof


def test_a_state_of_tomorrow_is_no_proof_of_an_end() -> None:
    assert not word_of("EVAPORATED").is_over


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


@pytest.mark.parametrize(
    ("limit_seconds", "allowed_seconds", "minutes"),
    [
        (3600.0, 0.0, "62"),
        (3600.0, 3600.0, "60"),  # the margin would be more than is allowed
        (3600.0, 86400.0, "62"),
        (0.0, 86400.0, "1440"),
        (0.0, 0.0, "UNLIMITED"),
    ],
)
def test_the_time_limit(limit_seconds: float, allowed_seconds: float, minutes: str) -> None:
    place = NodePlace("p", "npu", seconds_max=allowed_seconds)
    wish = order("n1", time_limit_seconds=limit_seconds, grace_seconds=30.0)
    assert f"--time={minutes}" in sbatch_arguments(wish, RUN, SlurmSettings({"n1": place}))


def test_a_gang_of_two_partitions_is_refused() -> None:
    for nodes in (("n1", "d1"), ("n1", "gone")):
        with pytest.raises(BackendRefused) as refused:
            sbatch_arguments(order(*nodes), RUN, SETTINGS)
        assert refused.value.code == "BadShape"


def test_the_script_quotes_its_places() -> None:
    script = batch_script(order("n1"), Path("/a b/état"), Path("/a b/tools"), SETTINGS)
    assert script.startswith("#!/bin/sh\nexec python3 -I -S ")  # one node needs no step
    assert "'/a b/tools/node.py' '/a b/état' suan-j1-1" in script


def test_a_gang_is_a_step_with_one_task_on_each_node() -> None:
    script = batch_script(order("n1", "n2"), Path("/s"), Path("/s/tools"), SETTINGS)
    assert script.startswith("#!/bin/sh\nexec srun --ntasks-per-node=1 --cpus-per-task=8 ")
