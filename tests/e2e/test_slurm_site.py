"""A whole road to a real Slurm: SDK, broker, agent, sbatch, fence; and kill -9 on the way.

Two nodes of Ascend cards and one of DCUs; the site's own people are the same Slurm's other jobs.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from campaign import require_no_traceback
from witness import Witness, faults, processes_left, run_again

from bench.federation import Federation, SiteSpec, wait_until
from bench.slurm_site import SlurmSite, missing_tools
from suan.errors import Conflict
from suan.models import Job, JobSpec, JobState, Variant

ASCEND, DCU = "ascend-910b", "hygon-k100"
CARDS = {"shenzhen": 20}
POLL_SECONDS = 1.0  # an operator's is 30
END_SECONDS_MAX = 90.0
# What Slurm's state would lead to stands in tests/agent/test_slurm_verdict.py.

pytestmark = pytest.mark.skipif(
    bool(missing_tools()), reason="needs Slurm: deploy/servers.sh installs it"
)


@dataclass(frozen=True)
class Road:
    """A federation with one site, whose cluster manager is `slurm`."""

    federation: Federation
    slurm: SlurmSite

    @property
    def agent_yaml(self) -> Path:
        return self.federation.folder / "sites" / "shenzhen" / "agent.yaml"

    def submit(self, wish: JobSpec) -> str:
        with self.federation.client() as client:
            (item,) = client.submit(wish)
        return str(item.id)

    def job(self, job_id: str) -> Job:
        with self.federation.client() as client:
            return client.get(job_id)

    def ended(self, job_id: str) -> Job:
        def terminal() -> Job | None:
            self.federation.agents["shenzhen"].require_running()
            job = self.job(job_id)
            return job if job.state.terminal else None

        return wait_until(terminal, f"{job_id} to end", END_SECONDS_MAX)

    def free(self) -> dict[str, int]:
        with self.federation.client() as client:
            return {offer.pool: offer.cards_free for offer in client.offers()}

    def queued(self, states: str) -> list[str]:
        """The names of Slurm's jobs in these states."""
        return self.slurm.call("squeue", "-h", "-t", states, "-o", "%j").split()

    def occupy(self, node: str, gres: str) -> None:
        """A job of the site's own people."""
        partition = "ascend" if node.startswith("npu") else "hygon"
        options = ("-p", partition, "-w", node, f"--gres={gres}", "--time=30", "-J", "local")
        self.slurm.call("sbatch", "-o", "/dev/null", *options, "--wrap=sleep 1000")
        wait_until(lambda: "local" in self.queued("R"), "the local job to run")

    def leave(self) -> None:
        """The site's own people go."""
        self.slurm.call("scancel", "--name=local")
        wait_until(lambda: self.free() == {"npu-train": 16, "hygon": 4}, "all cards to be free")


@pytest.fixture(scope="module")
def road(slurm_site: SlurmSite) -> Iterator[Road]:
    slurm_site.wait_idle()  # others had it before
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        folder = Path(name)
        federation = Federation(folder, limits={"heartbeat_seconds": 1.0, "hold_seconds": 1.0})
        declared = {
            "shared_dir": str(folder / "shared 共享"),
            "conf": str(slurm_site.conf),
            "python": sys.executable,
            "poll_seconds": POLL_SECONDS,
            "partitions": [
                {"name": "ascend", "pool": "npu-train", "yuan_per_card_hour": 6.2},
                "hygon",
            ],
        }
        settings = {"slurm": declared, "grace_seconds": 5, "exec": "allowed"}
        try:
            federation.start_broker()
            federation.join(SiteSpec("shenzhen", {}, backend="slurm", settings=settings))
            yield Road(federation, slurm_site)
            require_no_traceback(federation)
        finally:
            federation.stop()


@pytest.fixture
def witness(road: Road, request: pytest.FixtureRequest) -> Witness:
    return Witness(road.federation.folder / request.node.name)


def wish(run: str, model: str = ASCEND, cards: int = 1, **fields: object) -> JobSpec:
    shape = {"accelerators_per_node": cards, "num_nodes": fields.pop("num_nodes", 1)}
    return JobSpec((Variant(model, run=run, **shape),), name="test", **fields)  # type: ignore[arg-type]


def require_once(road: Road, witness: Witness, *ids: str) -> dict[str, Job]:
    jobs = {job_id: road.ended(job_id) for job_id in ids}
    executions = witness.executions()
    assert faults(executions, jobs, CARDS) == []
    assert run_again(executions) == set()
    wait_until(lambda: not processes_left(road.federation.folder), "all processes to end")
    return jobs


def text_of(road: Road, job: Job, rank: int = 0) -> str:
    with road.federation.client() as client:
        return b"".join(part.data for part in client.logs(job.id, rank=rank)).decode()


# --- the road ---------------------------------------------------------------------


def test_what_the_federation_sees(road: Road) -> None:
    with road.federation.client(road.federation.admin) as admin:
        site = admin.site("shenzhen")
    ascend, hygon = site.pools
    assert (ascend.name, ascend.accelerator, ascend.cards_total) == ("npu-train", ASCEND, 16)
    assert (hygon.name, hygon.accelerator, hygon.cards_total) == ("hygon", DCU, 4)
    assert ascend.yuan_per_card_hour == 6.2
    assert site.facts.backend == "slurm"
    assert "npu-train: run time ≤ 3 d" in site.facts.rules
    assert "hygon: run time ≤ 1 d" in site.facts.rules


def test_a_gang_runs_and_tells(road: Road) -> None:
    script = 'echo "$SUAN_NODE_RANK of $SUAN_NUM_NODES as $SLURM_JOB_ID"; cat "$SUAN_HOSTFILE"'
    job = road.ended(road.submit(wish(script, cards=8, num_nodes=2)))
    assert job.state is JobState.SUCCEEDED, job
    first, second = (text_of(road, job, rank).splitlines() for rank in range(2))
    assert (first[0].split()[:3], second[0].split()[:3]) == (["0", "of", "2"], ["1", "of", "2"])
    assert first[0].split()[-1] == second[0].split()[-1]
    assert first[1:] == ["127.0.0.1 slots=8", "127.0.0.1 slots=8"]


def test_ends_and_their_causes(road: Road) -> None:
    failed = road.submit(wish("exit 7"))
    overdue = road.submit(wish("sleep 1000", time_limit_seconds=1.0))
    long = road.submit(wish("true", model=DCU, time_limit_seconds=200_000.0))
    assert road.ended(failed).exit_code == 7
    late = road.ended(overdue)
    assert late.failure is not None
    assert (late.failure.category, late.failure.code) == ("user", "TimeLimit")
    with road.federation.client() as client:  # the DCU partition ends jobs after a day
        told = client.explain(long).explanation
        client.cancel([long])
    assert "TimeLimitTooLong" in {rejection.code for rejection in told.rejections}


def test_a_cancelled_job_is_proven_to_be_dead(road: Road) -> None:
    job_id = road.submit(wish("sleep 1000"))
    wait_until(lambda: road.queued("R"), "it to run")
    with road.federation.client() as client:
        client.cancel([job_id])
    assert road.ended(job_id).state is JobState.CANCELLED
    assert not processes_left(road.federation.folder)


def test_a_command_beside_a_rank_and_its_files(road: Road, folder: Path) -> None:
    """On the node of that rank, inside Slurm's job, and no longer than it."""
    # No pipe for both ranks: one word in it may be the end of both, or of one.
    gate = f"until [ -e {folder}/gate ]; do sleep 0.05; done"
    run = f'echo "$SUAN_NODE_RANK" > "rank $SUAN_NODE_RANK"; {gate}'
    os.mkfifo(folder / "other")
    job_id = road.submit(wish(run, cards=2, num_nodes=2))
    wait_until(lambda: len(road.queued("R")) == 1, "it to run")
    script = 'echo "$SUAN_NODE_RANK $SLURM_JOB_ID" "$ASCEND_RT_VISIBLE_DEVICES"; exit 3'
    with road.federation.client() as client:
        wait_until(lambda: client.get(job_id).state is JobState.RUNNING, "the job to run")
        parts = list(client.execute(job_id, ["sh", "-c", script], rank=1))
        said = b"".join(part.stdout for part in parts).split()
        assert parts[-1].exit_code == 3
        number = road.slurm.call("squeue", "-h", "-n", f"suan-{job_id}-1", "-o", "%i").strip()
        assert said[:2] == [b"1", number.encode()]
        assert len(said[2].split(b",")) == 2
        stays = client.execute(job_id, ["sh", "-c", f"echo on; cat {folder}/other"])
        assert next(stays).stdout == b"on\n"
        names = [file.name for file in client.files(job_id, "work")]
        assert names == ["rank 0", "rank 1"]
        (folder / "gate").touch()
        assert road.ended(job_id).state is JobState.SUCCEEDED
        try:
            assert list(stays)[-1].exit_code in (137, 143)
        except Conflict as error:
            assert error.code == "RunEnded"
        client.copy(job_id, "work/rank 1", folder / "copied")
    assert (folder / "copied").read_text() == "1\n"
    wait_until(lambda: not processes_left(road.federation.folder), "all processes to end")


def test_the_sites_own_jobs_come_first(road: Road) -> None:
    road.occupy("npu1", "npu:910b:6")
    wait_until(lambda: road.free() == {"npu-train": 10, "hygon": 4}, "the site to tell")
    job_id = road.submit(wish("true", cards=8, num_nodes=2))

    def estimated() -> float:
        with road.federation.client() as client:
            told = client.explain(job_id).explanation
        waits = [c.score.wait_seconds for c in told.candidates if c.pool == "shenzhen/npu-train"]
        return min(waits, default=0.0)

    # Its time limit says when it is over: half an hour, told in whole minutes.
    assert 1500 < wait_until(estimated, "an estimate") <= 1860
    road.leave()
    assert road.ended(job_id).state is JobState.SUCCEEDED


def test_a_drained_node_is_not_offered(road: Road) -> None:
    road.slurm.call("scontrol", "update", "NodeName=npu2", "State=DRAIN", "Reason=HBM")
    wait_until(lambda: road.free() == {"npu-train": 8, "hygon": 4}, "the site to tell")
    road.slurm.call("scontrol", "update", "NodeName=npu2", "State=RESUME")
    road.leave()


def test_what_the_site_stops_is_tried_again(road: Road, witness: Witness) -> None:
    job_id = road.submit(witness.spec(ASCEND, seconds=1.5))
    wait_until(witness.executions, "it to run")
    road.slurm.call("scancel", *(f"--name={name}" for name in road.queued("R")))
    job = road.ended(job_id)
    first, second = job.attempts
    assert (first.outcome, second.outcome) == ("preempted", "succeeded")
    assert first.failure is not None
    assert (first.failure.category, first.failure.code) == ("site", "SitePaused")
    assert faults(witness.executions(), {job_id: job}, CARDS) == []


@pytest.mark.slow
def test_a_node_that_fails_costs_an_attempt(road: Road, witness: Witness) -> None:
    job_id = road.submit(witness.spec(DCU, seconds=1.5))
    wait_until(witness.executions, "it to run")
    road.slurm.kill("dcu1")
    road.slurm.call("scontrol", "update", "NodeName=dcu1", "State=DOWN", "Reason=burnt")
    wait_until(lambda: len(road.job(job_id).attempts[0].outcome), "the end to be told")
    road.slurm.start_node("dcu1")
    job = road.ended(job_id)
    lost, succeeded = job.attempts
    assert (lost.outcome, succeeded.outcome) == ("lost", "succeeded")
    assert lost.failure is not None
    assert (lost.failure.category, lost.failure.code) == ("site", "MachineRebooted")
    assert faults(witness.executions(), {job_id: job}, CARDS) == []
    road.leave()


# --- kill -9 ------------------------------------------------------------------------


def test_the_agent_may_die_while_it_submits(road: Road, witness: Witness) -> None:
    agent = road.federation.agents["shenzhen"]
    agent.kill()
    ids = [road.submit(witness.spec(ASCEND, seconds=0.3)) for _ in range(6)]
    for point in ("agent.accepted.before_submit", "agent.submitted.before_started"):
        agent.start(SUAN_CRASH_POINT=f"{point}:2")
        assert agent.wait(END_SECONDS_MAX) == 128 + signal.SIGKILL
    agent.start()
    require_once(road, witness, *ids)


def test_killed_while_it_waits_in_slurms_queue(road: Road, witness: Witness) -> None:
    agent = road.federation.agents["shenzhen"]
    road.slurm.call("scontrol", "update", "PartitionName=hygon", "MaxNodes=0")  # nothing starts
    job_id = road.submit(witness.spec(DCU, seconds=0.5))
    (waiting,) = wait_until(lambda: road.queued("PD"), "it to wait in Slurm")
    agent.kill()
    agent.start()
    wait_until(lambda: road.free()["hygon"] == 3, "the agent to tell what it holds")
    assert road.queued("PD") == [waiting] == [f"suan-{job_id}-1"]
    road.slurm.call("scontrol", "update", "PartitionName=hygon", "MaxNodes=UNLIMITED")
    job = require_once(road, witness, job_id)[job_id]
    assert len(job.attempts) == 1


def test_killed_while_it_runs(road: Road, witness: Witness) -> None:
    agent = road.federation.agents["shenzhen"]
    job_id = road.submit(witness.spec(ASCEND, seconds=2.0, nodes=2))
    wait_until(lambda: len(witness.executions()) == 2, "both ranks to run")
    agent.kill()
    agent.start()
    job = require_once(road, witness, job_id)[job_id]
    assert len(job.attempts) == 1


def test_killed_and_away_when_it_ends(road: Road, witness: Witness) -> None:
    agent = road.federation.agents["shenzhen"]
    job_id = road.submit(witness.spec(ASCEND, seconds=1.0))
    wait_until(witness.executions, "it to run")
    agent.kill()
    wait_until(lambda: witness.executions()[0].stopped, "it to end")
    wait_until(lambda: not road.queued("R,CG"), "Slurm to see it")
    agent.start()
    job = require_once(road, witness, job_id)[job_id]
    assert len(job.attempts) == 1


@pytest.mark.slow
def test_a_silent_slurm_is_a_line_of_health(road: Road) -> None:
    """The controller dies: the agent lives on, and takes jobs when it is back."""
    road.slurm.kill("slurmctld")
    log = road.federation.agents["shenzhen"].log
    wait_until(lambda: "Unable to contact slurm" in log.read_text(), "the agent to notice")
    job_id = road.submit(wish("echo back"))
    time.sleep(2 * POLL_SECONDS)
    road.slurm.start_controller()
    assert road.ended(job_id).state is JobState.SUCCEEDED
