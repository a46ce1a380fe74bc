"""The broker's clock never measures long, and no lease reads the wall clock."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from support_core import Desk, with_limits

from broker.clock import ElapsedClock, system_clock
from broker.core.lifecycle import JobState

SECOND = 1_000_000_000
TEN_YEARS = 10 * 365 * 86_400.0


@dataclass
class Source:
    """A clock that stands where it is put."""

    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


def clock() -> tuple[ElapsedClock, Source, Source]:
    first, second = Source(7 * SECOND), Source(900 * SECOND)
    return ElapsedClock(first, second), first, second


def advance(seconds: float, *sources: Source) -> None:
    for source in sources:
        source.now_ns += int(seconds * SECOND)


def test_starts_at_zero_whatever_the_sources_show() -> None:
    assert clock()[0].now() == 0.0


def test_a_clock_that_is_slewed_fast_does_not_lengthen() -> None:
    elapsed, first, second = clock()
    advance(110, first)
    advance(100, second)
    assert elapsed.now() == 100.0


def test_a_lag_is_not_made_up_by_a_lead_of_the_other_clock() -> None:
    """Over any stretch it is the smaller advance, not the smaller reading."""
    elapsed, first, second = clock()
    advance(90, first)
    advance(100, second)
    before = elapsed.now()
    advance(120, first)
    advance(100, second)
    assert elapsed.now() - before == 100.0


def test_reading_often_loses_nothing_and_never_goes_back() -> None:
    elapsed, first, second = clock()
    seen = []
    for step in range(1, 100_001):
        jitter = 5_000 if step % 2 else -5_000  # ns between the two reads
        first.now_ns, second.now_ns = 7 * SECOND + step * 10_000, 900 * SECOND + step * 10_000
        second.now_ns += jitter
        seen.append(elapsed.now())
    assert seen == sorted(seen)
    assert 0.9999 < seen[-1] <= 1.0


def test_a_suspended_broker_waits_longer() -> None:
    """Neither clock counts suspend: the sites' leases end meanwhile, ours last."""
    elapsed, first, second = clock()
    advance(1, first, second)  # an hour passed outside
    assert elapsed.now() == 1.0


def test_the_real_clock_moves() -> None:
    now = system_clock()
    first = now()
    while now().elapsed == first.elapsed:
        pass
    assert now().elapsed > first.elapsed


@pytest.mark.parametrize("jump", [TEN_YEARS, -TEN_YEARS])
def test_a_jump_of_the_wall_clock_ends_and_extends_no_lease(jump: float) -> None:
    desk = Desk("east", "west", limits=with_limits(retention_seconds=1e12))
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east")
    for _ in range(30):
        desk.advance(20.0, tick=False)
        desk.wall += jump / 10
        desk.beat("west")
        desk.advance(0.0)
    assert desk.job("a").state is JobState.RUNNING, "600 s of silence: its lease may still run"
    desk.advance(40.0, tick=False)
    desk.beat("west")
    desk.advance(0.0)
    assert desk.job("a").state is JobState.QUEUED
    assert desk.core.memory.presence["west"].silence == "open"
