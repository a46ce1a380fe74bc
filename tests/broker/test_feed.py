"""Changes of jobs for whoever watches: in order, from any point that is still known."""

from __future__ import annotations

import asyncio

import pytest
from support_core import Desk
from support_loop import until

from broker import feed as feed_module
from broker.core.core import REVISION_BITS
from broker.core.rows import Job
from broker.feed import Changes, Feed

LONG_SECONDS = 30.0


def job(revision: int) -> Job:
    return Job(f"j{revision}", "lab", "", "li", "train", "sha", 1.0, revision=revision)


def revisions(changes: Changes) -> list[int]:
    return [one.revision for one in changes.jobs]


async def test_a_reader_resumes_where_it_was() -> None:
    feed = Feed(10)
    feed.publish([job(12), job(11)])
    feed.publish([job(15)])
    assert revisions(await feed.changes(10, 0.0)) == [11, 12, 15]
    first = await feed.changes(11, 0.0)
    assert (revisions(first), first.revision, first.reset) == ([12, 15], 15, False)
    assert revisions(await feed.changes(13, 0.0)) == [15], "between two revisions"


async def test_a_reader_that_knows_all_waits_for_the_next_change() -> None:
    feed = Feed(0)
    reading = asyncio.create_task(feed.changes(0, LONG_SECONDS))
    await asyncio.sleep(0)
    assert not reading.done()
    feed.publish([job(1)])
    assert revisions(await reading) == [1]


async def test_a_wait_without_a_change_ends() -> None:
    assert await Feed(7).changes(7, 0.01) == Changes((), 7)
    assert await Feed(7).changes(7, 0.0) == Changes((), 7)


async def test_all_who_wait_are_woken() -> None:
    feed = Feed(0)
    readings = [asyncio.create_task(feed.changes(0, LONG_SECONDS)) for _ in range(20)]
    await asyncio.sleep(0)
    feed.publish([job(1)])
    assert [revisions(await reading) for reading in readings] == [[1]] * 20


async def test_a_reader_from_before_the_start_starts_over() -> None:
    feed = Feed(100)
    for after in (-1, 0, 99):
        assert await feed.changes(after, LONG_SECONDS) == Changes((), 100, reset=True)
    assert not (await feed.changes(100, 0.0)).reset


async def test_a_reader_that_fell_behind_the_ring_starts_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "CHANGES_KEPT", 5)
    feed = Feed(0)
    feed.publish([job(number) for number in range(1, 8)])
    assert revisions(await feed.changes(2, 0.0)) == [3, 4, 5, 6, 7], "just what is kept"
    assert (await feed.changes(1, 0.0)).reset


async def test_a_read_is_bounded_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "CHANGES_PER_READ_MAX", 4)
    feed = Feed(0)
    feed.publish([job(number) for number in range(1, 11)])
    seen: list[int] = []
    after = 0
    while after < feed.revision:
        changes = await feed.changes(after, 0.0)
        assert len(changes.jobs) <= 4
        seen += revisions(changes)
        after = changes.revision
    assert seen == list(range(1, 11))


async def test_a_reader_ahead_of_what_is_durable_waits_for_it() -> None:
    """It has read the present state, whose newest changes are still being stored."""
    feed = Feed(10)
    reading = asyncio.create_task(feed.changes(12, LONG_SECONDS))
    await asyncio.sleep(0)
    feed.publish([job(11)])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not reading.done()
    feed.publish([job(12)])
    await asyncio.sleep(0)
    assert not reading.done(), "it knows that one"
    feed.publish([job(13)])
    assert revisions(await reading) == [13]


async def test_a_reader_ahead_of_what_ever_comes_starts_over_in_the_end() -> None:
    assert await Feed(10).changes(99, 0.01) == Changes((), 10, reset=True)


async def test_no_change_is_missed_across_leaders() -> None:
    """Revisions that the last leader gave and never stored are not given again."""
    desk = Desk()
    desk.submit("a", "b")
    seen = desk.state.revision + 5  # as a reader may have it from the leader's memory
    desk.restart()
    feed = Feed(desk.state.revision)
    assert desk.state.revision == 2 << REVISION_BITS
    desk.cancel("a")
    feed.publish([desk.job("a")])
    assert (await feed.changes(seen, LONG_SECONDS)).reset


async def test_a_slow_reader_sees_each_change_once_while_others_are_made() -> None:
    feed = Feed(0)
    seen: list[int] = []

    async def read() -> None:
        after = 0
        while after < 300:
            changes = await feed.changes(after, LONG_SECONDS)
            assert not changes.reset
            seen.extend(revisions(changes))
            after = changes.revision

    reading = asyncio.create_task(read())
    for number in range(1, 301):
        feed.publish([job(number)])
        if number % 7 == 0:
            await asyncio.sleep(0)
    await until(reading.done)
    assert seen == list(range(1, 301))
