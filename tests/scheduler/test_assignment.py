"""An assignment keeps to counts and cards, is the same each time, and close to the best."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.arrays import Floats, Ints
from scheduler.assignment import Assignment, assign, market_of
from scheduler.prices import auction


class Case:
    """Classes, and pools in groups."""

    def __init__(self, seed: int, classes: int, pools: int, groups: int, widest: int = 9) -> None:
        random = np.random.default_rng(seed)
        self.group_of: Ints = random.integers(0, groups, pools)
        self.free: Ints = random.integers(0, widest, pools)
        self.counts: Ints = random.integers(0, 4, classes)
        shared = bool(random.integers(2))
        self.cards: Ints = random.integers(1, 5, (classes, 1 if shared else groups))
        values: Floats = random.uniform(-1.0, 10.0, (classes, groups))
        values[random.random((classes, groups)) < 0.2] = -np.inf
        self.values = values
        self.market = market_of(values, self.cards, self.counts, self.group_of, self.free)

    def assigned(self, passes: int = 30) -> Assignment:
        return assign(self.market, auction(self.market, passes=passes), self.group_of, self.free)

    def check(self, found: Assignment) -> None:
        """Never over capacity or count, nowhere it must not be, worth what it says."""
        groups = self.group_of[found.pool_of]
        cards = np.broadcast_to(self.cards, self.values.shape)[found.class_of, groups]
        used = np.bincount(found.pool_of, cards * found.gangs, len(self.free))
        assert (used <= self.free).all()
        assert (found.gangs >= 1).all()
        placed = np.bincount(found.class_of, found.gangs, len(self.counts))
        assert (placed <= self.counts).all()
        worth = self.values[found.class_of, groups]
        assert (worth > 0).all()
        assert found.value == pytest.approx(float((worth * found.gangs).sum()))
        assert found.value <= found.bound + 1e-9
        assert 0.0 <= found.gap <= 1.0
        lots = list(zip(found.class_of.tolist(), found.pool_of.tolist(), strict=True))
        assert lots == sorted(set(lots))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(1, 10), st.integers(1, 4))
def test_an_assignment_is_always_possible(seed: int, classes: int, pools: int, groups: int) -> None:
    case = Case(seed, classes, pools, groups)
    found = case.assigned(passes=1 + seed % 40)
    case.check(found)
    again = case.assigned(passes=1 + seed % 40)
    for name in ("class_of", "pool_of", "gangs"):
        assert getattr(found, name).tolist() == getattr(again, name).tolist()


@pytest.mark.parametrize("seed", range(25))
def test_it_is_near_the_best_of_all(seed: int) -> None:
    case = Case(seed, classes=3, pools=3, groups=2, widest=7)
    case.counts = np.minimum(case.counts, 2)
    case.market = market_of(case.values, case.cards, case.counts, case.group_of, case.free)
    found, best = case.assigned(passes=100), best_value(case)
    case.check(found)
    assert found.bound >= best - 1e-9
    assert found.value >= 0.75 * best


def best_value(case: Case) -> float:
    """The worth of the best assignment to pools, by trying all."""
    gangs = [at for at, count in enumerate(case.counts.tolist()) for _ in range(count)]
    cards = np.broadcast_to(case.cards, case.values.shape)
    best = 0.0
    for chosen in itertools.product((None, *range(len(case.free))), repeat=len(gangs)):
        left, value = case.free.copy(), 0.0
        for at, pool in zip(gangs, chosen, strict=True):
            if pool is not None:
                left[pool] -= cards[at, case.group_of[pool]]
                value += case.values[at, case.group_of[pool]]
        if (left >= 0).all():
            best = max(best, value)
    return best


def test_a_scarce_pool_goes_to_those_that_need_it() -> None:
    """Both like group 0 best; only the second can do nothing else."""
    values = np.array([[10.0, 9.0], [8.0, -np.inf]])
    found = assigned(values, cards=[[1], [1]], counts=[4, 4], free=[4, 4])
    assert placed(found) == {(0, 1): 4, (1, 0): 4}
    assert found.ratio == pytest.approx(1.0, abs=0.01)


def test_a_gang_takes_the_fullest_pool_that_holds_it() -> None:
    found = assigned(np.array([[5.0]]), cards=[[3]], counts=[1], free=[8, 4, 2], group_of=[0, 0, 0])
    assert placed(found) == {(0, 1): 1}


def test_small_worth_makes_room_for_a_large_gang() -> None:
    """By gain per card the small one is first and keeps the large one out; by gain it is not."""
    values = np.array([[3.0], [8.0]])
    found = assigned(values, cards=[[1], [4]], counts=[1, 1], free=[4])
    assert placed(found) == {(1, 0): 1}


def test_a_gang_wider_than_any_pool_raises_no_bound() -> None:
    """Two pools of 4 cards are no place for a gang of 8, whatever it would be worth."""
    values = np.array([[100.0], [1.0]])
    found = assigned(values, cards=[[8], [4]], counts=[1, 2], free=[4, 4], group_of=[0, 0])
    assert found.value == 2.0
    assert found.bound == pytest.approx(2.0)


def test_a_crowd_is_placed_close_to_the_bound() -> None:
    random = np.random.default_rng(3)
    cards = random.choice([1, 2, 4, 8], (2000, 1))
    worth = cards * np.exp(random.normal(0.0, 0.8, (2000, 1)))
    group_of = random.integers(0, 30, 60)
    group_of[:30] = np.arange(30)
    free = np.full(60, int(cards.sum() / 1.2 / 60))
    market = market_of(
        worth * random.uniform(0.3, 1.0, (2000, 30)), cards, np.ones(2000, np.int64), group_of, free
    )
    assert assign(market, auction(market), group_of, free).ratio >= 0.975


def test_nothing_to_place_leaves_no_gap() -> None:
    found = assigned(np.zeros((0, 1)), cards=[], counts=[], free=[4])
    assert (found.value, found.gap) == (0.0, 0.0)


def assigned(
    values: Floats,
    cards: list[list[int]],
    counts: list[int],
    free: list[int],
    group_of: list[int] | None = None,
) -> Assignment:
    of = np.array(group_of or range(len(free)), np.int64)
    room = np.array(free, np.int64)
    each = np.array(cards, np.int64).reshape(len(values), 1)
    market = market_of(values, each, np.array(counts, np.int64), of, room)
    return assign(market, auction(market), of, room)


def placed(found: Assignment) -> dict[tuple[int, int], int]:
    lots = zip(found.class_of.tolist(), found.pool_of.tolist(), found.gangs.tolist(), strict=True)
    return {(at, pool): gangs for at, pool, gangs in lots}
