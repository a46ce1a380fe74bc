"""The data plane of a real agent: what a broker wants ahead of need, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from file_server import FileServer, serving
from scripted_broker import ScriptedBroker, job
from scripted_broker import serving as broker_serving
from site_agent import agent, config
from staging_site import BODY, HALF, LIMITS, MIB, wait

from agent.daemon import Daemon
from agent.data_messages import SendCache, SendStaging
from agent.session.lanes import Lanes
from agent.staging import Limits, Staging
from agent.wire.data import PRESTAGES_MAX, prestages_from_wire
from broker.core.ahead import key_of
from suan.models import Input
from suan.v1 import session_pb2

NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.data_plane.TELL_SECONDS", 0.02)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer()) as running:
        yield running


@asynccontextmanager
async def at_work(tmp_path: Path) -> AsyncIterator[tuple[ScriptedBroker, Daemon]]:
    """A broker and a connected agent that may download from this machine."""
    broker, limits = ScriptedBroker(), Limits(**LIMITS)  # type: ignore[arg-type]
    staging = Staging(tmp_path / "cache", (), limits)
    async with (
        broker_serving(broker) as address,
        agent(address, config(tmp_path), staging=staging) as running,
    ):
        await broker.connected()
        yield broker, running.daemon


def want(broker: ScriptedBroker, *locations: str, seconds: float = 600.0, rate: float = 0) -> None:
    """The broker wants exactly these."""
    wanted = [
        session_pb2.Prestage(location=each, expires_seconds=seconds, bytes_per_second=rate)
        for each in locations
    ]
    broker.talk.say(
        prestages=session_pb2.Prestages(session=broker.talk.hello.session, term=1, wanted=wanted)
    )


def cached(broker: ScriptedBroker) -> tuple[str, ...] | None:
    """What the agent said last of its cache in this session; None: nothing yet."""
    said = [each.cache_report for each in broker.talk.heard if each.HasField("cache_report")]
    assert [each.seq for each in said] == sorted({each.seq for each in said})
    return tuple(said[-1].keys) if said else None


def refused(broker: ScriptedBroker) -> tuple[str, ...]:
    """What the agent said last that it could not bring."""
    said = [each.cache_report for each in broker.talk.heard if each.HasField("cache_report")]
    return tuple(said[-1].refused) if said else ()


def progress(broker: ScriptedBroker) -> list[dict[tuple[str, int], tuple[int, int]]]:
    """All that was said of the progress of attempts."""
    return [
        {(p.id.job_id, p.id.epoch): (p.done_bytes, p.total_bytes) for p in said.progress}
        for said in (each.staging_report for each in broker.talk.heard)
        if said.session
    ]


def reads(url: str) -> tuple[Input, ...]:
    return (Input("/d", url),)


# --- ahead of need ----------------------------------------------------------------


async def test_what_is_wanted_is_brought_told_and_used(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", b"MKV")
    url = f"{server.url('/a')}#sha256={served.sha256}"
    async with at_work(tmp_path) as (broker, _):
        await broker.until(lambda: cached(broker) == ())
        want(broker, url)
        await broker.until(lambda: cached(broker) == (key_of(url),))
        want(broker, url)  # again: nothing more to do
        broker.grant(("j1", 1), spec=job("cat $SUAN_DATA_DIR/a", inputs=reads(url)))
        await broker.until(lambda: broker.told("j1") == ["started", "succeeded"])
        assert (await broker.read_log("j1", 1)).data == b"MKV"
        assert server.statuses == [200]


async def test_the_cache_is_told_in_each_session(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", b"MKV")
    async with at_work(tmp_path) as (broker, _):
        want(broker, server.url("/a"))
        await broker.until(lambda: cached(broker) == (key_of(server.url("/a")),))
        broker.talk.end()
        await broker.connected(sessions=2)
        await broker.until(lambda: cached(broker) == (key_of(server.url("/a")),))


async def test_a_job_hurries_what_is_on_its_way_slowly(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", BODY)
    url = server.url("/a")
    async with at_work(tmp_path) as (broker, _):
        want(broker, url, rate=1.0)
        await wait(lambda: server.seen)
        broker.grant(("j1", 1), spec=job("wc -c < $SUAN_DATA_DIR/a", inputs=reads(url)))
        await broker.until(lambda: broker.told("j1") == ["started", "succeeded"])
        assert (await broker.read_log("j1", 1)).data.split() == [str(MIB).encode()]
        assert server.statuses == [200]


async def test_what_is_wanted_no_more_or_not_in_time_is_given_up(
    server: FileServer, tmp_path: Path
) -> None:
    files = [server.put(f"/{name}", BODY, hold_at=HALF) for name in "ab"]
    async with at_work(tmp_path) as (broker, _):
        want(broker, server.url("/a"), server.url("/b"))
        await wait(lambda: len(server.seen) == 2)
        want(broker, server.url("/a"))
        await wait(files[1].gone.is_set)
        assert not files[0].gone.is_set()
        want(broker, server.url("/a"), seconds=0.05)
        await wait(files[0].gone.is_set)


async def test_it_goes_on_without_a_broker(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", BODY, hold_at=HALF)
    async with at_work(tmp_path) as (broker, _):
        want(broker, server.url("/a"))
        await wait(lambda: server.seen)
        broker.talk.end()
        await broker.connected(sessions=2)
        served.go.set()
        await broker.until(lambda: cached(broker) == (key_of(server.url("/a")),))


async def test_what_cannot_be_brought_is_borne_and_not_tried_again_at_once(
    server: FileServer, tmp_path: Path
) -> None:
    missing = server.url("/missing")
    server.put("/a", b"MKV")
    async with at_work(tmp_path) as (broker, daemon):
        bad = ("s3://bucket/key", "no url", "https://h/a#md5=0", missing)
        want(broker, *bad, "/etc/passwd")
        want(broker, *bad)
        await broker.until(lambda: refused(broker) == tuple(map(key_of, bad)))
        assert server.statuses == [404]
        want(broker, missing, server.url("/a"))
        await broker.until(lambda: cached(broker) == (key_of(server.url("/a")),))
        assert server.statuses == [404, 200]
        want(broker, server.url("/a"))
        want(broker, server.url("/a"), missing)  # after a while it may be there
        await wait(lambda: server.statuses == [404, 200, 404])
        assert daemon.session.connected


async def test_of_another_session_nothing_is_wanted(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", b"MKV")
    server.put("/b", b"MKV")
    async with at_work(tmp_path) as (broker, _):
        stale = session_pb2.Prestage(location=server.url("/a"), expires_seconds=60.0)
        broker.talk.say(prestages=session_pb2.Prestages(session="stale", wanted=[stale]))
        want(broker, server.url("/b"))
        await broker.until(lambda: cached(broker) == (key_of(server.url("/b")),))
        assert [seen.target for seen in server.seen] == ["/b"]


def test_senseless_figures_are_taken_as_not_said() -> None:
    bad = [
        session_pb2.Prestage(location="a", bytes_per_second=rate, expires_seconds=seconds)
        for rate, seconds in ((NAN, NAN), (-1.0, -1.0), (INFINITY, INFINITY), (1e300, 1e300))
    ]
    heard = prestages_from_wire(session_pb2.Prestages(wanted=bad * PRESTAGES_MAX))
    assert len(heard.wanted) == PRESTAGES_MAX
    figures = [(each.bytes_per_second, each.expires_seconds) for each in heard.wanted[:4]]
    assert figures == [(0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (1e300, 86_400.0)]


# --- progress ---------------------------------------------------------------------


async def test_progress_of_an_attempt_is_told_until_it_starts(
    server: FileServer, tmp_path: Path
) -> None:
    served = server.put("/a", BODY * 8, hold_at=5 * MIB)
    async with at_work(tmp_path) as (broker, _):
        wish = job("true", inputs=reads(server.url("/a")))
        broker.grant(("j1", 1), spec=wish)
        told = await broker.until(
            lambda: next((each for each in progress(broker) if sum(each.get(("j1", 1), ()))), None)
        )
        assert told == {("j1", 1): (told["j1", 1][0], 8 * MIB)}
        served.go.set()
        await broker.until(lambda: broker.told("j1") == ["started", "succeeded"])
        await broker.until(lambda: progress(broker)[-1] == {})


async def test_a_newer_word_takes_the_place_of_one_that_waits() -> None:
    lanes = Lanes()
    lanes.put(SendCache("s", 1, ("a",), 0))
    lanes.put(SendStaging("s", 2, ()))
    lanes.put(SendCache("s", 3, ("b",), 0))
    async with asyncio.timeout(5.0):
        assert [await lanes.next(), await lanes.next()] == [
            SendCache("s", 3, ("b",), 0),
            SendStaging("s", 2, ()),
        ]
