# ruff: noqa: ASYNC240
"""Jobs as other users of the machine, by their tenants: real users, processes and a real Slurm."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import alive, until

from agent.backends import Backend, BackendRefused, Exit, NodeShare, Reason, RunOrder, Stream
from agent.backends.account import Accounts
from agent.backends.process import ProcessBackend
from agent.clock import lease_now
from bench.local_users import WHY_NOT, as_user, can_make_users, crossable_place, local_users

JOB = "0192f3a4-7777-7abc-8def-000000000001"
NODE = NodeShare("n0", "127.0.0.1", (0,))
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/root", "USER": "root"}

needs_users = pytest.mark.skipif(not can_make_users(), reason=WHY_NOT)


@pytest.fixture(scope="module")
def users() -> Iterator[tuple[pwd.struct_passwd, ...]]:
    with local_users("suan-acme", "suan-blue") as made:
        yield made


@pytest.fixture
def place() -> Iterator[Path]:
    with crossable_place() as made:
        yield made


def order(run: str, tenant: str = "acme", epoch: int = 1, **fields: Any) -> RunOrder:
    given: dict[str, Any] = {"nodes": (NODE,), "cards_per_node": 1, "grace_seconds": 20.0}
    name = f"suan-{JOB}-{epoch}"
    return RunOrder(name, JOB, epoch, "shenzhen", run=run, tenant=tenant, **(given | fields))


def lease() -> float:
    return lease_now() + 600.0


async def next_exit(of: Backend) -> Exit:
    async with asyncio.timeout(60):
        return await anext(of.exits())  # type: ignore[call-overload]


async def log(of: Backend, name: str, stream: Stream = Stream.STDOUT) -> str:
    return (await of.read_log(name, 0, stream, 0, 1 << 20)).data.decode()


@asynccontextmanager
async def backend(state: Path, users: tuple[pwd.struct_passwd, ...]) -> AsyncIterator[Backend]:
    mapped = Accounts({"acme": users[0].pw_name, "*": users[1].pw_name})
    state.mkdir(exist_ok=True)
    opened = ProcessBackend(state, ENVIRONMENT, {}, accounts=mapped)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


# --- the process backend --------------------------------------------------------


@needs_users
async def test_a_tenants_job_is_another_users(
    place: Path, users: tuple[pwd.struct_passwd, ...]
) -> None:
    state = place / "state 站点"
    script = (
        "id -un; id -Gn; echo $HOME $USER $LOGNAME; umask; "
        'for d in "$SUAN_DATA_DIR" "$SUAN_OUTPUT_DIR" "$SUAN_CHECKPOINT_DIR" "$SUAN_SCRATCH" .; '
        'do echo "$d" > "$d/mine"; done; echo again >> /dev/stdout; cat "$SUAN_HOSTFILE"'
    )
    async with backend(state, users) as process:
        wish = order(script, setup="id -un; touch made-by-setup")
        await process.submit(wish, lease())
        ended = await next_exit(process)
        said = (await log(process, wish.name)).splitlines()
        assert ended.succeeded, (ended, await log(process, wish.name, Stream.STDERR))
    user = users[0].pw_name
    expected = [user, user, user, f"{users[0].pw_dir} {user} {user}", "0022", "again"]
    assert said == [*expected, "127.0.0.1 slots=1"]
    made = state / "outputs" / JOB / "1" / "mine"
    assert made.stat().st_uid == users[0].pw_uid
    assert (state / "runs" / wish.name / "work" / "made-by-setup").exists()


@needs_users
async def test_no_tenant_reads_what_is_another_s_or_the_agent_s(
    place: Path, users: tuple[pwd.struct_passwd, ...]
) -> None:
    state = place / "state"
    (state / "identity").mkdir(parents=True)
    (state / "identity" / "key.pem").write_text("the agent's key")
    (state / "journal.sqlite").write_text("the journal")
    async with backend(state, users) as process:
        wish = order(
            "echo own > $SUAN_OUTPUT_DIR/result; echo own > $SUAN_CHECKPOINT_DIR/c; echo said",
            environment=(("PASSWORD", "hunter2"),),
        )
        await process.submit(wish, lease())
        assert (await next_exit(process)).succeeded
    run = state / "runs" / wish.name
    files = [path for path in state.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        assert "ermission denied" in as_user(users[1], f"cat '{path}'"), path
    for folder in (state, state / "runs", run, state / "outputs" / JOB):
        assert "ermission denied" in as_user(users[1], f"ls '{folder}'"), folder
    secret = [state / "identity" / "key.pem", state / "journal.sqlite", run / "order.json"]
    for path in secret:
        assert "ermission denied" in as_user(users[0], f"cat '{path}'"), path
    assert as_user(users[0], f"cat '{state}/outputs/{JOB}/1/result'") == "own\n"


@needs_users
async def test_a_job_neither_kills_nor_tricks_its_fence(
    place: Path, users: tuple[pwd.struct_passwd, ...]
) -> None:
    state = place / "state"
    script = """
    fence=$PPID; keeper=$(cut -d' ' -f4 /proc/$fence/stat)
    kill -9 $fence $keeper; kill -STOP $fence
    run=$(dirname "$PWD")
    for name in exit.json exit.json.new lease stop started order.json ranks.json new; do
        echo '{"exit_code": 0, "reason": "Exited"}' > "$run/$name"
    done
    rm -f "$run/lease"; mv "$run" "$run.gone"; mv "$PWD" "$PWD.gone"; rm "$run"/logs/*
    ln -s /etc/shadow "$run/logs/1.out"
    setsid sh -c 'trap "" TERM; echo $$ > daemon; while :; do sleep 0.05; done' &
    until [ -s daemon ]; do sleep 0.02; done
    exit 7
    """
    async with backend(state, users) as process:
        wish = order(script, epoch=2, grace_seconds=1.0)
        await process.submit(wish, lease())
        ended = await next_exit(process)
        complaints = await log(process, wish.name, Stream.STDERR)
    assert (ended.reason, ended.exit_code) == (Reason.EXITED, 7)
    assert complaints.count("not permitted") >= 3 and complaints.count("ermission denied") >= 8
    run = state / "runs" / wish.name
    assert json.loads((run / "exit.json").read_text())["exit_code"] == 7
    assert sorted(path.name for path in (run / "logs").iterdir()) == ["0.err", "0.out"]
    assert not alive(int((run / "work" / "daemon").read_text()))


@needs_users
async def test_what_a_killed_fence_leaves_of_another_user_is_killed(
    place: Path, users: tuple[pwd.struct_passwd, ...]
) -> None:
    state = place / "state"
    async with backend(state, users) as process:
        await process.submit(
            order("trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done"), lease()
        )
        run = state / "runs" / f"suan-{JOB}-1"
        pid = await asyncio.to_thread(
            until, lambda: (run / "work" / "pid").exists() and (run / "work" / "pid").read_text()
        )
        os.kill(json.loads((run / "started").read_text())["pid"], 9)
        assert (await next_exit(process)).reason is Reason.UNKNOWN
    assert not alive(int(pid))


@needs_users
async def test_a_stopped_job_of_another_user_ends(
    place: Path, users: tuple[pwd.struct_passwd, ...]
) -> None:
    async with backend(place / "state", users) as process:
        wish = order("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done", "blue")
        await process.submit(wish, lease())
        written = place / "state" / "runs" / wish.name / "logs" / "0.out"
        await asyncio.to_thread(until, lambda: "up" in written.read_text())
        await process.stop(wish.name, "Cancelled")
        ended = await next_exit(process)
        assert (ended.reason, ended.detail) == (Reason.STOPPED, "Cancelled")
        assert "bye" in await log(process, wish.name)
        await process.forget(wish.name)
        assert await process.list() == ()


@needs_users
async def test_the_next_attempt_reads_the_checkpoint(
    place: Path, users: tuple[pwd.struct_passwd, ...]
) -> None:
    """Also when the operator has given the tenant another account meanwhile."""
    async with backend(place / "state", users) as process:
        await process.submit(order("echo 41 > $SUAN_CHECKPOINT_DIR/step; exit 1"), lease())
        assert (await next_exit(process)).exit_code == 1
    async with backend(place / "state", users[::-1]) as process:
        await process.submit(
            order("cd $SUAN_CHECKPOINT_DIR; cat step; echo 42 > step", epoch=2), lease()
        )
        ends = [await next_exit(process), await next_exit(process)]
        assert [ended.exit_code for ended in ends] == [1, 0]
        assert await log(process, f"suan-{JOB}-2") == "41\n"


@needs_users
async def test_staged_data_is_read_and_no_more(
    place: Path, users: tuple[pwd.struct_passwd, ...]
) -> None:
    """As `agent.staging` leaves it: names of files in the cache, and links to the site's own."""
    state, site_data = place / "state", place / "datasets"
    name = f"suan-{JOB}-1"
    cached, data = state / "cache" / "key" / "data", state / "data" / name
    for folder in (cached.parent, data, site_data):
        folder.mkdir(parents=True, mode=0o700)
    site_data.chmod(0o755)
    (site_data / "corpus").write_text("the site's\n")
    cached.write_text("downloaded\n")
    cached.chmod(0o444)
    (data / "file").hardlink_to(cached)
    (data / "corpus").symlink_to(site_data / "corpus")
    async with backend(state, users) as process:
        script = (
            'cd "$SUAN_DATA_DIR"; cat file corpus; echo x >> file; chmod 777 file; echo x > corpus'
        )
        await process.submit(order(script, data_directory=str(data)), lease())
        await next_exit(process)
        assert await log(process, name) == "downloaded\nthe site's\n"
        errors = await log(process, name, Stream.STDERR)
    assert errors.count("ermission denied") == 2 and errors.count("not permitted") == 1
    assert cached.read_text() == "downloaded\n" and cached.stat().st_uid == 0
    assert "ermission denied" in as_user(users[1], f"cat {data}/file {cached}")


async def test_who_has_no_account_is_refused(tmp_path: Path) -> None:
    accounts = Accounts({"acme": "root", "gone": "suan-no-such-user"})
    process = ProcessBackend(tmp_path / "state", ENVIRONMENT, {}, accounts=accounts)
    for tenant, code in (
        ("stranger", "TenantNotMapped"),
        ("acme", "AccountUnusable"),
        ("gone", "AccountUnusable"),
    ):
        with pytest.raises(BackendRefused) as refused:
            accounts.of(tenant)
        assert refused.value.code == code and refused.value.hint
    assert Accounts().of("anybody") is None
    (tmp_path / "state").mkdir()
    await process.open()
    try:
        with pytest.raises(BackendRefused) as refused:
            await process.submit(order("echo never", "stranger"), lease())
        assert refused.value.code == "TenantNotMapped"
        assert await process.list() == ()
    finally:
        await process.close()
