# ruff: noqa: ASYNC221, ASYNC240
"""The process backend with real processes: submitted, found again, stopped, never lost."""

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
    Phase,
    Reason,
    RunOrder,
    RunState,
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


async def test_a_run_from_start_to_forgetting(state: Path) -> None:
    async with backend(state) as process:
        wish = order('echo out; echo err >&2; echo result > "$SUAN_OUTPUT_DIR"/result')
        assert await process.find(wish.name) is None
        await process.submit(wish, lease())
        ended = await next_exit(process)
        assert (ended.name, ended.exit_code, ended.reason) == (wish.name, 0, Reason.EXITED)
        assert ended.succeeded
        found = await process.find(wish.name)
        assert found is not None
        assert (found.phase, found.exit) == (Phase.EXITED, ended)
        assert await log(process, wish.name) == "out\n"
        assert await log(process, wish.name, stream=Stream.STDERR) == "err\n"
        assert await process.list() == (wish.name,)
        await process.forget(wish.name)
        await process.forget(wish.name)
        assert await process.list() == ()
        assert await process.find(wish.name) is None
        assert (state / "outputs" / JOB / "1" / "result").read_text() == "result\n"


async def test_the_same_name_twice_is_one_run(state: Path) -> None:
    async with backend(state) as process:
        wish = order('echo x >> "$SUAN_CHECKPOINT_DIR"/count')
        await asyncio.gather(*(process.submit(wish, lease()) for _ in range(3)))
        await next_exit(process)
        await process.submit(wish, lease())
        assert (state / "checkpoints" / JOB / "count").read_text() == "x\n"
        # Nothing else is under way: a second run's end would be there before this one's.
        await process.submit(order("exit 5", epoch=2), lease())
        assert (await next_exit(process)).exit_code == 5


async def test_a_gang_per_card_has_ranks_and_one_rendezvous(state: Path) -> None:
    script = "echo $RANK $WORLD_SIZE $LOCAL_RANK $SUAN_NODE_RANK $MASTER_ADDR:$MASTER_PORT"
    async with backend(state) as process:
        wish = order(script, nodes=NODES, launch=Launch.PER_CARD)
        await process.submit(wish, lease())
        ended = await next_exit(process)
        assert ended.rank_codes == (0, 0, 0, 0)
        lines = [(await log(process, wish.name, rank)).split() for rank in range(4)]
    assert [line[:4] for line in lines] == [
        ["0", "4", "0", "0"],
        ["1", "4", "1", "0"],
        ["2", "4", "0", "1"],
        ["3", "4", "1", "1"],
    ]
    assert len({line[4] for line in lines}) == 1


async def test_ranks_can_meet_at_the_rendezvous(state: Path) -> None:
    program = (
        "import os, socket\n"
        "place = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])\n"
        "if os.environ['SUAN_NODE_RANK'] == '0':\n"
        "    with socket.create_server(place) as server:\n"
        "        print(server.accept()[0].recv(9).decode())\n"
        "else:\n"
        "    while True:\n"
        "        try:\n"
        "            with socket.create_connection(place) as peer:\n"
        "                peer.sendall(b'hello')\n"
        "            break\n"
        "        except ConnectionRefusedError:\n"
        "            pass\n"
    )
    async with backend(state) as process:
        wish = order(f'{sys.executable} - <<"END"\n{program}\nEND', nodes=NODES)
        await process.submit(wish, lease())
        assert (await next_exit(process)).succeeded
        assert await log(process, wish.name) == "hello\n"


async def test_gangs_that_live_together_have_different_ports(state: Path) -> None:
    async with backend(state) as process:
        for epoch in range(1, 5):
            await process.submit(order("echo $MASTER_PORT; read x < /dev/null", epoch), lease())
        names = [(await next_exit(process)).name for _ in range(4)]
        ports = {await log(process, name) for name in names}
    assert len(ports) == 4


async def test_the_job_gets_nothing_of_the_agent(state: Path) -> None:
    async with backend(state) as process:
        await process.submit(order('env; cat "$SUAN_HOSTFILE"'), lease())
        await next_exit(process)
        text = await log(process, f"suan-{JOB}-1")
    assert "hunter2" not in text
    assert "HF_HUB_OFFLINE=1" in text
    assert "127.0.0.1 slots=2" in text


async def test_exit_of_a_failing_run(state: Path) -> None:
    async with backend(state) as process:
        await process.submit(order("kill -KILL $$"), lease())
        ended = await next_exit(process)
    assert (ended.exit_code, ended.signal, ended.succeeded) == (137, 9, False)


async def test_stop_names_its_reason(state: Path) -> None:
    async with backend(state) as process:
        wish = order(STUBBORN, grace_seconds=0.2)
        await process.submit(wish, lease())
        await asyncio.to_thread(wait_pid, work(state) / "pid")
        await asyncio.to_thread(until, (work(state).parent / "ranks.json").exists)
        assert await process.find(wish.name) == RunState(wish.name, Phase.RUNNING)
        with pytest.raises(ValueError, match="not ended"):
            await process.forget(wish.name)
        await process.stop(wish.name, "Cancelled")
        ended = await next_exit(process)
        await process.stop(wish.name, "Cancelled")
        await process.renew(wish.name, lease())
    assert (ended.reason, ended.detail, ended.exit_code) == (Reason.STOPPED, "Cancelled", 137)


async def test_what_is_unknown_is_left_alone(state: Path) -> None:
    async with backend(state) as process:
        for name in ("suan-x-1", "../../etc", "suan-../../x-1"):
            await process.stop(name, "Cancelled")
            await process.renew(name, lease())
            await process.forget(name)
            assert await process.find(name) is None
            with pytest.raises(KeyError):
                await process.read_log(name, 0, Stream.STDOUT, 0, 10)


async def test_renewal_and_lease_end(state: Path) -> None:
    async with backend(state) as process:
        wish = order(STUBBORN, grace_seconds=0.1)
        await process.submit(wish, lease())
        pid = await asyncio.to_thread(wait_pid, work(state) / "pid")
        await process.renew(wish.name, lease(0.3))
        ended = await next_exit(process)
    assert ended.reason is Reason.LEASE_ENDED
    assert not alive(pid)


async def test_an_ended_lease_starts_nothing(state: Path) -> None:
    async with backend(state) as process:
        await process.submit(order("touch ran"), lease(-1))
        ended = await next_exit(process)
    assert (ended.reason, ended.started_at) == (Reason.LEASE_ENDED, 0.0)
    assert not (work(state) / "ran").exists()


async def test_proof_runs_have_no_end(state: Path) -> None:
    async with backend(state) as process:
        wish = order("exit 0", lease_class=LeaseClass.PROOF)
        await process.submit(wish, float("inf"))
        assert (await next_exit(process)).succeeded


async def test_big_output_is_read_in_parts(state: Path) -> None:
    async with backend(state) as process:
        wish = order("head -c 3000000 /dev/zero | tr '\\0' x; echo end")
        await process.submit(wish, lease())
        parts, at_end = [], False
        while not at_end:  # while it is being written
            offset = sum(map(len, parts))
            part = await process.read_log(wish.name, 0, Stream.STDOUT, offset, 70_000)
            assert len(part.data) <= 70_000
            assert part.next_offset == offset + len(part.data)
            parts.append(part.data)
            at_end = part.at_end
        assert b"".join(parts) == b"x" * 3_000_000 + b"end\n"
        assert (await next_exit(process)).succeeded
        with pytest.raises(KeyError):
            await process.read_log(wish.name, 1, Stream.STDOUT, 0, 10)


async def test_scratch_goes_with_the_run_and_checkpoints_with_the_job(state: Path) -> None:
    async with backend(state) as process:
        script = (
            'touch "$SUAN_SCRATCH/big"; echo $SUAN_ATTEMPT >> "$SUAN_CHECKPOINT_DIR/steps"; exit '
        )
        await process.submit(order(script + "1"), lease())
        await next_exit(process)
        assert not (work(state).parent / "scratch").exists()
        await process.forget(f"suan-{JOB}-1")
        await process.submit(order(script + "0", epoch=2), lease())
        await next_exit(process)
        steps = state / "checkpoints" / JOB / "steps"
        assert steps.read_text() == "1\n2\n"
        await process.forget(f"suan-{JOB}-2")
        assert not steps.exists()


# --- the agent dies -----------------------------------------------------------

SUBMITTER = """
import asyncio, os, sys
from pathlib import Path
from agent.backends import NodeShare, RunOrder
from agent.backends.ports import PORTS, pick_port
from agent.backends.process import ProcessBackend
from agent.backends.rundir import RunDirectory
from agent.clock import boottime_ns, lease_now

async def main(state, job, script):
    backend = ProcessBackend(Path(state), os.environ, {})
    await backend.open()
    wish = RunOrder(f"suan-{job}-1", job, 1, "site", (NodeShare("n", "127.0.0.1", ()),), 1, script)
    await backend.submit(wish, lease_now() + 600)
    print("submitted", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def killed_agent(state: Path, script: str) -> None:
    """Submit from another process and kill that before its run has ended."""
    command = [sys.executable, "-c", SUBMITTER, str(state), JOB, script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "submitted\n"
        agent.kill()


async def test_a_restarted_agent_finds_its_run_alive(state: Path) -> None:
    await asyncio.to_thread(killed_agent, state, "until [ -e go ]; do sleep 0.02; done; exit 6")
    async with backend(state) as process:
        (name,) = await process.list()
        await process.submit(order("exit 0"), lease())  # known already: nothing happens
        (work(state) / "go").touch()
        ended = await next_exit(process)
    assert (ended.name, ended.exit_code) == (name, 6)


async def test_a_run_that_ended_while_no_agent_lived(state: Path) -> None:
    await asyncio.to_thread(killed_agent, state, "echo bye; exit 8")
    record = work(state).parent / "exit.json"
    await asyncio.to_thread(until, record.exists)
    for _ in range(2):  # and again after another restart, until it is forgotten
        async with backend(state) as process:
            assert (await next_exit(process)).exit_code == 8
            assert await log(process, f"suan-{JOB}-1") == "bye\n"


async def test_stop_and_renew_reach_a_run_of_before(state: Path) -> None:
    await asyncio.to_thread(killed_agent, state, STUBBORN)
    pid = await asyncio.to_thread(wait_pid, work(state) / "pid")
    async with backend(state) as process:
        await process.renew(f"suan-{JOB}-1", lease(900))
        await process.renew(f"suan-{JOB}-1", lease(0.2))
        ended = await next_exit(process)
    assert ended.reason is Reason.LEASE_ENDED
    assert not alive(pid)


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


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "suan-other-1"}, "BadName"),
        ({"nodes": ()}, "BadShape"),
        ({"nodes": NODES * 400, "launch": Launch.PER_CARD}, "BadShape"),
        ({"working_directory": "/no/such/place"}, "BadDirectory"),
        ({"working_directory": "../.."}, "BadDirectory"),
        ({"working_directory": "absent"}, "BadDirectory"),
        ({"bundle_path": "/no/such/bundle.tar.gz"}, "Unavailable"),
    ],
)
async def test_orders_that_cannot_run(state: Path, fields: dict[str, Any], code: str) -> None:
    async with backend(state) as process:
        refused = await refusal(process, replace(order("true"), **fields))
    assert refused.code == code


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


async def test_a_bundle_is_unpacked_where_the_run_works(state: Path, tmp_path: Path) -> None:
    path = bundle(
        tmp_path / "b.tar.gz",
        (member("code", tarfile.DIRTYPE), b""),
        (member("./code/run me 跑.sh"), b"echo $0; pwd\n"),
    )
    async with backend(state) as process:
        wish = order("./'run me 跑.sh'", bundle_path=path, working_directory="code")
        await process.submit(wish, lease())
        ended = await next_exit(process)
        assert ended.exit_code == 0
        assert await log(process, wish.name) == f"./run me 跑.sh\n{work(state) / 'code'}\n"


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
