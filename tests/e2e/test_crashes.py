"""kill -9 at any point: nothing is lost, nothing is started twice. The jobs are witnesses.

SUAN_CRASH_SEED chooses another schedule of kills; a failure prints the seed.
"""

from __future__ import annotations

import os
import random
import re
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from campaign import (
    CARDS,
    MODELS,
    SETTLE_SECONDS,
    SITES,
    Load,
    at_work,
    carry_out,
    require_once,
    schedule,
    settle,
    wishes,
)
from witness import SIGN, WORK, Execution, Witness, faults, processes_left, run_again

from bench.federation import Federation, wait_until
from suan.models import Attempt, AttemptState, Job, JobState

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("SUAN_CRASH_SEED", "6"))
KILLS = 3  # each costs a start of Ray
DIED = 137  # by a crash point, as if by SIGKILL
BROKER_POINTS = ("broker.decided.before_commit", "broker.committed.before_release")
AGENT_POINTS = (
    "agent.accepted.before_submit",
    "agent.submitted.before_started",
    "agent.reported.before_send",
)
# The first attempt waits for a child that would outlive it.
CHILD_ALONE = """
if [ "$SUAN_ATTEMPT" = 1 ]; then
    while :; do sign alive; sleep 0.05; done &
    wait
fi
"""


@pytest.mark.slow
@pytest.mark.timeout(400)  # of which a quiet machine needs the sixth part
def test_kills_under_load_on_ray(folder: Path) -> None:
    """The local runtime has its own campaign, with more than kills: `tests.chaos`."""
    print(f"SUAN_CRASH_SEED={SEED}")
    witness = Witness(folder / "witness")
    with at_work(folder, *SITES, runtime="ray") as federation:
        load = Load(federation, wishes(witness, random.Random(SEED)))
        load.start()
        carry_out(federation, schedule(random.Random(SEED), KILLS))
        ids = load.end()
        assert len(ids) > KILLS
        require_once(federation, witness, ids)


# --- named points -----------------------------------------------------------------


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Shared by the tests from here on; each leaves it running."""
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        with at_work(Path(name), *SITES) as made:
            yield made


@pytest.mark.parametrize("point", BROKER_POINTS)
def test_the_broker_may_die_at(point: str, federation: Federation, witness: Witness) -> None:
    load = Load(federation, wishes(witness, random.Random(SEED)))
    load.start()
    federation.broker.kill()
    for count in (1, 30):
        federation.launch_broker(SUAN_CRASH_POINT=f"{point}:{count}")
        assert federation.broker.wait(SETTLE_SECONDS) == DIED
    federation.launch_broker()
    require_once(federation, witness, load.end())


@pytest.mark.parametrize("point", AGENT_POINTS)
def test_an_agent_may_die_at(point: str, federation: Federation, witness: Witness) -> None:
    agent, model = federation.agents["guiyang"], MODELS["guiyang"]
    load = Load(federation, iter(lambda: [witness.spec(model, seconds=1.5)], None))
    load.start()
    agent.kill()
    for count in (1, 4):
        agent.start(SUAN_CRASH_POINT=f"{point}:{count}")
        assert agent.wait(SETTLE_SECONDS) == DIED
    agent.start()
    jobs = require_once(federation, witness, load.end())
    if point == "agent.accepted.before_submit":  # what was not begun is given back at once
        assert any(job.attempts[-1].epoch > 1 for job in jobs.values())


def test_every_crash_point_has_its_test() -> None:
    files = [path for room in ("broker", "agent") for path in (ROOT / room).rglob("*.py")]
    named = [re.findall(r'crash_point\("([^"]+)"\)', path.read_text()) for path in files]
    found = {name for names in named for name in names}
    elsewhere = {name for name in found if name.startswith("etcd.")}  # test_store_etcd_faults.py
    assert found - elsewhere == {*BROKER_POINTS, *AGENT_POINTS}
    tested = (ROOT / "tests/broker/test_store_etcd_faults.py").read_text()
    assert all(f'"{name}:' in tested for name in elsewhere)


# --- stopped agents, killed fences --------------------------------------------------


def test_a_stopped_agent_costs_nothing(federation: Federation, witness: Witness) -> None:
    """Its jobs go on beside it; nothing new is sent there until it speaks again."""
    agent, model = federation.agents["shenzhen"], MODELS["shenzhen"]
    with federation.client() as client, federation.client(federation.admin) as admin:
        running = client.submit([witness.spec(model, seconds=1.0) for _ in range(4)])
        wait_until(lambda: len(witness.executions()) == 4, "the jobs to run")
        agent.send(signal.SIGSTOP)
        wait_until(lambda: admin.site("shenzhen").state == "suspect", "the silence to be noticed")
        (waiting,) = client.submit(witness.spec(model, seconds=0.1))
        told = client.explain(waiting.id).explanation
        assert "SiteSuspect" in {rejection.code for rejection in told.rejections}
        wait_until(lambda: all(each.stopped for each in witness.executions()), "the jobs to end")
        agent.send(signal.SIGCONT)
    require_once(federation, witness, [item.id for item in (*running, waiting)])


@pytest.mark.parametrize("agent_too", [False, True])
def test_a_killed_fence(agent_too: bool, federation: Federation, witness: Witness) -> None:
    """Its run dies with it, down to the children, and only then is the job tried again."""
    agent = federation.agents["guiyang"]
    wish = witness.spec(MODELS["guiyang"], seconds=0.2, script=SIGN + CHILD_ALONE + WORK)
    with federation.client() as client:
        (item,) = client.submit(wish)
    (first,) = wait_until(witness.executions, "the job to run")
    wait_until(lambda: witness.executions()[0].seen > first.started, "its child to live")
    if agent_too:
        agent.kill()
    os.kill(first.fence_pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{first.pid}").exists(), "the rank to die")
    if agent_too:
        # The fence's keeper ends the child, agent or not.
        wait_until(lambda: not processes_left(federation.folder), "its child to die")
        agent.start()
    jobs = settle(federation, [item.id])
    executions = witness.executions()
    assert faults(executions, jobs, CARDS) == []
    assert run_again(executions) == {item.id}
    lost, succeeded = jobs[item.id].attempts
    assert (lost.outcome, succeeded.outcome) == ("lost", "succeeded")
    assert lost.failure is not None and lost.failure.category == "site"


# --- the judge itself ---------------------------------------------------------------


def attempt(epoch: int, outcome: str = "succeeded", num_nodes: int = 1) -> Attempt:
    return Attempt(epoch, AttemptState.ENDED, "a", outcome=outcome, num_nodes=num_nodes)


LOST_ONCE = Job("1", JobState.SUCCEEDED, attempts=(attempt(1, "lost"), attempt(2)))
GANG = Job("1", JobState.SUCCEEDED, attempts=(attempt(1, num_nodes=2),))
KILLED = Execution("1", 1, 0, 100, 99, "a", 4, started=1.0, seen=2.0, stopped=False)
DONE = replace(KILLED, epoch=2, pid=101, started=2.0, seen=3.0, stopped=True)
RANK = replace(DONE, epoch=1)
BESIDE = replace(DONE, job_id="2", epoch=1)


@pytest.mark.parametrize(
    ("jobs", "executions", "fault"),
    [
        ([LOST_ONCE], [KILLED, DONE], ""),
        ([GANG], [RANK, replace(RANK, rank=1)], ""),
        ([LOST_ONCE], [KILLED, replace(DONE, started=1.9)], "began while attempt 1 lived"),
        ([LOST_ONCE], [KILLED, DONE, replace(DONE, pid=7)], "was started twice"),
        ([LOST_ONCE], [replace(KILLED, stopped=True), DONE], "came to its end in the attempts"),
        ([LOST_ONCE], [KILLED], "came to its end in the attempts []"),
        ([LOST_ONCE], [replace(KILLED, epoch=3), DONE], "the broker knows nothing of it"),
        ([LOST_ONCE], [KILLED, replace(DONE, site="b")], "ran elsewhere"),
        ([LOST_ONCE], [KILLED, DONE, BESIDE], "was never acknowledged"),
        ([GANG], [RANK], "half a gang"),
        ([GANG], [RANK, replace(RANK, rank=1, cards=5)], "used 9 at once"),
        ([replace(LOST_ONCE, state=JobState.QUEUED)], [KILLED, DONE], "ended QUEUED"),
        ([replace(LOST_ONCE, attempts=(attempt(2), attempt(1)))], [DONE], "has the epochs"),
        ([replace(LOST_ONCE, attempts=(attempt(1), attempt(2)))], [DONE], "succeeded in the"),
    ],
)
def test_the_judge_sees(jobs: list[Job], executions: list[Execution], fault: str) -> None:
    found = faults(executions, {job.id: job for job in jobs}, {"a": 8, "b": 8})
    assert not found if not fault else any(fault in each for each in found), found
