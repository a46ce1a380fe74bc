"""What rounds are worth: the bound holds for every round, and is reached where one can."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from federations import gang, pool, queued, snapshot, supernode
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import snapshots

from scheduler.length import Length, Wishes
from scheduler.model import Demand, Snapshot
from scheduler.placement import place
from scheduler.worth import Market

FAST, SLOW = "fast-card", "slow-card"


def market(free: dict[str, int], *classes: tuple[int, dict[str, tuple[int, float]]]) -> Market:
    """Each class: its jobs, and by model the cards and seconds of one."""
    runs = [tuple(Length(m, cards, s) for m, (cards, s) in able.items()) for _, able in classes]
    jobs = np.array([jobs for jobs, _ in classes], np.int64)
    return Market.of(Wishes.of(sorted(free), runs), jobs, free, {})


def test_the_bound_of_one_model_is_what_the_densest_jobs_are_worth() -> None:
    found = market({FAST: 8}, (1, {FAST: (4, 10.0)}), (3, {FAST: (2, 100.0)}))
    assert found.bound() == pytest.approx(1 / 10 + 2 / 100)


def test_nobody_is_counted_twice() -> None:
    found = market({FAST: 8, SLOW: 8}, (1, {FAST: (8, 10.0), SLOW: (8, 20.0)}))
    assert found.bound() == pytest.approx(1 / 10)


def test_a_scarce_model_makes_a_start_worth_less() -> None:
    wishes = Wishes.of([FAST], [(Length(FAST, 8, 10.0),)])
    found = Market.of(wishes, np.ones(1, np.int64), {FAST: 8}, {FAST: 4.0})
    assert found.bound() == pytest.approx(1 / 40)


def test_nothing_to_place_or_nowhere() -> None:
    assert market({}).bound() == 0.0
    assert market({FAST: 0}, (5, {FAST: (1, 10.0)})).bound() == 0.0
    assert market({FAST: 8}, (5, {SLOW: (1, 10.0)})).bound() == 0.0


def test_several_variants_on_one_model_are_bounded_together() -> None:
    """Found by the test below: the first alone was counted, and the second was started."""
    here = pool("shenzhen", supernodes=[supernode("s", 2)])
    found = place(snapshot([here], [queued("a", Demand((gang(1, 3), gang(1, 1))), 2)]))
    assert len(found.placements) == 2
    assert 0 < found.worth <= found.worth_bound * (1 + 1e-9)


RUNS = st.dictionaries(
    st.sampled_from(["m0", "m1"]),
    st.tuples(st.integers(1, 16), st.floats(1.0, 1e5)),
    min_size=1,
)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(1, 2), RUNS), min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["m0", "m1"]), st.integers(0, 40), min_size=1),
)
def test_no_choice_at_all_passes_the_bound(
    classes: list[tuple[int, dict[str, tuple[int, float]]]], free: dict[str, int]
) -> None:
    each = [able for jobs, able in classes for _ in range(jobs)]
    best = 0.0
    for choice in product(*([None, *able] for able in each)):
        left, worth = dict(free), 0.0
        for able, model in zip(each, choice, strict=True):
            if model is not None:
                cards, seconds = able[model]
                left[model] = left.get(model, 0) - cards
                worth += 1 / seconds
        if min(left.values()) >= 0:
            best = max(best, worth)
    assert market(free, *classes).bound() >= best * (1 - 1e-9)


@settings(max_examples=60)
@given(snapshots())
def test_no_round_is_worth_more_than_its_bound(snapshot: Snapshot) -> None:
    found = place(snapshot)
    assert found.worth <= found.worth_bound * (1 + 1e-9)
    assert found.placements or found.worth == 0.0
