"""What the site's own people use of a pool: cards kept back, and when they come back. Pure.

A cluster manager often counts cards and does not number them; so the cards kept back are the
highest that no run of ours holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from scheduler.model import Release

RELEASES_MAX = 200  # told of a pool; what comes later counts as coming with the last
RELEASE_SECONDS = 60.0  # ends of one minute are told as one
Held = Callable[[str, str], Collection[int]]  # of pool and node: the cards that our runs hold
# … and those that an exporter says are faulty; None: none says anything of that node.
Faulty = Callable[[str, str], frozenset[int] | None]


def none_told(pool: str, node: str) -> frozenset[int] | None:
    """Where no exporter is asked."""
    return None


def highest(good: frozenset[int], held: frozenset[int], count: int) -> frozenset[int]:
    """`count` of the `good` cards that are not `held`, or as many as there are: the highest."""
    return frozenset(sorted(good - held, reverse=True)[: max(0, count)])


class Releases:
    """When the site's own people give cards back at the latest, gathered by pool."""

    def __init__(self) -> None:
        self._cards: dict[str, dict[float, int]] = {}  # by pool and wall seconds

    def add(self, pool: str, ends_at: float, cards: int) -> None:
        minute = -(-ends_at // RELEASE_SECONDS) * RELEASE_SECONDS
        by_time = self._cards.setdefault(pool, {})
        by_time[minute] = by_time.get(minute, 0) + cards

    def told(self) -> dict[str, tuple[Release, ...]]:
        """By pool, soonest first."""
        return {pool: _told(by_time) for pool, by_time in self._cards.items()}


def _told(by_time: Mapping[float, int]) -> tuple[Release, ...]:
    found = [Release(cards, at) for at, cards in sorted(by_time.items())]
    if len(found) > RELEASES_MAX:
        late = found[RELEASES_MAX - 1 :]
        found[RELEASES_MAX - 1 :] = [Release(sum(r.cards for r in late), late[-1].ends_at)]
    return tuple(found)
