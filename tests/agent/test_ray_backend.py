# ruff: noqa: ASYNC110
"""Runs through a real Ray on loopback: started, found again, stopped, never lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from processes import alive, until
from ray_runs import JOB, NODES, backend, lease, order, places

from agent.backends import BackendRefused, Exit, Launch, NodeShare, Phase, Reason, Stream
from agent.probes.tools import ProbeFailed
from agent.ray.backend import RayBackend
from agent.ray.client import RayClient
from bench.ray_site import RaySite

PATIENCE_SECONDS = 120.0  # on a busy machine a driver takes half a minute to begin
ROOT = Path(__file__).parents[2]
FOR_EVER = "while :; do sleep 0.05; done"
OLD = {"settings": {"version": (2, 50)}}  # a Ray whose submissions cannot name their nodes
# Rank 0 listens where the others find it; each says how many came.
MEET = f"""{sys.executable} -c '
import os, socket
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
if rank == 0:
    with socket.create_server(place) as server:
        for _ in range(world - 1):
            server.accept()[0].sendall(b"met")
else:
    while True:
        try:
            with socket.create_connection(place) as way:
                assert way.recv(3) == b"met"
                break
        except ConnectionRefusedError:
            pass
print(f"{{rank}}/{{world}}", os.environ["SUAN_NODE_RANK"], os.environ["ASCEND_RT_VISIBLE_DEVICES"])
'"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "état 站点"


async def next_exit(of: RayBackend) -> Exit:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(of.exits())  # type: ignore[call-overload]


async def log(of: RayBackend, name: str, rank: int = 0) -> str:
    return (await of.read_log(name, rank, Stream.STDOUT, 0, 1 << 20)).data.decode()


async def reached(of: RayBackend, name: str, phase: Phase) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := await of.find(name)) is None or found.phase is not phase:
            await asyncio.sleep(0.05)


async def over(site: RaySite, *names: str) -> None:
    """Until Ray says that these submissions are over, or has none of them."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while {"PENDING", "RUNNING"} & {
            state for name, state in (await asyncio.to_thread(site.jobs)).items() if name in names
        }:
            await asyncio.sleep(0.1)


async def test_a_run_from_start_to_forgetting(ray_site: RaySite, state: Path) -> None:
    async with backend(ray_site, state) as ray:
        wish = order('env; echo result > "$SUAN_OUTPUT_DIR"/result', 1)
        assert await ray.find(wish.name) is None
        await ray.submit(wish, lease())
        await ray.submit(wish, lease())
        ended = await next_exit(ray)
        assert (ended.name, ended.exit_code, ended.reason) == (wish.name, 0, Reason.EXITED)
        variables = (await log(ray, wish.name)).splitlines()
        assert "SUAN_ACCELERATORS_PER_NODE=2" in variables
        assert "HF_HUB_OFFLINE=1" in variables
        # The devices are those that Ray gave it, of the agent there is nothing, of Ray neither.
        assert any(line.startswith("ASCEND_RT_VISIBLE_DEVICES=") for line in variables)
        assert not any("hunter2" in line or line.startswith("RAY_") for line in variables)
        assert (state / "outputs" / JOB / "1" / "result").read_text() == "result\n"
        await over(ray_site, wish.name)
        assert ray_site.jobs()[wish.name] == "SUCCEEDED"
        await ray.forget(wish.name)
        assert await ray.list() == ()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while wish.name in await asyncio.to_thread(ray_site.jobs):
                await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_ends_and_their_causes(ray_site: RaySite, state: Path) -> None:
    """Five runs at a time, told apart by their numbers; the agent is away for two of the ends."""
    trap = f'trap "echo bye; exit 0" TERM; {FOR_EVER}'
    async with backend(ray_site, state) as ray:
        fails, overdue = order("exit 7", 11), order(FOR_EVER, 12, grace_seconds=1.0)
        stopped, paused, killed = order(trap, 13), order(trap, 14), order("kill -9 $$", 15)
        await ray.submit(overdue, lease(25.0))
        for wish in (fails, stopped, paused, killed):
            await ray.submit(wish, lease())
        await reached(ray, stopped.name, Phase.RUNNING)
        await ray.stop(stopped.name, "Cancelled")
        await reached(ray, paused.name, Phase.RUNNING)
        ray_site.call("POST", f"/api/jobs/{paused.name}/stop")
        ends = {ended.name: ended for ended in [await next_exit(ray) for _ in range(4)]}
    await over(ray_site, overdue.name)
    async with backend(ray_site, state) as ray:
        again = [await next_exit(ray) for _ in range(5)]
        ends |= {ended.name: ended for ended in again}
        assert await log(ray, stopped.name) == await log(ray, paused.name) == "bye\n"
    causes = {name: (end.reason, end.exit_code, end.detail) for name, end in ends.items()}
    assert causes[fails.name] == (Reason.EXITED, 7, "rank 0 failed")
    assert causes[stopped.name] == (Reason.STOPPED, 0, "Cancelled")
    assert causes[paused.name] == (Reason.STOPPED, 0, "SitePaused")
    assert causes[killed.name][:2] == (Reason.EXITED, 137)
    assert causes[overdue.name][0] is Reason.LEASE_ENDED
    assert ray_site.jobs()[fails.name] == "FAILED"


async def test_a_gang_meets_and_outlives_the_agent(ray_site: RaySite, state: Path) -> None:
    gate = state.parent / "gate"
    script = f"while [ ! -e '{gate}' ]; do sleep 0.05; done\n{MEET}"
    wish = order(script, 20, nodes=NODES, launch=Launch.PER_CARD, setup="echo ready")
    async with backend(ray_site, state) as ray:
        await ray.submit(wish, lease())
        await reached(ray, wish.name, Phase.RUNNING)
    async with backend(ray_site, state) as ray:
        assert await ray.list() == (wish.name,)
        await ray.submit(wish, lease())
        gate.touch()
        ended = await next_exit(ray)
        assert ended.rank_codes == (0, 0, 0, 0), ended
        said = [(await log(ray, wish.name, rank)).split("\n") for rank in range(4)]
    assert [line for lines in said for line in lines if "/" in line] == [
        "0/4 0 0,1",
        "1/4 0 0,1",
        "2/4 1 0,1",
        "3/4 1 0,1",
    ]


@pytest.mark.slow
async def test_a_gang_ends_whole(ray_site: RaySite, state: Path) -> None:
    async with backend(ray_site, state) as ray:
        wish = order(
            'if [ "$SUAN_NODE_RANK" = 1 ]; then exit 3; fi; trap "echo saved; exit 0" TERM;'
            f" {FOR_EVER}",
            30,
            nodes=NODES,
        )
        await ray.submit(wish, lease())
        ended = await next_exit(ray)
        assert (ended.reason, ended.exit_code) == (Reason.EXITED, 3)


@pytest.mark.parametrize(
    ("first", "fields"), [(40, {}), pytest.param(42, OLD, marks=pytest.mark.slow)]
)
async def test_runs_that_wait(
    ray_site: RaySite, state: Path, first: int, fields: dict[str, Any]
) -> None:
    """For cards in use: one is stopped, the other given back; neither ever begins."""
    site = {"submission_id": f"theirs-{first}", "entrypoint": "sleep 1000"}
    pinned = {"ray.io/node-id": places(ray_site)["npu1"]}
    held = {"entrypoint_resources": {"NPU": 7}, "entrypoint_label_selector": pinned}
    ray_site.call("POST", "/api/jobs/", site | held)
    until(lambda: ray_site.jobs()[f"theirs-{first}"] == "RUNNING", "the local job to run")
    async with backend(ray_site, state, wait_seconds_max=2.0, **fields) as ray:
        stopped, waits = (order("echo never", epoch) for epoch in (first, first + 1))
        await ray.submit(stopped, lease())
        await ray.submit(waits, lease())
        await ray.stop(stopped.name, "Cancelled")
        ends = {ended.name: ended for ended in [await next_exit(ray) for _ in range(2)]}
        assert {ended.started_at for ended in ends.values()} == {0.0}
        assert {name: (end.reason, end.detail) for name, end in ends.items()} == {
            stopped.name: (Reason.STOPPED, "Cancelled"),
            waits.name: (Reason.STOPPED, "NotEnoughCards"),
        }
    ray_site.call("POST", f"/api/jobs/theirs-{first}/stop")
    await over(ray_site, f"theirs-{first}", stopped.name, waits.name)


class LostAnswer(RayClient):
    """A Ray whose job server is not heard of again; the submission reaches it or not."""

    def __init__(self, site: RaySite, reaches: bool) -> None:
        super().__init__(site.address)
        self._reaches = reaches

    async def submit(self, request: Mapping[str, Any]) -> None:
        if self._reaches:
            await super().submit(request)
        raise ProbeFailed("ToolTimedOut", "Ray gave no answer")


@pytest.mark.parametrize("reaches", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_a_submission_without_an_answer(
    ray_site: RaySite, state: Path, reaches: bool
) -> None:
    async with backend(ray_site, state, LostAnswer(ray_site, reaches)) as ray:
        wish = order("echo once", 51 if reaches else 52)
        with pytest.raises(ProbeFailed):
            await ray.submit(wish, lease())
        assert await ray.find(wish.name) is not None
        ended = await next_exit(ray)
        assert ended.reason is (Reason.EXITED if reaches else Reason.LAUNCH_FAILED)
        if reaches:
            assert await log(ray, wish.name) == "once\n"


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
async def test_an_agent_killed_in_the_middle_of_a_submission(
    ray_site: RaySite, state: Path, after: bool
) -> None:
    known, epoch = json.dumps(places(ray_site)), 61 if after else 62
    command = [sys.executable, "-m", "tests.agent.ray_runs", state, ray_site.address, known]
    command += [str(epoch), "after" if after else "before"]
    died = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env={})
    assert died.returncode == -signal.SIGKILL
    async with backend(ray_site, state) as ray:
        await ray.submit(order("echo twice", epoch), lease())
        ended = await next_exit(ray)
        assert ended.reason is (Reason.EXITED if after else Reason.LAUNCH_FAILED)
        assert await log(ray, ended.name) == ("once\n" if after else "")


@pytest.mark.slow
async def test_a_submission_that_somebody_deletes(ray_site: RaySite, state: Path) -> None:
    """What is left of it here is told to end, and is dead before anybody says so."""
    async with backend(ray_site, state) as ray:
        wish = order('echo $$ > "$SUAN_OUTPUT_DIR"/pid; exec sleep 1000', 70, nodes=NODES)
        await ray.submit(wish, lease())
        await reached(ray, wish.name, Phase.RUNNING)
        written = state / "outputs" / JOB / "70" / "pid"
        pid = int(until(lambda: written.exists() and written.read_text().strip()))
        jobs = ray_site.call("GET", f"/api/jobs/{wish.name}")
        os.kill(int(jobs["driver_info"]["pid"]), signal.SIGKILL)
        await over(ray_site, wish.name)
        ray_site.call("DELETE", f"/api/jobs/{wish.name}")
        ended = await next_exit(ray)
        # Ray's own watch may find the supervisor gone only then, and write a new record of it.
        assert ended.reason in (Reason.STOPPED, Reason.MACHINE_REBOOTED)
        assert not alive(pid)


async def test_ray_refuses(ray_site: RaySite, state: Path) -> None:
    async with backend(ray_site, state, RayClient("http://127.0.0.1:1")) as ray:
        with pytest.raises(BackendRefused) as refused:
            await ray.submit(order("true", 80), lease())
        assert refused.value.code == "Unavailable"
        with pytest.raises(BackendRefused) as refused:
            await ray.submit(order("true", 81, nodes=(NodeShare("gone", "", ()),)), lease())
        assert refused.value.code == "BadShape"
        assert await ray.list() == ()


@pytest.mark.slow
async def test_a_node_that_dies(ray_site: RaySite, state: Path) -> None:
    async with backend(ray_site, state) as ray:
        wish = order(
            'echo $$ > "$SUAN_OUTPUT_DIR/$SUAN_NODE_RANK"; exec sleep 1000', 90, nodes=NODES
        )
        await ray.submit(wish, lease())
        await reached(ray, wish.name, Phase.RUNNING)
        outputs = state / "outputs" / JOB / "90"
        pids = [
            int(until(lambda rank=rank: (outputs / rank).exists() and (outputs / rank).read_text()))
            for rank in ("0", "1")
        ]
        try:
            ray_site.kill_node("npu2")
            ended = await next_exit(ray)
            assert ended.reason is Reason.MACHINE_REBOOTED, ended
            assert not any(map(alive, pids))
        finally:
            ray_site.start_node("npu2")
            ray_site.wait_alive({"dcu1", "npu1", "npu2"})
