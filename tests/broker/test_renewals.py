"""Leases are renewed for as long as an agent beats, and no store hears of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from support_core import Desk, digest_of, parse_spec
from support_etcd import running_etcd
from support_loop import NEVER_SECONDS, PATIENCE_SECONDS, submission

from broker.core.messages import Heartbeat, HeartbeatReply, Send, Tick
from broker.core.rows import Record
from broker.loop import Loop
from broker.store import Store
from broker.store.etcd import EtcdSettings, EtcdStore
from broker.store.etcd.loader import messages
from broker.store.sqlite import SqliteStore

SITES = ("east", "west")
BEAT_SECONDS = 10.0
BEATS = 200  # of each site: more than three times the lease of 600 s


@dataclass(frozen=True)
class Watched:
    """A real store, and a mark of its backend's own that moves with each write to it."""

    store: Store
    mark: Callable[[], int]


@pytest.fixture(params=["sqlite", "etcd"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    yield from {"sqlite": in_sqlite, "etcd": in_etcd}[request.param](tmp_path)


def in_sqlite(directory: Path) -> Iterator[Watched]:
    """`data_version` of one connection moves when another has committed a change."""
    path = directory / "rows.sqlite"
    with (
        closing(SqliteStore(path, parse_spec)) as store,
        closing(sqlite3.connect(path, check_same_thread=False)) as beside,
    ):
        yield Watched(store, lambda: int(beside.execute("PRAGMA data_version").fetchone()[0]))


def in_etcd(directory: Path) -> Iterator[Watched]:
    """The revision moves when anything changes; on a node that nobody else uses."""
    with running_etcd(directory) as etcd, closing(etcd.raw()) as raw:
        settings = EtcdSettings(endpoints=etcd.endpoints, federation="renewals")
        request = messages().RangeRequest(key=settings.prefix)
        with closing(EtcdStore(settings, parse_spec)) as store:
            yield Watched(store, lambda: int(raw.kv.Range(request, timeout=5.0).header.revision))


async def test_renewals_write_nothing_to_the_store(watched: Watched) -> None:
    desk = Desk()
    desk.store = watched.store  # type: ignore[assignment]
    desk.restart()
    for site in SITES:
        desk.register(site)
        desk.hello(site)
        desk.run(f"at-{site}", site)
    sent: list[Send] = []

    def release(sends: Sequence[Send], _: Sequence[Record]) -> None:
        sent.extend(sends)

    loop = Loop(desk.core, watched.store, lambda: desk.now, release)
    running = asyncio.create_task(loop.run(NEVER_SECONDS))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            before = watched.mark()
            for seq in range(1, BEATS + 1):
                desk.advance(BEAT_SECONDS, tick=False)
                for site in SITES:
                    loop.post_soon(beat(desk, site, seq))
                await loop.post(Tick())  # whose reply comes when its batch has left
            assert [send.message for send in sent] == renewals(desk.core.memory.term)
            assert [desk.attempt(f"at-{site}").state.value for site in SITES] == ["running"] * 2
            assert watched.mark() == before
            await loop.post(submission("another"))
            assert watched.mark() > before, "the mark tells a write when there is one"
    finally:
        running.cancel()
        await asyncio.wait({running})


def beat(desk: Desk, site: str, seq: int) -> Heartbeat:
    """What an agent says while its one job runs on."""
    presence = desk.core.memory.presence[site]
    digest = digest_of((f"at-{site}", 1))
    return Heartbeat(site, "s1", seq, digest, presence.grant_seq, presence.report_seq)


def renewals(term: int) -> list[HeartbeatReply]:
    """The answers to all heartbeats; none stops an attempt or asks what is held."""
    replies = [HeartbeatReply(seq, term, False, (), BEAT_SECONDS) for seq in range(1, BEATS + 1)]
    return [reply for reply in replies for _ in SITES]
