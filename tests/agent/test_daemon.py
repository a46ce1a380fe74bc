"""The agent at work: a real stream, a real journal, real processes, and a scripted broker."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted_broker import PATIENCE_SECONDS, ScriptedBroker, job, serving
from site_agent import agent, config

from agent.assembly import StateDirectory
from agent.control import StandingOrder, ask, write_mode
from agent.daemon import Daemon
from agent.staging import Limits, Staging
from agent.supervisor.values import Mode
from suan.errors import Conflict
from suan.models import Input, Launch

SITE_AGENT = Path(__file__).with_name("site_agent.py")
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def at_work(
    tmp_path: Path, backend: str = "process"
) -> AsyncIterator[tuple[ScriptedBroker, Daemon]]:
    """A broker and a connected agent."""
    broker = ScriptedBroker()
    async with serving(broker) as address, agent(address, config(tmp_path, backend)) as running:
        await broker.connected()
        yield broker, running.daemon


def bundle_of(name: str, text: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


# --- a job's life -------------------------------------------------------------------


async def test_a_job_runs_and_its_output_is_read(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (broker, _):
        wish = job("echo $GREETING from $SUAN_SITE", environment=[("GREETING", "hello")])
        broker.grant(("j1", 1), spec=wish)
        await broker.until(lambda: len(broker.told("j1")) == 2)
        assert broker.told("j1") == ["started", "succeeded"]
        chunk = await broker.read_log("j1", 1)
        assert (chunk.data, chunk.at_end, chunk.ranks) == (b"hello from shenzhen\n", True, 1)
        assert (await broker.read_log("j1", 1, rank=1)).failure.code == "NoSuchRank"
        assert (await broker.read_log("j1", 1, stream="x")).failure.code == "BadStream"
        assert (await broker.read_log("j9", 1)).failure.code == "LogsForgotten"


async def test_a_failing_gang_is_reported_with_its_code(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (broker, _):
        wish = job("exit $((RANK + 3))", launch=Launch.PER_CARD, cards=2)
        broker.grant(("j1", 1), spec=wish, cards=2)
        await broker.until(lambda: len(broker.told("j1")) == 2)
        ended = broker.reports("j1")[-1]
        assert (ended.outcome, ended.failure.code) == ("failed", "NonZeroExit")
        assert ended.exit_code in (3, 4)
        assert (await broker.read_log("j1", 1)).ranks == 2


async def test_a_log_is_waited_for(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (broker, _):
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        broker.grant(("j1", 1), spec=job(f"cat {gate}"))
        await broker.until(lambda: broker.told("j1") == ["started"])
        waiting = asyncio.create_task(broker.read_log("j1", 1, wait_seconds=20.0))
        await asyncio.to_thread(gate.write_text, "at last")
        chunk = await waiting
        assert chunk.data == b"at last"


async def test_a_stop_cancels_a_running_job(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (broker, _):
        broker.grant(("j1", 1), spec=job("exec sleep 600"))
        await broker.until(lambda: broker.told("j1") == ["started"])
        broker.stop("j1", 1, "Cancelled")
        await broker.until(lambda: len(broker.told("j1")) == 2)
        ended = broker.reports("j1")[-1]
        assert (ended.outcome, ended.failure.code) == ("cancelled", "Cancelled")


async def test_a_bundle_is_fetched_and_unpacked(tmp_path: Path) -> None:
    async with at_work(tmp_path) as (broker, _):
        archive = bundle_of("words.txt", "from the bundle")
        wish = job("cat words.txt", bundle=archive)
        assert wish.bundle is not None
        broker.bundles[wish.bundle.sha256] = archive
        broker.grant(("j1", 1), ("j2", 1), spec=wish)
        await broker.until(lambda: len(broker.reports()) == 4)
        assert (await broker.read_log("j2", 1)).data == b"from the bundle"


@pytest.mark.parametrize(
    ("sent", "code"),
    [(b"something else", "BundleUnavailable"), (b"", "BundleNotFound")],
)
async def test_a_bundle_that_is_not_the_one_is_never_run(
    tmp_path: Path, sent: bytes, code: str
) -> None:
    async with at_work(tmp_path) as (broker, _):
        wish = job("true", bundle=bundle_of("a", "b"))
        assert wish.bundle is not None
        if sent:
            broker.bundles[wish.bundle.sha256] = sent
        broker.grant(("j1", 1), spec=wish)
        await broker.until(lambda: broker.told("j1"))
        (report,) = broker.reports("j1")
        assert (report.outcome, report.failure.code) == ("failed", code)


async def test_a_thousand_jobs_come_to_their_ends_in_order(tmp_path: Path) -> None:
    async with at_work(tmp_path, "noop") as (broker, daemon):
        names = [f"j{number}" for number in range(1_000)]
        for first in range(0, 1_000, 50):
            broker.grant(*((name, 1) for name in names[first : first + 50]))
            done = first + 50
            await broker.until(lambda done=done: len(broker.reports()) == 2 * done)
        assert all(broker.told(name) == ["started", "succeeded"] for name in names)
        numbers = [report.report_seq for report in broker.reports()]
        assert numbers == list(range(numbers[0], numbers[0] + 2_000))
        await broker.until(lambda: not daemon.supervisor.state.attempts)


async def test_data_of_the_site_is_readable_while_the_job_runs(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    (shelf / "proteins").mkdir(parents=True)
    (shelf / "proteins" / "a.txt").write_text("MKV")
    state = tmp_path / "state"
    staging = Staging(state / "cache", (shelf,), Limits())
    broker = ScriptedBroker()
    async with serving(broker) as address, agent(address, config(state), staging=staging):
        await broker.connected()
        wish = job("cat $SUAN_DATA_DIR/proteins/a.txt", inputs=(Input("/d", "ds://proteins"),))
        broker.grant(("j1", 1), spec=wish, data={"proteins": str(shelf / "proteins")})
        await broker.until(lambda: len(broker.told("j1")) == 2)
        assert (await broker.read_log("j1", 1)).data == b"MKV"
        broker.grant(("j2", 1), spec=wish, data={"proteins": str(tmp_path / "elsewhere")})
        broker.grant(("j3", 1), spec=wish)
        await broker.until(lambda: broker.told("j2") and broker.told("j3"))
        refused = [broker.reports(name)[0] for name in ("j2", "j3")]
        assert [r.failure.code for r in refused] == ["DataRefused", "DataUnknown"]
        assert {r.outcome for r in refused} == {"failed"}
        broker.grant(("j4", 1))
        await broker.until(lambda: len(broker.told("j4")) == 2)
    assert list((state / "data").iterdir()) == []
    assert (shelf / "proteins" / "a.txt").read_text() == "MKV"


async def test_a_stop_ends_the_wait_for_data(tmp_path: Path) -> None:
    """A server that never answers: the job is gone at once, and its cards are free."""
    silent = await asyncio.start_server(lambda reader, writer: reader.read(), "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    staging = Staging(tmp_path / "cache", (), Limits(private_hosts=frozenset({host})))
    broker = ScriptedBroker()
    async with serving(broker) as address:
        async with agent(address, config(tmp_path), staging=staging) as running:
            await broker.connected()
            wish = job("true", inputs=(Input("/d", f"http://{host}:{port}/words.txt"),), cards=64)
            broker.grant(("j1", 1), spec=wish, cards=64)
            await broker.until(lambda: running.daemon.supervisor.state.attempts)
            broker.stop("j1", 1, "Cancelled")
            await broker.until(lambda: broker.told("j1") == ["rejected"])
            broker.grant(("j2", 1), spec=job("true", cards=64), cards=64)
            await broker.until(lambda: broker.told("j2") == ["started", "succeeded"])
    silent.close()


# --- the broker goes and comes --------------------------------------------------------


async def test_a_lost_broker_stops_nothing_and_hears_the_end_later(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    broker = ScriptedBroker()
    async with serving(broker) as address:
        settings = config(tmp_path)
        async with agent(address, settings) as running:
            await broker.connected()
            broker.grant(("j1", 1), spec=job(f"cat {gate}"))
            await broker.until(lambda: broker.told("j1") == ["started"])
            broker.acknowledging = False
            broker.talk.end()
            await broker.connected(sessions=2)
            (held,) = broker.talk.hello.attempts
            assert (held.id.job_id, held.id.epoch) == ("j1", 1)
            assert 590 < held.remaining_seconds <= 600
            assert broker.talk.hello.session != broker.talks[0].hello.session
            await asyncio.to_thread(gate.write_text, "on")
            await broker.until(lambda: len(broker.told("j1")) == 2)
            broker.acknowledging = True
            broker.talk.end()
            await broker.connected(sessions=3)
            await broker.until(lambda: not running.daemon.supervisor.state.outbox)
        assert broker.told("j1") == ["started", "succeeded"]


async def test_an_agent_that_was_stopped_finds_its_runs_again(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    broker = ScriptedBroker()
    async with serving(broker) as address:
        async with agent(address, config(tmp_path)):
            await broker.connected()
            broker.grant(("j1", 1), spec=job(f"cat {gate}"))
            await broker.until(lambda: broker.told("j1") == ["started"])
        first = broker.talk.hello
        async with agent(address, config(tmp_path)):
            talk = await broker.connected(sessions=2)
            assert [held.id.job_id for held in talk.hello.attempts] == ["j1"]
            assert talk.hello.agent_id == first.agent_id
            await asyncio.to_thread(gate.write_text, "on")
            await broker.until(lambda: broker.told("j1") == ["started", "succeeded"])


@contextmanager
def process(
    address: str, state_dir: Path, crash_point: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """The agent as a process of its own, which dies at the crash point."""
    environment = os.environ | {"SUAN_CRASH_POINT": crash_point}
    command = [sys.executable, str(SITE_AGENT), address, str(state_dir)]
    child = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


CRASHES = [
    ("agent.accepted.before_submit", ["rejected"], 0),
    ("agent.submitted.before_started", ["started", "succeeded"], 1),
    ("agent.reported.before_send", ["started", "succeeded"], 1),
]


@pytest.mark.parametrize(("crash_point", "told", "executions"), CRASHES)
async def test_a_crash_between_two_steps_starts_nothing_twice_and_loses_nothing(
    tmp_path: Path, crash_point: str, told: list[str], executions: int
) -> None:
    broker = ScriptedBroker()
    witness = tmp_path / "witness"
    async with serving(broker) as address:
        with process(address, tmp_path, crash_point) as child:
            await broker.connected()
            broker.grant(("j1", 1), spec=job(f"echo ran >> {witness}"))
            assert await asyncio.to_thread(child.wait) == 137
        with process(address, tmp_path):
            await broker.connected(sessions=2)
            await broker.until(lambda: broker.told("j1") == told)
            broker.grant(("j1", 1), spec=job(f"echo ran >> {witness}"))
            broker.grant(("j2", 1))
            await broker.until(lambda: len(broker.told("j2")) == 2)
    runs = witness.read_text().splitlines() if witness.exists() else []
    assert len(runs) == executions


async def test_kill_9_leaves_a_job_running_that_is_found_again(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    broker = ScriptedBroker()
    async with serving(broker) as address:
        with process(address, tmp_path) as child:
            await broker.connected()
            broker.grant(("j1", 1), spec=job(f"cat {gate}"))
            await broker.until(lambda: broker.told("j1") == ["started"])
            child.send_signal(signal.SIGKILL)
            await asyncio.to_thread(child.wait)
        with process(address, tmp_path):
            await broker.connected(sessions=2)
            await asyncio.to_thread(gate.write_text, "on")
            await broker.until(lambda: broker.told("j1") == ["started", "succeeded"])


# --- a full disk ----------------------------------------------------------------------


async def test_a_full_disk_refuses_new_jobs_and_recovers(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with at_work(tmp_path) as (broker, daemon):
        broker.grant(("j1", 1), spec=job(f"cat {gate}"))
        await broker.until(lambda: broker.told("j1") == ["started"])
        connection = daemon._journal._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        crowd = [(f"x{number}-{'y' * 60}", 1) for number in range(60)]
        broker.grant(*crowd)
        await broker.until(lambda: len(broker.reports()) >= 61)
        refused = {report.failure.code for report in broker.reports() if report.outcome}
        assert refused == {"DiskFull"}
        await broker.until(
            lambda: any(
                m.capacity.facts.paused for m in broker.talk.heard if m.HasField("capacity")
            )
        )
        await asyncio.to_thread(gate.write_text, "on")
        await broker.until(lambda: len(broker.told("j1")) == 2)
        assert broker.told("j1") == ["started", "succeeded"]
        connection.execute("PRAGMA max_page_count = 100000")
        await broker.until(
            lambda: (
                not [m for m in broker.talk.heard if m.HasField("capacity")][
                    -1
                ].capacity.facts.paused
                and not daemon.supervisor.journal_full
            )
        )
        broker.grant(("j2", 1))
        await broker.until(lambda: broker.told("j2") == ["started", "succeeded"])


# --- one agent a site -------------------------------------------------------------------


def test_a_state_directory_has_one_agent(tmp_path: Path) -> None:
    first = StateDirectory(tmp_path)
    with pytest.raises(Conflict) as caught:
        StateDirectory(tmp_path)
    assert caught.value.code == "AgentRunning"
    first.release()
    second = StateDirectory(tmp_path)
    assert second.agent_id == second.agent_id
    second.release()


async def test_a_second_agent_of_one_name_is_told_and_ends(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    broker.goodbye = "SiteNameTaken"
    async with serving(broker) as address:
        with pytest.raises(Conflict) as caught:
            async with agent(address, config(tmp_path)) as running:
                await running.task
        assert caught.value.code == "SiteNameTaken"


# --- the operator, with the broker gone ---------------------------------------------------


async def status_until(
    state_dir: Path, condition: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The agent's status once it fulfils the condition."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            status = await ask(state_dir, {"command": "status"})
            if condition(status):
                return status
            await asyncio.sleep(0.02)


async def test_the_kill_switch_works_without_the_broker(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    settings = config(tmp_path)
    async with serving(broker) as address:
        async with agent(address, settings) as running:
            await broker.connected()
            broker.grant(("j1", 1), spec=job("exec sleep 600"))
            await broker.until(lambda: broker.told("j1") == ["started"])
            broker.judging = False
            broker.talk.end()
            await ask(tmp_path, {"command": "mode", "mode": "paused", "stop_jobs": True})
            status = await status_until(tmp_path, lambda said: not said["attempts"])
            assert (status["mode"], status["outbox"]) == ("paused", 1)
            assert running.daemon.supervisor.paused
        broker.judging = True
        async with agent(address, settings):
            talk = await broker.connected(sessions=len(broker.talks) + 1)
            assert talk.hello.facts.paused
            await broker.until(lambda: broker.told("j1") == ["started", "preempted"])
            broker.grant(("j2", 1))
            await broker.until(lambda: broker.told("j2") == ["rejected"])
            await ask(tmp_path, {"command": "mode", "mode": "open"})
            broker.grant(("j3", 1))
            await broker.until(lambda: broker.told("j3") == ["started", "succeeded"])


async def test_a_new_site_begins_in_shadow_and_takes_a_canary_first(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    write_mode(tmp_path, StandingOrder(Mode.SHADOW))
    async with serving(broker) as address, agent(address, config(tmp_path)):
        talk = await broker.connected()
        assert talk.hello.facts.paused and not talk.hello.facts.tenants_allowed
        await ask(tmp_path, {"command": "mode", "mode": "canary", "tenants": ["nobody"]})
        broker.grant(("j1", 1))
        await broker.until(lambda: broker.told("j1") == ["rejected"])
        status = await ask(tmp_path, {"command": "status"})
        assert (status["mode"], status["tenants"]) == ("canary", ["nobody"])
        shown = await ask(tmp_path, {"command": "show"})
        assert shown["hello"]["facts"]["tenants_allowed"] == ["nobody"]
        await ask(tmp_path, {"command": "mode", "mode": "open"})
        broker.grant(("j2", 1))
        await broker.until(lambda: broker.told("j2") == ["started", "succeeded"])
