"""Limits by cgroup v2: what is asked of the kernel, and what it does where it may be asked.

The last tests need a machine on which the agent's cgroup was delegated to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes import alive, until

from agent.backends import Exit, NodeShare, Reason, RunOrder
from agent.backends import cgroup as module
from agent.backends.cgroup import Cgroups, NotAllowed, find_cgroups, prepare
from agent.backends.process import ProcessBackend
from agent.clock import lease_now

MOUNTS = """\
30 23 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
31 23 0:27 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw
"""
MEBIBYTE = 2**20
LIMITS = ("memory.max", "memory.oom.group", "pids.max", "cpu.max")


def test_what_the_kernel_says_of_us_is_read() -> None:
    assert module._mount(MOUNTS) == Path("/sys/fs/cgroup/unified")
    assert module._own("4:memory:/jobs\n0::/system.slice/a.service/agent\n").endswith("/agent")
    with pytest.raises(NotAllowed, match="not mounted"):
        module._mount(MOUNTS.splitlines()[0])
    with pytest.raises(NotAllowed, match="in no cgroup"):
        module._own("4:memory:/jobs\n")


@pytest.mark.parametrize("above", ["system.slice", "agent.service"])
def test_what_was_not_delegated_is_not_touched(tmp_path: Path, above: str) -> None:
    """Being root, or able to write, is no leave: a slice is systemd's own."""
    (tmp_path / above / "agent").mkdir(parents=True)
    if above.endswith(".service") and os.geteuid():
        pytest.skip("what an ordinary user owns is his")
    with pytest.raises(NotAllowed, match="was not delegated"):
        module._delegated(tmp_path, f"/{above}/agent")


def test_a_machine_without_the_controllers_says_which(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu hugetlb\n")
    with pytest.raises(NotAllowed, match="no controller memory, pids"):
        prepare(tmp_path, "runs")
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def real(tmp_path: Path) -> Cgroups:
    try:
        return find_cgroups(tmp_path)
    except NotAllowed as why:
        pytest.skip(f"runs cannot be limited here: {why}")


@asynccontextmanager
async def backend(state: Path) -> AsyncIterator[ProcessBackend]:
    opened = ProcessBackend(state, {"PATH": os.environ["PATH"]}, {})
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def next_exit(of: ProcessBackend) -> Exit:
    async with asyncio.timeout(60):
        return await anext(of.exits())  # type: ignore[call-overload]


def order(run: str, **fields: Any) -> RunOrder:
    nodes = tuple(NodeShare(f"n{i}", "127.0.0.1", ()) for i in range(2))
    given = {"nodes": nodes, "cards_per_node": 1, "grace_seconds": 5.0, **fields}
    return RunOrder("suan-x-1", "x", 1, "shenzhen", run=run, **given)


async def test_a_run_is_limited_as_ordered(real: Cgroups, tmp_path: Path) -> None:
    wish = order('echo >> "$SUAN_CHECKPOINT_DIR/$SUAN_NODE_RANK"; exec sleep 1000', cpus_per_node=3)
    async with backend(tmp_path) as process:
        await process.submit(replace(wish, memory_gib_per_node=0.5), lease_now() + 600)
        ups = [tmp_path / "checkpoints" / "x" / str(rank) for rank in range(2)]
        await asyncio.to_thread(until, lambda: all(up.exists() for up in ups))
        place = real.home / wish.name
        said = {name: (place / name).read_text().strip() for name in LIMITS}
        assert said == {
            "memory.max": str(2**30),
            "memory.oom.group": "1",
            "pids.max": "32768",
            "cpu.max": "600000 100000",
        }
        assert len((place / "cgroup.procs").read_text().split()) == 2
        await process.stop(wish.name, "Cancelled")
        assert (await next_exit(process)).reason is Reason.STOPPED
        await asyncio.to_thread(until, lambda: not place.exists(), "it to be removed")


async def test_too_much_memory_ends_the_gang_and_is_told(real: Cgroups, tmp_path: Path) -> None:
    hungry = f"""python3 -c 'print(len(b"x" * {256 * MEBIBYTE}))'; echo lives; sleep 1000"""
    script = f'if [ "$SUAN_NODE_RANK" = 1 ]; then {hungry}; else sleep 1000; fi'
    async with backend(tmp_path) as process:
        await process.submit(order(script, memory_gib_per_node=1 / 16), lease_now() + 600)
        ended = await next_exit(process)
    assert (ended.reason, ended.exit_code, ended.signal) == (Reason.OUT_OF_MEMORY, 137, 9)
    assert ended.rank_codes == (137, 137)
    assert ended.detail == "it took more memory than it may"


async def test_nothing_outlives_fence_and_keeper(real: Cgroups, tmp_path: Path) -> None:
    """Killed at one moment, they leave a daemon that has thrown its environment away."""
    daemon = "setsid env -i /bin/sh -c 'echo $$ > daemon; while :; do sleep 0.05; done' & wait"
    async with backend(tmp_path) as process:
        wish = order(daemon, nodes=order("").nodes[:1])
        await process.submit(wish, lease_now() + 600)
        run = tmp_path / "runs" / wish.name
        told = run / "work" / "daemon"
        await asyncio.to_thread(until, lambda: told.exists() and told.read_text().endswith("\n"))
        fence = json.loads((run / "started").read_text())["pid"]
        os.killpg(os.getpgid(fence), signal.SIGKILL)
        assert (await next_exit(process)).reason is Reason.UNKNOWN
        await asyncio.to_thread(until, lambda: not alive(int(told.read_text())), "it to be dead")


async def test_what_an_earlier_agent_left_is_swept(real: Cgroups, tmp_path: Path) -> None:
    (real.home / "suan-gone-1").mkdir()
    async with backend(tmp_path):
        assert not (real.home / "suan-gone-1").exists()
