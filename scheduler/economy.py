"""What cards and starts count for in one round: how scarce models are, and what the round won.

Joins `scarcity` and `worth`: reads who runs and who waits when the round begins, hears of every
start, and tells at the end what the next round should know and how much was missed.
"""

from __future__ import annotations

import numpy as np

from scheduler.arrays import Ints
from scheduler.length import Wishes
from scheduler.model import Scarcity, Snapshot
from scheduler.scarcity import Backlog, drifted
from scheduler.supply import Supply
from scheduler.worth import Market


class Economy:
    """The running account of one round."""

    def __init__(
        self, snapshot: Snapshot, supply: Supply, cards_free: Ints, wishes: Wishes
    ) -> None:
        """`cards_free`: by pool; `wishes`: what each class may run on, of the supply's models.

        From here on the supply knows how scarce its models are.
        """
        self._now, self._wishes = snapshot.now, wishes
        self._models = [pool.accelerator for pool in supply.pools]
        self._factors = drifted(snapshot.scarcity, snapshot.now)
        supply.weigh(self._factors)
        self._backlog = Backlog(supply, snapshot.running, snapshot.now)
        left = [max(queued.queued, len(queued.jobs)) for queued in snapshot.queue]
        self._left = np.array(left, np.int64)
        free = {model: int(cards_free[at].sum()) for model, at in supply.by_model().items()}
        self._market = Market.of(wishes, self._left, free, self._factors)
        self.worth = 0.0  # of what was started, see `worth`

    def start(self, at: int, pool: int, gangs: int, cards: int, seconds: float) -> None:
        """`gangs` jobs of the class `at` start in a pool, each on so many cards for so long."""
        self._left[at] -= gangs
        self._backlog.run(pool, gangs * cards, seconds)
        self.worth += gangs * self._market.of_one(at, self._models[pool])

    def worth_bound(self) -> float:
        """What no round could have passed."""
        return self._market.bound()

    def scarcity(self) -> Scarcity:
        """What is left to the next round."""
        return self._backlog.scarcity(self._factors, self._wishes, self._left, self._now)
