"""Every bound against the optimum, found by trying everything on small instances."""

from __future__ import annotations

import numpy as np
import pytest
from small_world import optimum, random_instance

from simulator.bounds import (
    Demand,
    bounds,
    fluid_prices,
    indexed_bound,
    makespan_bound,
    relaxed_bound,
    solo_bound,
)
from simulator.bounds.fluid import priced_work
from simulator.bounds.indexed import Table
from simulator.bounds.relaxed import srpt_ends
from simulator.policies import RIVALS
from simulator.replay import Instance, Pools, replay

SEEDS = range(25)
EXACT = 1.0 + 1e-9  # no rounding of lengths


def dense(seed: int) -> Instance:
    """Enough contention for waiting to matter."""
    return random_instance(seed, jobs=5, late=6)


@pytest.fixture(scope="module")
def solved() -> list[tuple[Instance, float, float]]:
    return [(dense(seed), *optimum(dense(seed))) for seed in SEEDS]


def test_no_bound_is_above_the_optimum(solved: list[tuple[Instance, float, float]]) -> None:
    ratios, relaxed_wins = [], 0
    for instance, total, makespan in solved:
        demand = Demand.of(instance)
        best = total / len(demand)
        timed = indexed_bound(demand, bucket_seconds=1.0, horizon_seconds=120.0)
        relaxed = relaxed_bound(demand, [fluid_prices(demand), even(demand)])
        assert solo_bound(demand) <= relaxed + 1e-9
        assert relaxed <= best + 1e-9
        assert timed.mean_jct_seconds <= best + 1e-9
        assert makespan_bound(demand) <= makespan + 1e-9
        ratios.append(timed.mean_jct_seconds / best)
        relaxed_wins += relaxed > solo_bound(demand) + 1e-9
    assert np.mean(ratios) > 0.88  # and they are not idle
    assert relaxed_wins > 0


def even(demand: Demand) -> np.ndarray:
    return np.full(len(demand.capacity), 1.0 / demand.capacity.sum())


def test_any_prices_prove_a_bound(solved: list[tuple[Instance, float, float]]) -> None:
    random = np.random.default_rng(0)
    for instance, total, _ in solved:
        demand = Demand.of(instance)
        for base in (EXACT, 1.1, 2.0):
            prices = random.exponential(0.3, (len(demand.capacity), 20))
            assert Table(demand, 2.0, 20, base).answer(prices).value <= total + 1e-9


def test_the_best_start_is_found_exactly() -> None:
    """Against every start on a fine grid; corners lie on it."""
    random = np.random.default_rng(1)
    for seed in range(5):
        demand = Demand.of(dense(seed))
        prices = random.exponential(0.5, (len(demand.capacity), 15))
        total = np.pad(
            np.cumsum(np.repeat(prices, 2, axis=1), axis=1) * 1.0, ((0, 0), (1, 400)), "edge"
        )
        total[:, 0] = 0.0  # integral to each whole second; buckets of 2 s
        value = 0.0
        for job in range(len(demand)):
            least = np.inf
            for kind in np.flatnonzero(np.isfinite(demand.run[job])):
                run, first = (
                    int(demand.run[job, kind]),
                    demand.submit[job] + demand.stage[job, kind],
                )
                for start in range(int(first), 200):
                    cost = demand.cards[job] * (total[kind, start + run] - total[kind, start])
                    least = min(least, start + run - demand.submit[job] + cost)
            value += least
        value -= float((prices * demand.capacity[:, None]).sum() * 2.0)
        assert Table(demand, 2.0, 15, EXACT).answer(prices).value == pytest.approx(value)


def test_the_demand_of_the_best_starts_is_a_slope() -> None:
    """L is concave and `asked - capacity` one of its slopes: no price does better than along it."""
    random = np.random.default_rng(2)
    demand = Demand.of(random_instance(7, jobs=30, late=40))
    table = Table(demand, 3.0, 30, EXACT)
    room = demand.capacity[:, None] * 3.0
    for _ in range(20):
        here, there = random.exponential(0.2, (2, len(demand.capacity), 30))
        answer = table.answer(here)
        along = answer.value + float(((answer.asked - room) * (there - here)).sum())
        assert table.answer(there).value <= along + 1e-6


def test_without_contention_the_bound_is_the_truth() -> None:
    pools = Pools(("p",), ("k",), np.zeros(1, np.int64), np.array([100]), np.ones(1))
    jobs = Instance.of(
        pools, np.arange(5.0), np.full(5, 2), np.full((5, 1), 30.0), np.full((5, 1), 3.0)
    )
    found = bounds(jobs)
    assert found.mean_jct_seconds == pytest.approx(33.0)
    assert found.makespan_seconds == pytest.approx(37.0)


def test_one_machine_after_another() -> None:
    """Ten jobs that each need the whole pool: 1 + 2 + ... + 10 lengths, known in closed form."""
    pools = Pools(("p",), ("k",), np.zeros(1, np.int64), np.array([4]), np.ones(1))
    jobs = Instance.of(
        pools, np.zeros(10), np.full(10, 4), np.full((10, 1), 60.0), np.zeros((10, 1))
    )
    demand = Demand.of(jobs)
    best = 60.0 * 5.5
    assert relaxed_bound(demand, [fluid_prices(demand)]) == pytest.approx(best)
    timed = indexed_bound(demand, bucket_seconds=60.0, horizon_seconds=900.0, steps=300)
    assert 0.93 * best <= timed.mean_jct_seconds <= best + 1e-9
    assert makespan_bound(demand) == pytest.approx(600.0)


def test_prices_of_the_fluid_program_are_the_best() -> None:
    for seed in range(10):
        demand = Demand.of(random_instance(seed, jobs=20, pools=3, kinds=3))
        prices = fluid_prices(demand)
        assert prices.min() >= 0 and float((prices * demand.capacity).sum()) == pytest.approx(1.0)
        best = priced_work(demand, prices).sum()
        for other in np.random.default_rng(seed).dirichlet(np.ones(3), 300) / demand.capacity:
            assert priced_work(demand, other).sum() <= best * (1 + 1e-6)


def test_srpt_by_hand() -> None:
    ends = srpt_ends(np.array([0.0, 1.0, 2.0, 40.0]), np.array([10.0, 2.0, 1.0, 5.0]))
    assert ends.tolist() == [13.0, 3.0, 4.0, 45.0]


def test_jobs_that_fit_nowhere_are_left_out() -> None:
    instance = random_instance(0, jobs=6)
    cards = instance.known.cards.copy()
    cards[2] = 999
    wide = Instance.of(
        instance.known.pools, instance.known.submit_seconds, cards, instance.run_seconds,
        instance.known.stage_seconds,
    )  # fmt: skip
    assert len(Demand.of(wide)) == 5
    nothing = wide.chosen(np.array([2]))
    assert bounds(nothing).mean_jct_seconds == 0.0


def test_every_policy_is_above_every_bound_on_larger_instances() -> None:
    for seed in range(6):
        instance = random_instance(seed, jobs=120, pools=4, kinds=2, late=150)
        found = bounds(instance)
        done = instance.feasible
        for rival in RIVALS.values():
            outcome = replay(instance, rival.make(instance.known, seed))
            jct = (outcome.ended_seconds - instance.known.submit_seconds)[done]
            assert jct.mean() >= found.mean_jct_seconds - 1e-9
            assert np.nanmax(outcome.ended_seconds) >= found.makespan_seconds - 1e-9
