"""Free cards: bulk taking equals taking one by one, layouts are found when they exist."""

from __future__ import annotations

import itertools

import numpy as np
from federations import pool, snapshot, supernode
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from scheduler.capacity import Capacity, Guard, fill, lay_over
from scheduler.fleet import Fleet
from scheduler.model import Slice, Supernode
from scheduler.network import Routes
from scheduler.shape import Way, nodes_missing
from scheduler.supply import Supply


def capacity_of(*rows: Supernode) -> Capacity:
    shot = snapshot([pool("shenzhen", supernodes=rows)])
    return Capacity(Supply(Fleet(shot, Routes(shot.network), 0.4), shot))


def no_hurry(pools: int = 1) -> np.ndarray:
    return np.zeros(pools)


levels = st.lists(st.integers(0, 6), min_size=1, max_size=9)


@examples(80)
@given(levels, st.integers(1, 5), st.integers(1, 8), st.integers(1, 30))
def test_filling_in_bulk_is_the_same_as_one_by_one(
    counts: list[int], nodes: int, cards: int, gangs_max: int
) -> None:
    one_by_one, gangs = Supernode("s", tuple(counts)), 0
    while gangs < gangs_max and one_by_one.nodes_fitting(cards) >= nodes:
        one_by_one, gangs = one_by_one.take(nodes, cards), gangs + 1
    assert fill(counts, nodes, cards, gangs_max) == gangs
    assert tuple(counts) == one_by_one.nodes_by_free


def can_hold(fitting: list[int], nodes: int, group: int) -> bool:
    """Try every assignment of the groups to the supernodes."""
    whole, rest = divmod(nodes, group)
    groups = [group] * whole + [rest] * bool(rest)
    for homes in itertools.product(range(len(fitting)), repeat=len(groups)):
        used = [0] * len(fitting)
        for home, size in zip(homes, groups, strict=True):
            used[home] += size
        if all(u <= f for u, f in zip(used, fitting, strict=True)):
            return True
    return False


@examples(80)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(1, 8), st.integers(1, 8))
def test_layouts_are_found_exactly_when_they_exist(
    fitting: list[int], nodes: int, group: int
) -> None:
    group = min(group, nodes)
    rows = np.array(fitting)
    possible = can_hold(fitting, nodes, group)
    missing = int(nodes_missing(rows, np.zeros(1, np.int64), nodes, group)[0])
    assert (missing == 0) == possible
    parts = lay_over(rows, nodes, group)
    assert bool(parts) == possible
    if possible:
        assert sum(n for _, n in parts) == nodes
        assert all(n <= fitting[at] for at, n in parts)
        assert can_hold([dict(parts).get(at, 0) for at in range(len(fitting))], nodes, group)


def test_a_gang_takes_the_fullest_supernode_that_holds_it() -> None:
    capacity = capacity_of(
        supernode("empty", 8, 8, 8, 8),
        supernode("begun", 8, 8, 8, 0),
        supernode("small", 8, 0, 0, 0),
    )
    taken = capacity.take(Way(0, 2, 8), 0, 1, 0.0)
    assert taken == [((Slice("begun", 2, 8),), 1)]
    assert capacity.pool_free().tolist() == [(4 + 1 + 1) * 8]


def test_best_fit_leaves_the_untouched_supernode_for_large_gangs() -> None:
    capacity = capacity_of(supernode("a", 8, 8, 8, 8), supernode("b", 8, 8, 8, 8))
    for _ in range(4):
        capacity.take(Way(0, 1, 8), 0, 1, 0.0)
    assert capacity.take(Way(0, 4, 8, group=4), 0, 1, 0.0) == [((Slice("b", 4, 8),), 1)]


def test_a_gang_wider_than_any_supernode_spans_few() -> None:
    capacity = capacity_of(
        supernode("a", 8), supernode("b", 8, 8, 8), supernode("c", 8, 8), supernode("d", 8)
    )
    taken = capacity.take(Way(0, 4, 8), 0, 1, 0.0)
    assert taken == [((Slice("a", 1, 8), Slice("b", 3, 8)), 1)]


def test_groups_are_not_torn() -> None:
    capacity = capacity_of(supernode("a", 8, 8, 8), supernode("b", 8, 8, 8))
    way = Way(0, 4, 8, group=2)
    assert capacity.take(way, 0, 9, 0.0) == [((Slice("a", 2, 8), Slice("b", 2, 8)), 1)]
    assert capacity.missing(way, no_hurry()).tolist() == [4]


def test_broken_cards_count_only_what_an_untouched_supernode_loses() -> None:
    fresh = capacity_of(supernode("a", 8, 8, 8, 8), supernode("b", 8, 8, 8, 8))
    assert fresh.broken_cards(Way(0, 1, 8)).tolist() == [24]
    assert fresh.broken_cards(Way(0, 4, 8)).tolist() == [0]
    fresh.take(Way(0, 1, 8), 0, 1, 0.0)
    assert fresh.broken_cards(Way(0, 1, 8)).tolist() == [0]
    assert fresh.broken_cards(Way(0, 5, 8)).tolist() == [0]


def test_only_what_ends_in_time_passes_a_guard() -> None:
    capacity = capacity_of(supernode("a", 8), supernode("b", 8))
    capacity.guards[0] = Guard(0, np.array([0]), until_seconds=100.0)
    long, short = np.array([101.0]), np.array([100.0])
    both = Way(0, 2, 8)
    assert capacity.missing(both, long).tolist() == [1]
    assert capacity.missing(both, short).tolist() == [0]
    assert capacity.guarded_free(long).tolist() == [8]
    assert capacity.guarded_free(short).tolist() == [0]
    assert capacity.take(Way(0, 1, 8), 0, 9, 101.0) == [((Slice("b", 1, 8),), 1)]
    assert capacity.take(Way(0, 1, 8), 0, 9, 100.0) == [((Slice("a", 1, 8),), 1)]


def test_a_pool_without_supernodes_holds_nothing() -> None:
    capacity = capacity_of()
    assert capacity.pool_free().tolist() == [0]
    assert capacity.missing(Way(0, 1, 1), no_hurry()).tolist() == [1]
    assert capacity.take(Way(0, 1, 1), 0, 1, 0.0) == []
