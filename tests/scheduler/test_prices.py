"""The certified bound against brute force, and prices that may stop anywhere."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.arrays import Floats, Ints
from scheduler.prices import Market, PriceList, auction, certify, uniform_prices


def small_market(seed: int, per_group: bool) -> Market:
    random = np.random.default_rng(seed)
    classes, groups = int(random.integers(1, 4)), int(random.integers(1, 4))
    values = random.uniform(-1.0, 10.0, (classes, groups))
    values[random.random((classes, groups)) < 0.2] = -np.inf
    cards = random.integers(1, 5, (classes, groups if per_group else 1))
    counts = random.integers(0, 3, classes)
    return Market(values, cards, counts, random.integers(0, 9, groups))


def best_value(market: Market) -> float:
    """The worth of the best assignment, by trying all."""
    cards = np.broadcast_to(market.cards, market.values.shape)
    groups = range(len(market.capacity))
    gangs = [at for at, count in enumerate(market.counts.tolist()) for _ in range(count)]
    best = 0.0
    for chosen in itertools.product((None, *groups), repeat=len(gangs)):
        used, value = np.zeros(len(market.capacity), np.int64), 0.0
        for at, group in zip(gangs, chosen, strict=True):
            if group is not None:
                used[group] += cards[at, group]
                value += market.values[at, group]
        if (used <= market.capacity).all():
            best = max(best, value)
    return best


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 40))
def test_no_assignment_is_worth_more_than_the_bound(
    seed: int, per_group: bool, passes: int
) -> None:
    market = small_market(seed, per_group)
    found = auction(market, passes=passes)
    best = best_value(market)
    assert found.bound >= best - 1e-9
    assert certify(market, found.prices) == pytest.approx(found.bound)
    any_prices = np.random.default_rng(seed).uniform(0.0, 5.0, len(market.capacity))
    assert certify(market, any_prices) >= best - 1e-9


def crowd(classes: int = 300, groups: int = 20, seed: int = 0) -> Market:
    """More wishes than cards, worth unlike."""
    random = np.random.default_rng(seed)
    cards = random.choice([1, 2, 8, 16], (classes, 1))
    worth = cards * np.exp(random.normal(0.0, 0.8, (classes, 1)))
    values = worth * random.uniform(0.2, 1.0, (classes, groups))
    counts = random.integers(1, 5, classes)
    capacity = np.full(groups, int((counts * cards[:, 0]).sum() / 1.2 / groups))
    return Market(values, cards, counts, capacity)


def test_the_bound_falls_with_every_chance_to_look() -> None:
    market = crowd()
    bounds = [auction(market, passes=passes).bound for passes in (1, 5, 20, 80, 320)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < bounds[0]


def test_the_bound_comes_close_to_the_linear_relaxation() -> None:
    highspy = pytest.importorskip("highspy")
    market = crowd()
    exact = linear_value(highspy, market)
    assert exact - 1e-6 <= auction(market, passes=600).bound <= 1.003 * exact


def linear_value(highspy: object, market: Market) -> float:
    """The relaxation's value by the HiGHS solver: gangs may be split."""
    solver = highspy.Highs()  # type: ignore[attr-defined]
    solver.silent()
    classes, groups = market.values.shape
    shares = [
        [solver.addVariable(lb=0.0, ub=float(count), obj=-float(value)) for value in row]
        for row, count in zip(market.values, market.counts, strict=True)
    ]
    for at in range(classes):
        solver.addConstr(sum(shares[at][1:], shares[at][0]) <= float(market.counts[at]))
    for group in range(groups):
        asked = [shares[at][group] * float(market.cards[at, 0]) for at in range(classes)]
        solver.addConstr(sum(asked[1:], asked[0]) <= float(market.capacity[group]))
    solver.run()
    return -float(solver.getInfo().objective_function_value)


def test_kept_prices_need_fewer_passes() -> None:
    """Another batch of the same kind: a few passes from kept prices beat as many from none."""
    kept = auction(crowd(seed=1)).prices
    market = crowd(seed=2)
    warm, cold = auction(market, kept, passes=8), auction(market, passes=8)
    assert warm.bound <= cold.bound


def test_absurd_kept_prices_do_no_harm() -> None:
    market = crowd()
    absurd: Floats = np.full(len(market.capacity), 1e6)
    assert auction(market, absurd).bound == auction(market).bound


def test_where_cards_suffice_they_cost_nothing() -> None:
    market = Market(
        np.array([[3.0, 2.0], [1.0, 4.0]]), np.ones((2, 1), np.int64), _ints(2, 2), _ints(5, 5)
    )
    found = auction(market)
    assert found.prices.tolist() == [0.0, 0.0]
    assert found.bound == 14.0


def test_nothing_wanted_or_nothing_there() -> None:
    nobody = Market(np.zeros((0, 2)), np.ones((0, 1), np.int64), _ints(), _ints(4, 4))
    nowhere = Market(np.zeros((2, 0)), np.ones((2, 1), np.int64), _ints(1, 1), _ints())
    assert auction(nobody).bound == 0.0
    assert auction(nowhere).bound == 0.0
    assert uniform_prices(nowhere).shape == (0,)


def test_a_price_list_gives_a_new_group_the_median() -> None:
    kept = PriceList(("a", "b", "c"), (1.0, 5.0, 2.0))
    found = kept.for_groups(("c", "new", "a"))
    assert found is not None and found.tolist() == [2.0, 2.0, 1.0]
    assert PriceList().for_groups(("a",)) is None


@pytest.mark.parametrize("prices", [[-1.0], [float("nan")], [float("inf")]])
def test_no_certificate_by_impossible_prices(prices: list[float]) -> None:
    market = Market(np.ones((1, 1)), np.ones((1, 1), np.int64), _ints(1), _ints(1))
    with pytest.raises(ValueError, match="prices"):
        certify(market, np.array(prices))


@pytest.mark.parametrize("worth", [float("nan"), float("inf")])
def test_no_market_of_impossible_worth(worth: float) -> None:
    with pytest.raises(ValueError, match="worth"):
        Market(np.array([[worth]]), np.ones((1, 1), np.int64), _ints(1), _ints(1))


def _ints(*values: int) -> Ints:
    return np.array(values, np.int64)
