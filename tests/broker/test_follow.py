"""One follow of the changes for all who watch: nothing missed, and little kept for the slow."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack

import pytest
from support_loop import PATIENCE_SECONDS, until

from broker import change_logs
from broker import follow as follow_module
from broker.change_logs import Interest
from broker.core.rows import Attempt, Job
from broker.feed import Changes, Feed
from broker.follow import Follow
from suan.errors import ResourceExhausted, Unavailable

LONG_SECONDS = 30.0


class FeedPort:
    """The part of a leader's port that a follow asks; `away` is raised instead of answers."""

    def __init__(self, revision: int = 100) -> None:
        self.feed = Feed(revision)
        self.asked = 0
        self.away: Exception | None = None

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        self.asked += 1
        if self.away is not None:
            raise self.away
        return await self.feed.changes(after, wait_seconds)


def follow_of(port: FeedPort) -> Follow:
    return Follow(port)  # type: ignore[arg-type]  # it asks for nothing else


def job(name: str, revision: int, tenant: str = "lab", array: str = "", site: str = "") -> Job:
    tries = (Attempt(1, site, f"{site}/main", "m", 0, (), 1.0),) if site else ()
    return Job(
        name, tenant, "", "li", "t", "sha", 1.0, array_id=array, attempts=tries, revision=revision
    )


def seen(changes: Changes) -> list[tuple[str, int]]:
    return [(one.id, one.revision) for one in changes.jobs]


async def quiet(follow: Follow, port: FeedPort) -> None:
    """Until the follow has handed out all that the feed has."""
    await until(lambda: follow.revision == port.feed.revision)


@pytest.mark.parametrize(
    ("interest", "heard"),
    [
        (Interest(frozenset({"a"}), "lab"), ["a"]),
        (Interest(frozenset({"ar"}), "lab"), ["b"]),
        (Interest(frozenset({"a", "ar", "none"})), ["a", "b"]),
        (Interest(tenant="lab"), ["a", "b", "d"]),
        (Interest(tenant="other"), ["c"]),
        (Interest(site="east"), ["d"]),
        (Interest(), ["a", "b", "c", "d"]),
    ],
)
async def test_each_hears_of_its_own(interest: Interest, heard: list[str]) -> None:
    port = FeedPort()
    async with follow_of(port).watch(interest, 100) as watcher:
        port.feed.publish(
            [
                job("a", 101),
                job("b", 102, array="ar"),
                job("c", 103, tenant="other"),
                job("d", 104, site="east"),
            ]
        )
        assert [name for name, _ in seen(await watcher.next(LONG_SECONDS))] == heard


async def test_all_share_one_reader_of_the_feed() -> None:
    port = FeedPort()
    follow = follow_of(port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with (
            follow.watch(Interest(), 100) as first,
            follow.watch(Interest(), 100) as second,
        ):
            for revision in range(101, 111):
                port.feed.publish([job("a", revision)])
                await quiet(follow, port)
            assert port.asked <= 1 + 10 + 1
            assert seen(await first.next(0.0)) == seen(await second.next(0.0)) == [("a", 110)]
            assert (await first.next(0.01)).revision == 110, "quiet"


async def test_a_reader_goes_on_where_it_was() -> None:
    port = FeedPort()
    follow = follow_of(port)
    port.feed.publish([job("a", 101), job("b", 102), job("c", 103)])
    async with follow.watch(Interest(), 101) as watcher:
        assert seen(await watcher.next(LONG_SECONDS)) == [("b", 102), ("c", 103)]
        port.feed.publish([job("b", 104)])
        assert seen(await watcher.next(LONG_SECONDS)) == [("b", 104)]


@pytest.mark.parametrize("after", [-1, 0, 99])
async def test_who_cannot_go_on_starts_over(after: int) -> None:
    port = FeedPort()
    async with follow_of(port).watch(Interest(), after) as watcher:
        changes = await watcher.next(LONG_SECONDS)
        assert (changes.reset, changes.jobs) == (True, ())


async def test_a_token_that_no_leader_gave_starts_over_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follow_module, "FOLLOW_WAIT_SECONDS", 0.01)
    async with follow_of(FeedPort()).watch(Interest(), 10**15) as watcher:
        assert (await watcher.next(LONG_SECONDS)).reset


async def test_a_reader_ahead_of_what_is_durable_hears_of_the_next() -> None:
    port = FeedPort()
    follow = follow_of(port)

    async def read() -> Changes:
        async with follow.watch(Interest(), 102) as watcher:
            return await watcher.next(LONG_SECONDS)

    reading = asyncio.create_task(read())
    await until(lambda: follow.revision)
    for revision in (101, 102):
        port.feed.publish([job("a", revision)])
        await quiet(follow, port)
    assert not reading.done()
    port.feed.publish([job("a", 103)])
    assert seen(await reading) == [("a", 103)]


async def test_who_does_not_read_keeps_little_and_starts_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(change_logs, "CHANGES_KEPT", 5)
    port = FeedPort()
    follow = follow_of(port)
    async with follow.watch(Interest(), 100) as slow, follow.watch(Interest(), 100) as quick:
        for revision in range(101, 150):
            port.feed.publish([job(f"j{revision}", revision)])
            await quiet(follow, port)
            assert seen(await quick.next(LONG_SECONDS)) == [(f"j{revision}", revision)]
            assert all(len(log._changes) <= 5 for log in slow.logs)
        assert (await slow.next(LONG_SECONDS)).reset
        slow.know(149)  # it has read the present state
        port.feed.publish([job("j101", 150)])
        assert seen(await slow.next(LONG_SECONDS)) == [("j101", 150)]


async def test_of_many_changes_of_a_job_the_last_is_told() -> None:
    port = FeedPort()
    follow = follow_of(port)
    async with follow.watch(Interest(), 100) as watcher:
        for revision, name in zip(range(101, 161), itertools.cycle("abc"), strict=False):
            port.feed.publish([job(name, revision)])
            await quiet(follow, port)
        assert seen(await watcher.next(LONG_SECONDS)) == [("a", 158), ("b", 159), ("c", 160)]


async def test_what_was_shown_is_not_said_again_and_nothing_older() -> None:
    """The present state was read in pages; jobs went on changing meanwhile."""
    port = FeedPort()
    follow = follow_of(port)
    async with follow.watch(Interest(), -1) as watcher:
        assert (await watcher.next(LONG_SECONDS)).reset
        port.feed.publish([job("a", 101), job("b", 102)])
        await quiet(follow, port)
        watcher.know(101, hold=103)  # pages of 101 and 103; the last one shows b as of 103
        assert seen(await watcher.next(0.01)) == [], "b as of 102 would be a step back"
        port.feed.publish([job("b", 103)])
        assert seen(await watcher.next(LONG_SECONDS)) == [("b", 103)]


async def test_a_read_is_bounded_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "JOBS_PER_READ_MAX", 3)
    port = FeedPort()
    follow = follow_of(port)
    async with follow.watch(Interest(), 100) as watcher:
        port.feed.publish([job(f"j{revision}", revision) for revision in range(101, 109)])
        parts = []
        while not parts or parts[-1].revision < 108:
            parts.append(await watcher.next(LONG_SECONDS))
        assert [part.revision for part in parts] == [103, 106, 108]
        assert [len(part.jobs) for part in parts] == [3, 3, 2]


async def test_a_long_way_to_catch_up_is_gone_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what changes meanwhile comes after it, in order."""
    monkeypatch.setattr(follow_module, "JOBS_PER_READ_MAX", 3)
    port = FeedPort()
    follow = follow_of(port)
    port.feed.publish([job(f"j{revision}", revision) for revision in range(101, 109)])
    async with follow.watch(Interest(), 102) as watcher:
        told = seen(await watcher.next(LONG_SECONDS))
        port.feed.publish([job("j108", 109), job("new", 110)])
        await quiet(follow, port)
        while told[-1][1] < 110:
            told += seen(await watcher.next(LONG_SECONDS))
    assert told == [(f"j{n}", n) for n in range(103, 108)] + [("j108", 109), ("new", 110)]


async def test_a_leader_that_goes_ends_all_watches_and_the_next_serves_new_ones() -> None:
    port = FeedPort()
    follow = follow_of(port)
    async with follow.watch(Interest(), 100) as first, follow.watch(Interest(), 100) as second:
        port.away = Unavailable("nobody leads", "", "NotLeader")
        port.feed.publish([job("a", 101)])
        for watcher in (first, second):
            with pytest.raises(Unavailable):
                while True:
                    await watcher.next(LONG_SECONDS)
        with pytest.raises(Unavailable):
            async with follow.watch(Interest(), 100):
                pass
        port.away = None
        async with follow.watch(Interest(), 100) as third:
            assert seen(await third.next(LONG_SECONDS)) == [("a", 101)]
            with pytest.raises(Unavailable):
                await first.next(LONG_SECONDS)


async def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "WATCHERS_MAX", 2)
    monkeypatch.setattr(follow_module, "SUBJECTS_MAX", 3)
    follow = follow_of(FeedPort())
    one, three = Interest(frozenset("a")), Interest(frozenset("abc"))
    async with follow.watch(one, 100):
        for many in ([three], [one, one]):
            async with AsyncExitStack() as stack:
                with pytest.raises(ResourceExhausted) as raised:
                    for interest in many:
                        await stack.enter_async_context(follow.watch(interest, 100))
            assert raised.value.code == "TooManyWatchers"
            assert raised.value.retry_after_seconds > 0
    async with follow.watch(three, 100):
        pass


async def test_a_reader_that_comes_later_is_told_what_it_missed() -> None:
    """Of a subject that others watch, and of one that nobody did."""
    port = FeedPort()
    follow = follow_of(port)
    async with follow.watch(Interest(frozenset("a")), 100):
        port.feed.publish([job("a", 101), job("b", 102)])
        await quiet(follow, port)
        asked = port.asked
        async with follow.watch(Interest(frozenset("a")), 100) as same:
            assert seen(await same.next(LONG_SECONDS)) == [("a", 101)]
        assert port.asked == asked
        async with follow.watch(Interest(frozenset("ab")), 100) as other:
            assert seen(await other.next(LONG_SECONDS)) == [("a", 101), ("b", 102)]
            port.feed.publish([job("b", 103)])
            assert seen(await other.next(LONG_SECONDS)) == [("b", 103)]


async def test_nothing_is_asked_when_nobody_watches() -> None:
    port = FeedPort()
    follow = follow_of(port)
    async with follow.watch(Interest(), 100):
        following = follow._following
    assert following is not None
    await until(following.done)
    assert follow._logs == {}
