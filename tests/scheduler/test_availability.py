"""Young and Daly: the formulae against a simulation of failures, and their edges."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from scheduler.availability import (
    AVAILABILITY_MIN,
    CHECKPOINT_GB_PER_SECOND,
    CHECKPOINT_SECONDS,
    Reliability,
    best_interval_seconds,
    reliability,
)
from scheduler.model import Checkpoint

SHENZHEN_RATE = 0.0003  # failures per card and day


def gang_of(
    cards: int,
    per_day: float = SHENZHEN_RATE,
    checkpoint: Checkpoint | None = None,
    gbps: float = 0,
) -> Reliability:
    one = np.ones(1)
    return reliability(cards, one * per_day, one * 120.0, one * gbps, checkpoint or Checkpoint())


def test_the_interval_is_young_s_to_first_order_and_daly_s_beyond() -> None:
    between = 86_400 / (SHENZHEN_RATE * 8192)
    young = math.sqrt(2 * CHECKPOINT_SECONDS * between)
    part = CHECKPOINT_SECONDS / (2 * between)
    daly = young * (1 + math.sqrt(part) / 3 + part / 9) - CHECKPOINT_SECONDS
    [interval] = gang_of(8192).best_seconds
    assert interval == pytest.approx(daly)
    assert interval == pytest.approx(young, rel=0.05)
    assert gang_of(8192, 0.0).best_seconds[0] > 1e12
    often = best_interval_seconds(np.ones(1) * 1000.0, np.ones(1) / 100.0)
    assert often[0] == 100.0, "writing takes longer than failures are apart"


def test_no_other_interval_does_better() -> None:
    best = gang_of(8192, 0.003)
    share = best.outlook(np.array([1e7])).availability[0]
    [interval] = best.best_seconds
    for factor in (0.5, 0.8, 1.25, 2.0):
        other = gang_of(8192, 0.003, Checkpoint(0, interval * factor))
        assert other.outlook(np.array([1e7])).availability[0] < share


@pytest.mark.parametrize("per_day", [0.0003, 0.01])
def test_availability_is_what_a_simulation_of_failures_gives(per_day: float) -> None:
    """4,096 cards, a checkpoint every 2,000 s: 3,000 pieces of work with random failures."""
    chance = random.Random(7)
    gang = gang_of(4096, per_day, Checkpoint(0, 2000.0))
    rate, piece, write, restart = float(gang.rate[0]), 2000.0, CHECKPOINT_SECONDS, 120.0
    wall, pieces = 0.0, 3000
    for _ in range(pieces):
        while (failed_after := chance.expovariate(rate)) < piece + write:
            wall += failed_after
            while (again := chance.expovariate(rate)) < restart:
                wall += again
            wall += restart
        wall += piece + write
    assert gang.outlook(np.array([1e9])).availability[0] == pytest.approx(
        pieces * piece / wall, rel=0.02
    )


def test_short_runs_do_not_checkpoint_and_are_advised_none() -> None:
    gang = gang_of(64)
    found = gang.outlook(np.array([600.0]))
    assert found.checkpoint_every_seconds[0] == 0.0
    [share] = found.availability
    rate = float(gang.rate[0])
    assert share == pytest.approx(600 * rate / (math.exp(120 * rate) * math.expm1(600 * rate)))
    steady, frail = (gang_of(8192, rate).outlook(np.array([1e6])) for rate in (0.0, SHENZHEN_RATE))
    assert steady.checkpoint_every_seconds[0] == 0.0, "nothing fails"
    assert frail.checkpoint_every_seconds[0] == gang_of(8192).best_seconds[0]


def test_the_write_time_is_size_over_the_site_s_bandwidth() -> None:
    ten_tb = Checkpoint(size_bytes=10 * 10**12)
    assert gang_of(64, checkpoint=ten_tb, gbps=100.0).write_seconds[0] == pytest.approx(100.0)
    assumed = gang_of(64, checkpoint=ten_tb)
    assert assumed.write_seconds[0] == pytest.approx(10_000 / CHECKPOINT_GB_PER_SECOND)
    restart = 120.0 + 10_000 / CHECKPOINT_GB_PER_SECOND  # the checkpoint is read back
    assert assumed.restarts[0] == pytest.approx(math.exp(restart * assumed.rate[0]))
    fast = gang_of(8192, checkpoint=ten_tb, gbps=1000.0).outlook(np.array([1e6])).availability[0]
    slow = gang_of(8192, checkpoint=ten_tb, gbps=1.0).outlook(np.array([1e6])).availability[0]
    assert AVAILABILITY_MIN <= slow < fast < 1.0


def test_a_job_s_own_interval_costs_its_checkpoints_even_where_nothing_fails() -> None:
    eager = gang_of(8, 0.0, Checkpoint(0, 540.0))
    assert eager.outlook(np.array([1e5])).availability[0] == pytest.approx(0.9)
    assert eager.outlook(np.array([500.0])).availability[0] == 1.0, "over before the first"


@pytest.mark.parametrize("cards", [0, 1, 10**9])
@pytest.mark.parametrize("per_day", [0.0, 1e-300, 1.0, 1e300])
@pytest.mark.parametrize("seconds", [1e-3, 1.0, 1e9])
def test_absurd_rates_are_floored(cards: int, per_day: float, seconds: float) -> None:
    gang = gang_of(cards, per_day)
    [share] = gang.outlook(np.array([seconds])).availability
    assert AVAILABILITY_MIN <= share <= 1.0
    assert 0 <= gang.outlook(np.array([seconds])).checkpoint_every_seconds[0] < 1e9
