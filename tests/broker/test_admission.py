"""The token bucket in front of sessions: who is refused learns when its turn is."""

from __future__ import annotations

import pytest

from broker.admission import WAIT_SECONDS_MAX, Bucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_the_next_ones_get_a_turn_each() -> None:
    clock = Clock()
    bucket = Bucket(10, 3, clock)
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert [bucket.take() for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])


def test_tokens_come_back_up_to_the_burst() -> None:
    clock = Clock()
    bucket = Bucket(10, 3, clock)
    for _ in range(3):
        bucket.take()
    clock.now += 0.1
    assert bucket.take() == 0.0
    assert bucket.take() > 0.0
    clock.now += 3_600.0
    assert [bucket.take() > 0.0 for _ in range(4)] == [False, False, False, True]


def test_a_herd_that_comes_in_its_turns_is_through_in_the_time_that_the_rate_gives() -> None:
    clock, count = Clock(), 500
    bucket = Bucket(50, 100, clock)
    due = [clock.now] * count  # when each one comes next
    tries = 0
    while due:
        clock.now = min(due)
        due.remove(clock.now)
        tries += 1
        wait = bucket.take()
        if wait:
            due.append(clock.now + wait)
    assert clock.now - 100.0 == pytest.approx((count - 100) / 50, rel=0.05)
    assert tries <= 2 * count


def test_nobody_is_told_to_wait_for_very_long() -> None:
    bucket = Bucket(1, 1, Clock())
    assert max(bucket.take() for _ in range(1_000)) == WAIT_SECONDS_MAX
