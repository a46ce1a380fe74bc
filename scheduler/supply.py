"""The supply of one moment: the fleet, and what of it is usable, free, scarce, and reachable now.

Shares the columns of its `Fleet`, which nobody writes to. Knows nothing of demand.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scheduler.arrays import Ints
from scheduler.corrections import Past
from scheduler.fleet import Fleet, rows_of
from scheduler.model import Correction, Pool, Snapshot
from scheduler.traffic import Traffic


class Supply(Fleet):
    """A fleet at the moment of a snapshot."""

    def __init__(self, fleet: Fleet, snapshot: Snapshot, before: Supply | None = None) -> None:
        """`fleet` must be that of the snapshot, see `Fleet.is_of`; `before` is an earlier supply
        of the same fleet, whose columns stand where a pool has not changed."""
        vars(self).update(vars(fleet))
        here = {pool.key: pool for pool in snapshot.pools}
        self.pools: tuple[Pool, ...] = tuple(here[key] for key in fleet.index)
        self.traffic = Traffic(fleet.routes, snapshot.transfers, snapshot.now)
        self.datasets = {dataset.name: dataset for dataset in snapshot.datasets}
        usable = [  # what the site's own jobs give back is only busy
            max(0, pool.cards_usable) + sum(given.cards for given in pool.releases)
            for pool in self.pools
        ]
        self.usable: Ints = np.minimum(np.array(usable, np.int64), self.total)
        self.nodes_by_free: Ints = self._free(before)
        learned: dict[tuple[str, str], dict[str, Correction]] = {}
        for row in snapshot.learned:
            learned.setdefault((row.tenant, row.family), {})[row.accelerator] = row.correction
        self.pasts = {family: Past(rows) for family, rows in learned.items()}  # and tenant
        self.scarcity = np.ones(len(self))  # how much a run there counts, see `scarcity`

    def _free(self, before: Supply | None) -> Ints:
        """[supernode, k]: nodes with k cards free."""
        if before is None:
            known: tuple[Pool | None, ...] = (None,) * len(self)
            free = np.zeros((len(self.supernodes), self.levels), np.int64)
        else:
            known, free = before.pools, before.nodes_by_free.copy()
        for at, pool in enumerate(self.pools):
            if pool is not known[at]:
                rows = [row.nodes_by_free for row in rows_of(pool)]
                padded = [row + (0,) * (self.levels - len(row)) for row in rows]
                free[self.starts[at] : self.ends[at]] = padded
        return free

    def weigh(self, factors: Mapping[str, float]) -> None:
        """Take in how scarce each model is; one that is not named is like any other."""
        for model, pools in self.by_model().items():
            self.scarcity[pools] = factors.get(model, 1.0)
