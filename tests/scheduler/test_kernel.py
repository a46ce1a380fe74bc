"""The kernel decides exactly as a loop over single gangs does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.arrays import Floats, Ints
from scheduler.kernel import NOWHERE, decide


def one_by_one(costs: Floats, needs: Ints, gangs: Ints, free: Ints) -> tuple[list[int], Ints]:
    """The site of every gang, and what is left: nothing clever."""
    left = free.copy()
    sites = []
    for row, need, count in zip(costs, needs, gangs.tolist(), strict=True):
        for _ in range(count):
            able = (left >= need[:, None]).all(axis=0) & np.isfinite(row)
            site = int(np.where(able, row, np.inf).argmin()) if able.any() else NOWHERE
            if site != NOWHERE:
                left[:, site] -= need
            sites.append(site)
    return sites, left


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(1, 9), st.integers(1, 8))
def test_as_one_by_one(seed: int, classes: int, sites: int, resources: int) -> None:
    random = np.random.default_rng(seed)
    costs = random.integers(0, 5, (classes, sites)).astype(np.float64)  # with ties
    costs[random.random((classes, sites)) < 0.2] = np.inf
    needs = random.integers(0, 4, (classes, resources))
    gangs = random.integers(0, 6, classes)
    free = random.integers(0, 15, (resources, sites))
    before = free.copy()
    found = decide(costs, needs, gangs, free)
    expected, left = one_by_one(costs, needs, gangs, free)
    assert np.repeat(found.site_of, found.gangs).tolist() == expected
    assert np.bincount(found.class_of, found.gangs, classes).tolist() == gangs.tolist()
    assert (found.free == left).all()
    assert (found.free >= 0).all()
    assert (free == before).all()


def test_a_gang_is_whole_or_left_over() -> None:
    found = decide(np.zeros((1, 2)), _ints([3]), np.array([3]), _ints([4, 5]))
    assert list(zip(found.site_of.tolist(), found.gangs.tolist(), strict=True)) == [
        (0, 1),
        (1, 1),
        (NOWHERE, 1),
    ]


@pytest.mark.parametrize("sites", [0])
def test_without_sites_all_are_left_over(sites: int) -> None:
    found = decide(np.zeros((1, sites)), _ints([1]), np.array([2]), np.zeros((1, sites), np.int64))
    assert found.site_of.tolist() == [NOWHERE]


def _ints(*rows: list[int]) -> Ints:
    return np.array(rows, np.int64)
