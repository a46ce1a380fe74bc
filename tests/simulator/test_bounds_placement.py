"""The certificate of a round: never below the best assignment, and close to it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from simulator.bounds import placement_bound, placement_prices


def case(seed: int, jobs: int = 7, groups: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    values = random.uniform(0, 10, (jobs, groups))
    values[random.random((jobs, groups)) < 0.2] = -np.inf
    return (
        values,
        random.integers(1, 5, jobs).astype(float),
        random.integers(2, 8, groups).astype(float),
    )


def best_value(values: np.ndarray, cards: np.ndarray, capacity: np.ndarray) -> float:
    groups, best = len(capacity), 0.0
    for places in itertools.product(range(groups + 1), repeat=len(cards)):
        used = [
            sum(c for c, at in zip(cards, places, strict=True) if at == g) for g in range(groups)
        ]
        if all(u <= c for u, c in zip(used, capacity, strict=True)):
            best = max(best, sum(values[j, at] for j, at in enumerate(places) if at < groups))
    return best


def test_every_price_certifies_and_good_prices_certify_well() -> None:
    random = np.random.default_rng(9)
    grid = np.linspace(0.0, 10.0, 41)
    for seed in range(15):
        values, cards, capacity = case(seed)
        best = best_value(values, cards, capacity)
        for _ in range(20):
            assert (
                placement_bound(values, cards, capacity, random.exponential(1.0, 2)) >= best - 1e-9
            )
        prices = placement_prices(values, cards, capacity)
        found = placement_bound(values, cards, capacity, prices)
        assert found >= best - 1e-9
        assert found <= placement_bound(values, cards, capacity, np.zeros(2))
        least = min(
            placement_bound(values, cards, capacity, np.array([one, two]))
            for one in grid
            for two in grid
        )
        assert found <= 1.03 * least


def test_identical_jobs_are_priced_exactly() -> None:
    values, cards, capacity = np.full((10, 1), 3.0), np.ones(10), np.array([4.0])
    prices = placement_prices(values, cards, capacity)
    assert placement_bound(values, cards, capacity, prices) == pytest.approx(12.0, rel=0.02)


def test_prices_must_be_prices() -> None:
    values, cards, capacity = case(0)
    for bad in (np.array([-1.0, 0.0]), np.array([np.nan, 0.0])):
        with pytest.raises(ValueError, match="prices"):
            placement_bound(values, cards, capacity, bad)
    assert placement_bound(np.zeros((0, 2)), np.zeros(0), capacity, np.zeros(2)) == 0.0
