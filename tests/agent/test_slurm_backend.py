# ruff: noqa: ASYNC110
"""What is of Slurm alone, on a real one; what all backends promise stands in tests/conformance."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from processes import alive, until
from slurm_runs import JOB, backend, lease, order

from agent.backends import BackendRefused, Exit, Phase, Reason, Stream
from agent.probes.tools import ProbeFailed
from agent.slurm.backend import SlurmBackend
from agent.slurm.command import NodePlace
from agent.slurm.poll import SlurmPoll
from agent.slurm.read import Slurm
from agent.slurm.survey import SlurmSurvey, names_from
from bench.slurm_site import SlurmSite, missing_tools
from suan import catalogue

PATIENCE_SECONDS = 60.0

pytestmark = pytest.mark.skipif(
    bool(missing_tools()), reason="needs Slurm: deploy/servers.sh installs it"
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "état 站点"


async def next_exit(of: SlurmBackend) -> Exit:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(of.exits())  # type: ignore[call-overload]


async def log(of: SlurmBackend, name: str, rank: int = 0) -> str:
    return (await of.read_log(name, rank, Stream.STDOUT, 0, 1 << 20)).data.decode()


async def reached(of: SlurmBackend, name: str, phase: Phase) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := await of.find(name)) is None or found.phase is not phase:
            await asyncio.sleep(0.05)


def nobody(pool: str, node: str) -> frozenset[int]:
    return frozenset()


def job_names(site: SlurmSite, states: str) -> list[str]:
    return site.call("squeue", "-h", "-t", states, "-o", "%j").split()


async def test_a_run_that_waits_is_stopped_for_good(slurm_site: SlurmSite, state: Path) -> None:
    async with backend(slurm_site, state) as slurm:
        first = order("while :; do sleep 0.05; done", cards_per_node=8)
        await slurm.submit(first, lease())
        await reached(slurm, first.name, Phase.RUNNING)
        second = order("echo never", epoch=2, cards_per_node=8)
        await slurm.submit(second, lease())
        await slurm.stop(second.name, "Cancelled")
        ended = await next_exit(slurm)
        assert (ended.name, ended.reason, ended.started_at) == (second.name, Reason.STOPPED, 0.0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while second.name in job_names(slurm_site, "PENDING"):
                await asyncio.sleep(0.1)
        await slurm.stop(first.name, "Cancelled")
        assert (await next_exit(slurm)).name == first.name


async def test_a_run_that_waits_too_long_is_given_back(slurm_site: SlurmSite, state: Path) -> None:
    async with backend(slurm_site, state, wait_seconds_max=1.0) as slurm:
        slurm_site.call(
            "sbatch",
            "-p",
            "ascend",
            "-o",
            "/dev/null",
            "--wrap=sleep 600",
            "--gres=npu:910b:8",
            "-wnpu1",
        )
        wish = order("echo never")
        await slurm.submit(wish, lease())
        ended = await next_exit(slurm)
        assert (ended.reason, ended.detail) == (Reason.STOPPED, "NotEnoughCards")
        assert ended.started_at == 0.0
        async with asyncio.timeout(PATIENCE_SECONDS):
            while wish.name in job_names(slurm_site, "PENDING"):
                await asyncio.sleep(0.1)
        slurm_site.call("scancel", "--name=wrap")


async def test_a_job_that_the_site_cancels(slurm_site: SlurmSite, state: Path) -> None:
    async with backend(slurm_site, state) as slurm:
        wish = order("while :; do sleep 0.05; done")
        await slurm.submit(wish, lease())
        await reached(slurm, wish.name, Phase.RUNNING)
        slurm_site.call("scancel", f"--name={wish.name}")
        ended = await next_exit(slurm)
        assert (ended.reason, ended.detail) == (Reason.STOPPED, "SitePaused")


class LostAnswer(Slurm):
    """A Slurm whose `sbatch` is not heard of again; `reaches` it or not."""

    def __init__(self, site: SlurmSite, reaches: bool) -> None:
        super().__init__(site.environment)
        self._reaches = reaches

    async def call(self, tool: str, *arguments: str, text: bytes = b"") -> str:
        if tool == "sbatch":
            if self._reaches:
                await super().call(tool, *arguments, text=text)
            raise ProbeFailed("ToolTimedOut", "sbatch gave no answer")
        return await super().call(tool, *arguments, text=text)


@pytest.mark.parametrize("reaches", [True, False])
async def test_a_submission_without_an_answer(
    slurm_site: SlurmSite, state: Path, reaches: bool
) -> None:
    async with backend(slurm_site, state, LostAnswer(slurm_site, reaches)) as slurm:
        wish = order("echo once")
        with pytest.raises(ProbeFailed):
            await slurm.submit(wish, lease())
        assert await slurm.find(wish.name) is not None
        ended = await next_exit(slurm)
        assert ended.reason is (Reason.EXITED if reaches else Reason.LAUNCH_FAILED)
        if reaches:
            assert await log(slurm, wish.name) == "once\n"


async def test_a_node_that_slurm_lost_lets_nothing_live(slurm_site: SlurmSite, state: Path) -> None:
    async with backend(slurm_site, state) as slurm:
        wish = order('echo $$ > "$SUAN_OUTPUT_DIR"/pid; exec sleep 1000')
        await slurm.submit(wish, lease())
        await reached(slurm, wish.name, Phase.RUNNING)
        written = state / "outputs" / JOB / "1" / "pid"
        pid = int(until(lambda: written.exists() and written.read_text().strip()))
        slurm_site.kill("npu1")
        slurm_site.call("scontrol", "update", "NodeName=npu1", "State=DOWN", "Reason=burnt")
        ended = await next_exit(slurm)
        assert ended.reason is Reason.MACHINE_REBOOTED
        assert not alive(pid)
    slurm_site.start_node("npu1")
    slurm_site.wait_idle()


async def test_slurm_refuses(slurm_site: SlurmSite, state: Path) -> None:
    async with backend(slurm_site, state) as slurm:
        with pytest.raises(BackendRefused) as refused:
            await slurm.submit(order("true", cards_per_node=9), lease())
        assert refused.value.code == "LaunchFailed"
        assert await slurm.list() == ()


async def test_what_is_offered(slurm_site: SlurmSite) -> None:
    poll = SlurmPoll(Slurm(slurm_site.environment), 0.0)
    survey = SlurmSurvey("shenzhen", poll, names_from(catalogue.load(), {}))
    until(lambda: not slurm_site.call("squeue", "-h").strip(), "the queue to be empty")

    def usable() -> dict[str, int]:
        return {pool.name: pool.cards_usable for pool in survey.inventory().pools()}

    assert await survey.look(nobody)
    assert usable() == {"ascend": 16, "hygon": 4}
    assert not await survey.look(nobody)
    local = ("--wrap=sleep 60", "--gres=dcu:k100:3", "--time=7")
    slurm_site.call("sbatch", "-p", "hygon", "-o", "/dev/null", *local)
    until(lambda: slurm_site.call("squeue", "-h", "-t", "R"), "the local job to run")
    slurm_site.call("scontrol", "update", "NodeName=npu2", "State=DRAIN", "Reason=HBM")
    try:
        assert await survey.look(nobody)
        assert usable() == {"ascend": 8, "hygon": 1}
        assert survey.found.unknown_gres == ()
        (release,) = survey.releases["hygon"]
        assert release.cards == 3
        assert 0 < release.ends_at - time.time() <= 480
        pools = {pool.name: pool for pool in survey.inventory().pools()}
        assert pools["hygon"].releases == (release,)
        assert pools["ascend"].time_limit_seconds_max == 259200.0
        assert survey.settings().places["npu1"] == NodePlace("ascend", "npu:910b", 2, 500, 259200.0)
        assert survey.rules == (
            "memory ≤ 3888 MiB per CPU",
            "ascend: run time ≤ 3 d",
            "hygon: run time ≤ 1 d",
        )
    finally:
        slurm_site.call("scontrol", "update", "NodeName=npu2", "State=RESUME")
        slurm_site.call("scancel", "--user=root")
