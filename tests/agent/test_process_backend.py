# ruff: noqa: ASYNC221, ASYNC240
"""What is of the process backend alone; what all backends promise stands in tests/conformance."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes import alive, until

from agent.backends import (
    Backend,
    BackendRefused,
    Exit,
    Launch,
    LeaseClass,
    NodeShare,
    Reason,
    RunOrder,
    Stream,
)
from agent.backends.noop import NoopBackend
from agent.backends.ports import PORTS, pick_port
from agent.backends.process import ProcessBackend
from agent.backends.rundir import RunDirectory
from agent.clock import boottime_ns, lease_now

JOB = "0192f3a4-7777-7abc-8def-000000000001"
NODES = tuple(NodeShare(f"n{i}", "127.0.0.1", (0, 1)) for i in range(2))
STUBBORN = "trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done"
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/root", "AGENT_KEY": "hunter2"}


def order(run: str, epoch: int = 1, **fields: Any) -> RunOrder:
    given = {"nodes": NODES[:1], "cards_per_node": 2, "kind": "gpu", "grace_seconds": 20.0}
    return RunOrder(f"suan-{JOB}-{epoch}", JOB, epoch, "shenzhen", run=run, **(given | fields))


def lease(seconds: float = 600.0) -> float:
    return lease_now() + seconds


@asynccontextmanager
async def backend(state: Path, **options: Any) -> AsyncIterator[ProcessBackend]:
    opened = ProcessBackend(state, ENVIRONMENT, {"HF_HUB_OFFLINE": "1"}, **options)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def next_exit(of: Backend) -> Exit:
    async with asyncio.timeout(30):
        return await anext(of.exits())  # type: ignore[call-overload]


async def log(of: Backend, name: str, rank: int = 0, stream: Stream = Stream.STDOUT) -> str:
    return (await of.read_log(name, rank, stream, 0, 1 << 20)).data.decode()


def work(state: Path, epoch: int = 1) -> Path:
    return state / "runs" / f"suan-{JOB}-{epoch}" / "work"


def wait_pid(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().endswith("\n"), str(path))
    return int(path.read_text())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "état 站点"


async def test_gangs_that_live_together_have_different_ports(state: Path) -> None:
    async with backend(state) as process:
        for epoch in range(1, 5):
            await process.submit(order("echo $MASTER_PORT; read x < /dev/null", epoch), lease())
        names = [(await next_exit(process)).name for _ in range(4)]
        ports = {await log(process, name) for name in names}
    assert len(ports) == 4


# --- the agent dies -----------------------------------------------------------


async def test_a_killed_fence_leaves_nothing_alive(state: Path) -> None:
    """Its rank dies with it; the rank's daemon is found by what it has in its environment."""
    daemon = "setsid sh -c 'trap \"\" TERM; echo $$ > daemon; while :; do sleep 0.05; done' & "
    async with backend(state) as process:
        await process.submit(order(daemon + STUBBORN), lease())
        pids = [await asyncio.to_thread(wait_pid, work(state) / name) for name in ("daemon", "pid")]
        fence = json.loads((work(state).parent / "started").read_text())["pid"]
        os.kill(fence, signal.SIGKILL)
        ended = await next_exit(process)
    assert (ended.reason, ended.succeeded) == (Reason.UNKNOWN, False)
    assert ended.started_at > 0
    assert not any(alive(pid) for pid in pids)


def made_run(state: Path) -> Path:
    """A run as it lies there when the agent dies before its fence has begun."""
    run = work(state).parent
    (run / "logs").mkdir(parents=True)
    document = {"master_port": 20001, "phases": [[{}]]}
    (run / "order.json").write_text(json.dumps(document))
    RunDirectory(run).write_lease(600, LeaseClass.RESTART)
    return run


async def test_a_run_that_never_began_never_will(state: Path) -> None:
    run = made_run(state)
    async with backend(state) as process:
        ended = await next_exit(process)
        assert (ended.reason, ended.started_at) == (Reason.LAUNCH_FAILED, 0.0)
    # The fence that comes late finds its place taken.
    fence = Path(sys.modules["agent.backends.process"].__file__ or "").parents[1] / "fence.py"
    late = subprocess.run([sys.executable, "-I", "-S", str(fence), str(run)], timeout=30)
    assert late.returncode == 3


async def test_a_run_that_died_with_the_machine(state: Path) -> None:
    run = made_run(state)
    (run / "started").write_text(json.dumps({"pid": os.getpid(), "boot_id": "another boot"}))
    async with backend(state) as process:
        ended = await next_exit(process)
    assert ended.reason is Reason.MACHINE_REBOOTED


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"reason": "Bored"}'])
async def test_a_damaged_record_still_proves_the_end(state: Path, record: str) -> None:
    run = made_run(state)
    (run / "exit.json").write_text(record)
    async with backend(state) as process:
        ended = await next_exit(process)
        assert (ended.reason, ended.succeeded) == (Reason.UNKNOWN, False)
        await process.forget(run.name)


async def test_an_order_that_cannot_be_read_stops_nothing_else(state: Path) -> None:
    (made_run(state) / "order.json").write_text("{")
    async with backend(state) as process:
        assert (await next_exit(process)).reason is Reason.LAUNCH_FAILED


async def test_what_was_being_built_or_removed_is_cleared_away(state: Path) -> None:
    (state / "runs" / ".new-suan-x-1" / "work").mkdir(parents=True)
    (state / "runs" / ".gone-suan-y-1" / "work").mkdir(parents=True)
    async with backend(state) as process:
        assert await process.list() == ()
    assert list((state / "runs").iterdir()) == []


# --- refusals -----------------------------------------------------------------


async def refusal(process: ProcessBackend, wish: RunOrder) -> BackendRefused:
    with pytest.raises(BackendRefused) as caught:
        await process.submit(wish, lease())
    assert await process.list() == ()
    assert await process.find(wish.name) is None
    return caught.value


async def test_too_little_room_is_refused(state: Path) -> None:
    async with backend(state, free_bytes_min=1 << 60) as process:
        refused = await refusal(process, order("true"))
        assert refused.code == "DiskFull"
        assert "agent.yaml" in refused.hint
        assert list((state / "runs").iterdir()) == []


@pytest.fixture
def small_disk(state: Path) -> Iterator[Path]:
    """A disk of 1 MiB at the state directory."""
    state.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(state)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here: needs root")
    yield state
    subprocess.run(["umount", "-l", str(state)], check=True)


async def test_a_disk_that_fills_up_leaves_nothing_half_started(small_disk: Path) -> None:
    async with backend(small_disk, free_bytes_min=0) as process:
        assert (await refusal(process, order("x" * 2_000_000))).code == "DiskFull"
        assert list((small_disk / "runs").iterdir()) == []
        await process.submit(order("exit 3", epoch=2), lease())
        assert (await next_exit(process)).exit_code == 3


async def test_a_run_that_fills_the_disk_is_still_recorded(small_disk: Path) -> None:
    async with backend(small_disk, free_bytes_min=0) as process:
        await process.submit(order("cat /dev/zero; exit 4"), lease())
        assert (await next_exit(process)).exit_code == 4


async def test_a_full_disk_neither_ends_nor_frees_a_run(small_disk: Path) -> None:
    """Its lease is still renewed, and it can still be stopped."""
    async with backend(small_disk, free_bytes_min=0) as process:
        wish = order("cat /dev/zero > fill; " + STUBBORN.replace("echo $$ > pid", ":"))
        await process.submit(replace(wish, grace_seconds=0.3), lease())
        fill = work(small_disk) / "fill"
        await asyncio.to_thread(until, lambda: fill.exists() and disk_is_full(small_disk))
        await process.renew(wish.name, lease(1234))
        terms = (work(small_disk).parent / "lease").read_text().partition(" ")[2]
        assert 1200e9 < json.loads(terms)["boottime_ns"] - boottime_ns() <= 1234e9
        await process.stop(wish.name, "Cancelled")
        assert (await next_exit(process)).reason is Reason.STOPPED


def disk_is_full(path: Path) -> bool:
    return os.statvfs(path).f_bavail == 0


async def test_more_processes_than_one_machine_takes_are_refused(state: Path) -> None:
    async with backend(state) as process:
        wish = order("true", nodes=NODES * 400, launch=Launch.PER_CARD)
        assert (await refusal(process, wish)).code == "BadShape"


# --- bundles ------------------------------------------------------------------


def bundle(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return str(path)


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o755
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        (member("../escape"), b"x"),
        (member("/tmp/escape"), b"x"),
        (member("a/../../escape"), b"x"),
        (member("link", tarfile.SYMTYPE, "/etc"), b""),
        (member("hard", tarfile.LNKTYPE, "/etc/passwd"), b""),
        (member("device", tarfile.CHRTYPE), b""),
        (member("pipe", tarfile.FIFOTYPE), b""),
        (member("."), b"x"),
        (member("bomb"), b"\0" * 40_000_000),
    ],
    ids=lambda hostile: hostile[0].name,
)
async def test_a_hostile_bundle_is_refused(
    state: Path, tmp_path: Path, hostile: tuple[tarfile.TarInfo, bytes]
) -> None:
    path = bundle(tmp_path / "b.tar.gz", (member("first"), b"ok"), hostile)
    async with backend(state) as process:
        refused = await refusal(process, order("true", bundle_path=path))
    assert refused.code == "BadBundle"
    assert list((state / "runs").iterdir()) == []
    assert not (tmp_path / "escape").exists()


@pytest.mark.parametrize("cut", [0, 20, 200])
async def test_a_broken_bundle_is_refused(state: Path, tmp_path: Path, cut: int) -> None:
    path = Path(bundle(tmp_path / "b.tar.gz", (member("f"), os.urandom(5000))))
    path.write_bytes(path.read_bytes()[:cut])
    async with backend(state) as process:
        refused = await refusal(process, order("true", bundle_path=str(path)))
    assert refused.code == "BadBundle"


# --- the no-op backend --------------------------------------------------------


async def test_the_noop_backend_ends_each_run_at_once() -> None:
    noop = NoopBackend()
    await noop.open()
    wish = order("exit 1", nodes=NODES)
    await noop.submit(wish, lease())
    await noop.submit(wish, lease())
    ended = await next_exit(noop)
    assert ended.succeeded
    assert "nothing ran" in ended.detail
    assert await noop.list() == (wish.name,)
    assert (await noop.read_log(wish.name, 0, Stream.STDOUT, 0, 10)).at_end
    await noop.forget(wish.name)
    assert await noop.find(wish.name) is None
    await noop.close()
    assert [ended async for ended in noop.exits()] == []


# --- ports --------------------------------------------------------------------


def test_a_port_that_is_taken_is_passed_over() -> None:
    first = pick_port("suan-a-1", "127.0.0.1", ())
    assert pick_port("suan-a-1", "127.0.0.1", ()) == first
    assert first not in (second := pick_port("suan-a-1", "127.0.0.1", {first}), 0)
    with socket.create_server(("127.0.0.1", first)):
        assert pick_port("suan-a-1", "127.0.0.1", {second}) not in (first, second)
    with pytest.raises(OSError, match="no free port"):
        pick_port("suan-a-1", "127.0.0.1", PORTS)


def test_the_port_of_another_machine_is_not_tried() -> None:
    assert pick_port("suan-a-1", "192.0.2.1", ()) in PORTS
