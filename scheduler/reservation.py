"""A blocked gang at the head of the queue keeps its place: reservations and late binding.

A gang that fits nowhere now guards the supernodes where it will start first. Behind
the guard only jobs may start that end before the gang can (EASY backfill); all other
supernodes stay open. Whole supernodes are guarded, because the free nodes of a gang
come together only where nothing long is let in: each round finds the guarded ones
emptier, and so chooses them again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.capacity import Capacity, Guard
from scheduler.releases import Releases
from scheduler.scoring import Options
from scheduler.shape import Way
from scheduler.supply import Supply

RESERVATIONS_MAX = 8  # guards per round, at most one per pool; each keeps cards idle


def reserve(supply: Supply, capacity: Capacity, options: Options) -> Guard | None:
    """Guard supernodes for a class that is blocked, in the pool where it would end first.

    Only where the wait is known: for cards that a site's own users hold, for a time that
    nobody can tell, no others are kept idle.
    """
    able = options.waits & options.known
    if len(capacity.guards) >= RESERVATIONS_MAX or not able.any():
        return None
    rank = np.where(able, options.rank, np.inf)
    way, pool = (int(at) for at in np.unravel_index(rank.argmin(), rank.shape))
    if pool in capacity.guards:
        return None  # a class ahead has its reservation there
    rows = _rows_for(supply, capacity, options.assessment.ways[way], pool)
    guard = Guard(pool, rows, float(options.wait_seconds[way, pool]))
    capacity.guards[pool] = guard
    return guard


def _rows_for(supply: Supply, capacity: Capacity, way: Way, pool: int) -> Ints:
    """The supernodes that hold the gang and are nearest to being free, as few as will do."""
    rows = np.arange(supply.starts[pool], supply.ends[pool])
    nodes = supply.row_nodes[rows]
    fitting = capacity.fitting(way.cards_per_node)[rows]
    order = np.lexsort((rows, -capacity.row_free[rows], -fitting, nodes < way.nodes))
    unit = max(1, way.group)
    groups = np.cumsum(nodes[order] // unit)
    needed = -(-way.nodes // unit)
    return np.asarray(rows[order[: int(np.searchsorted(groups, needed)) + 1]], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The busy pools that a class could wait for, each with the best way to run there."""

    pools_known: Bools  # [pool]: can be waited for, and until when is known
    rank: Floats  # [pool] of the first gang there
    wait_seconds: Floats
    needed: Ints  # cards to come free for the first gang
    cards: Ints  # of one gang

    @classmethod
    def of(cls, options: Options) -> Waiting:
        """Reduce the options to one way per pool."""
        able = options.waits & options.known
        rank = np.where(able, options.rank, np.inf)
        way = rank.argmin(axis=0)
        here = way, np.arange(rank.shape[1])
        cards = np.array([way.cards for way in options.assessment.ways], np.int64)
        known = np.asarray(able.any(axis=0), np.bool_)
        return cls(
            pools_known=known,
            rank=np.where(known, rank[here], 0.0),
            wait_seconds=options.wait_seconds[here],
            needed=options.missing_cards[here],
            cards=cards[way],
        )

    def gangs_before(self, releases: Releases, rank: float, age_seconds: float) -> Ints:
        """[pool]: gangs that do better to wait for the pool than to take a free one of `rank`.

        A pool is worth waiting for as long as the free one would cost more: no job that
        has waited that long (`age_seconds`) waits on. So waiting costs at most what it
        could have saved, however wrong the estimates are.
        """
        worth = np.where(self.pools_known, rank - (self.rank - self.wait_seconds), -1.0)
        able = self.pools_known & (worth > age_seconds)
        if not able.any():
            return np.zeros(len(able), np.int64)
        return np.where(able, releases.gangs_by(worth, self.needed, self.cards), 0)

    def promise(self, releases: Releases, gangs_left: int, gangs: Ints) -> None:
        """Promise the first `gangs_left` of `gangs` (by pool), the earliest pools first."""
        order = np.lexsort((np.arange(len(gangs)), self.rank))
        ahead = np.cumsum(gangs[order]) - gangs[order]
        taken = np.zeros_like(gangs)
        taken[order] = np.clip(gangs_left - ahead, 0, gangs[order])
        releases.promise(taken, self.needed, self.cards)
