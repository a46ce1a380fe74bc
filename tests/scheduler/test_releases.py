"""When cards come free: bins that stay small, promises to those ahead, unknown ends."""

from __future__ import annotations

import numpy as np
import pytest
from federations import NOW, pool, snapshot, supernode
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from scheduler.fleet import Fleet
from scheduler.model import Running
from scheduler.network import Routes
from scheduler.releases import Releases
from scheduler.supply import Supply

DEFAULT = 3600.0
FULL = pool("shenzhen", supernodes=[supernode("s", 0, 0, 0, 0)])


def releases(*ends: tuple[int, float]) -> Releases:
    """Cards and when they end; 0.0: nobody knows."""
    running = tuple(Running("shenzhen/main", cards, at) for cards, at in ends)
    shot = snapshot([FULL], running=(*running, Running("gone/main", 8, NOW)))
    return Releases(
        Supply(Fleet(shot, Routes(shot.network), 0.4), shot), shot.running, NOW, DEFAULT
    )


def wait(found: Releases, cards: int) -> tuple[float, bool]:
    seconds, known = found.wait(np.array([cards]))
    return float(seconds[0]), bool(known[0])


def test_overdue_is_now_and_unknown_is_the_default() -> None:
    found = releases((8, NOW - 100.0), (8, 0.0))
    assert wait(found, 8) == (0.0, True)
    assert wait(found, 16) == (DEFAULT, True)
    assert wait(found, 17) == (2 * DEFAULT, False)


def test_promised_cards_are_not_there_for_those_behind() -> None:
    found = releases((8, NOW + 100.0), (8, NOW + 900.0))
    found.promise(np.array([1]), np.array([8]), np.array([8]))
    assert wait(found, 8) == (pytest.approx(900.0), True)
    assert found.gangs_by(np.array([np.inf]), np.array([8]), np.array([8])).tolist() == [1]
    assert found.gangs_by(np.array([900.0]), np.array([8]), np.array([8])).tolist() == [1]
    assert found.gangs_by(np.array([899.0]), np.array([8]), np.array([8])).tolist() == [0]


@examples(80)
@given(st.lists(st.tuples(st.integers(1, 8), st.floats(0.0, 1e8)), max_size=6), st.integers(1, 20))
def test_the_wait_is_never_early_and_at_most_one_bin_late(
    ends: list[tuple[int, float]], cards: int
) -> None:
    found = releases(*((held, NOW + seconds) for held, seconds in ends))
    freed, exact = 0, None
    for held, seconds in sorted(ends, key=lambda end: end[1]):
        freed += held
        if freed >= cards:
            exact = seconds
            break
    seconds, known = wait(found, cards)
    assert known == (exact is not None)
    if exact is not None:
        assert exact - 1e-6 <= seconds <= max(10.0, 1.25 * exact) + 1e-6 or exact > 1e7
