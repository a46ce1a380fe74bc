"""Making room: from the classes that a round left waiting to proposals of preemption.

The bridge between a round's columns and `preemption`, which knows pools and attempts by name.
"""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.capacity import Capacity
from scheduler.case import Case
from scheduler.model import Preemption, Running
from scheduler.preemption import Claim, PoolState, Preemptions
from scheduler.quotas import Quotas
from scheduler.supply import Supply

CLAIMS_MAX = 64  # classes of one round that are looked at, the first in its order
CHOICES_MAX = 32  # (way, pool) pairs of one claim, the best first


class Room:
    """The claims of one round, noted in the order in which its classes were left waiting."""

    def __init__(self, supply: Supply, running: tuple[Running, ...], victims_max: int) -> None:
        self._supply = supply
        self._running = running
        self._victims_max = victims_max
        self._claims: list[Claim] = []
        self._idle = victims_max <= 0 or not any(each.preemptible for each in running)

    def note(self, case: Case, guarded: Iterable[int]) -> None:
        """A class that cannot start now; `guarded` pools keep their free cards for others.

        One that could start and waits for a better place stops nobody.
        """
        full = len(self._claims) >= CLAIMS_MAX
        if self._idle or full or not case.jobs_left or case.options.fits.any():
            return
        ways, keys = case.options.assessment.ways, self._supply.keys
        ranked = case.options.sorted(case.options.waits)[:CHOICES_MAX]
        if ranked:
            choices = tuple((ways[way], str(keys[pool])) for way, pool in ranked)
            closed = frozenset(str(keys[pool]) for pool in guarded)
            self._claims.append(Claim(case.queued, case.jobs_left[-1], choices, closed))

    def proposals(self, capacity: Capacity, quotas: Quotas) -> tuple[Preemption, ...]:
        """What would let some of them start, on the cards that the round has left."""
        if not self._claims:
            return ()
        wanted = dict.fromkeys(key for claim in self._claims for _, key in claim.choices)
        pools = {key: self._state(key, capacity) for key in wanted}
        here = [attempt for attempt in self._running if attempt.pool in pools]
        return Preemptions(pools, here, quotas, self._victims_max).propose(self._claims)

    def _state(self, key: str, capacity: Capacity) -> PoolState:
        supply = self._supply
        at = supply.index[key]
        pool, first, end = supply.pools[at], int(supply.starts[at]), int(supply.ends[at])
        rows = zip(
            supply.supernodes[first:end], capacity.nodes_by_free[first:end].tolist(), strict=True
        )
        levels = {name: tuple(counts) for name, counts in rows}
        return PoolState(key, pool.accelerator, pool.cards_per_node, levels)
