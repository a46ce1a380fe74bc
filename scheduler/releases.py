"""When busy cards are expected back, by pool: what a waiting job's wait is estimated from.

Times are binned, so that memory and cost stay bounded however many attempts run. An
attempt that is overdue may end at any moment and counts as now; one whose end is
unknown counts with the policy's default. Knows cards by pool, not nodes or shapes.
"""

from __future__ import annotations

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.model import Running
from scheduler.supply import Supply

# Seconds from now: 10 s to 116 days, each bin a quarter longer than the last.
_EDGES: Floats = np.concatenate([[0.0], np.geomspace(10.0, 1e7, 63)])
_BINS = len(_EDGES) + 1


class Releases:
    """Cards expected to come free, less what is promised to the jobs ahead."""

    def __init__(
        self, supply: Supply, running: tuple[Running, ...], now: float, default_seconds: float
    ) -> None:
        pools = len(supply)
        self._default_seconds = default_seconds
        self._freed: Ints = np.zeros((pools, _BINS), np.int64)  # cumulative cards by bin
        self._latest: Floats = np.zeros((pools, _BINS))  # last release in each bin
        self._last: Floats = np.zeros(pools)  # of all
        self._everywhere = np.arange(pools)
        self.promised: Ints = np.zeros(pools, np.int64)
        for attempt in running:
            pool = supply.index.get(attempt.pool)
            if pool is not None and attempt.cards > 0:
                known = attempt.ends_at > 0
                seconds = max(0.0, attempt.ends_at - now) if known else default_seconds
                self.expect(pool, attempt.cards, seconds)

    def expect(self, pool: int, cards: int, seconds: float) -> None:
        """Count `cards` that come free `seconds` from now."""
        at = int(np.searchsorted(_EDGES, seconds))
        self._freed[pool, at:] += cards
        self._latest[pool, at] = max(self._latest[pool, at], seconds)
        self._last[pool] = max(self._last[pool], seconds)

    def wait(self, needed: Ints) -> tuple[Floats, Bools]:
        """([…, pool] seconds until `needed` more cards are free, whether that is known).

        Where the known releases do not suffice: the default after the last of them.
        """
        seconds, known = np.zeros(needed.shape), np.ones(needed.shape, np.bool_)
        asked = np.nonzero(needed > 0)  # who needs no more waits no time
        pool = asked[-1]
        if len(pool):
            wanted = needed[asked] + self.promised[pool]
            enough = self._freed[pool] >= wanted[:, None]
            known[asked] = enough[:, -1]
            at = enough.argmax(axis=1)
            beyond = self._last[pool] + self._default_seconds
            seconds[asked] = np.where(enough[:, -1], self._latest[pool, at], beyond)
        return seconds, known

    def gangs_by(self, seconds: Floats, needed: Ints, cards: Ints) -> Ints:
        """[pool]: gangs of `cards` whose cards are free `seconds` from now.

        `needed` cards must come free for the first gang. What is promised to the jobs
        ahead is not counted.
        """
        everywhere = self._everywhere
        over = np.searchsorted(_EDGES, seconds, side="right")  # the first bin that ends later
        ended = self._latest[everywhere, over] <= seconds  # though all its releases do not
        at = np.where(ended, over, over - 1)
        freed = np.where(at >= 0, self._freed[everywhere, at], 0)
        spare = freed - self.promised - needed
        return np.where(spare >= 0, spare // np.maximum(1, cards) + 1, 0)

    def promise(self, gangs: Ints, needed: Ints, cards: Ints) -> None:
        """Promise the cards of `gangs` (by pool) to jobs that wait for them."""
        self.promised += np.where(gangs > 0, needed + (gangs - 1) * cards, 0)
