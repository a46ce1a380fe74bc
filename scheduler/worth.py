"""What the placements of a round are worth, and a bound that no round on its cards can pass.

    worth of starting a job of a class on a model  w = 1 ÷ (expected run × scarcity), in 1/s
    bound  Σ_models λ × free cards + Σ_classes jobs × max(0, max_models (w - λ × cards of the gang))

What shortens the mean completion time is to start the jobs whose ends come thickest. The bound
is the Lagrangian dual of the round without shapes, pools, data, quotas and turns: by weak
duality it holds for any λ ≥ 0 (Boyd and Vandenberghe 2004, section 5.2), so it certifies how
much any other round could gain, and not that one can. Each λ in turn is set to its best value
for the others: the bound is convex and piecewise linear in it, least where what is asked for
at that price falls to the cards that there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats, Ints
from scheduler.length import Wishes

SWEEPS = 3  # over all models; more of them move the bound by less than a thousandth


@dataclass(frozen=True, slots=True)
class Market:
    """Classes × models: what a start is worth, and what cards it takes."""

    models: tuple[str, ...]
    worth: Floats  # [class, model] 1/s; 0.0 where the class cannot run
    cards: Floats  # [class, model] of one gang; at least 1
    jobs: Floats  # [class]
    free: Floats  # [model] cards at the start of the round

    @classmethod
    def of(
        cls, wishes: Wishes, jobs: Ints, free: Mapping[str, int], factors: Mapping[str, float]
    ) -> Market:
        """`jobs` by class; `free` cards by model; `factors`: see `scarcity`."""
        scarce = np.array([factors.get(model, 1.0) for model in wishes.models])
        there = np.array([free.get(model, 0) for model in wishes.models], np.float64)
        worth = 1.0 / (wishes.seconds * scarce)
        return cls(wishes.models, worth, wishes.cards, np.asarray(jobs, np.float64), there)

    def of_one(self, row: int, model: str) -> float:
        """What a start of a class on a model is worth."""
        return float(self.worth[row, self.models.index(model)])

    def bound(self) -> float:
        """What no round on the free cards can pass."""
        if not self.worth.size:
            return 0.0
        prices = np.zeros(len(self.models))
        for _ in range(SWEEPS):
            for at in range(len(prices)):
                prices[at] = self._best_price(at, prices)
        gains = np.maximum(0.0, (self.worth - prices * self.cards).max(axis=1))
        return float(prices @ self.free + self.jobs @ gains)

    def _best_price(self, at: int, prices: Floats) -> float:
        """The price of one model at which the bound is least, the others' as they are."""
        gains = self.worth - prices * self.cards
        gains[:, at] = 0.0
        elsewhere = np.maximum(0.0, gains.max(axis=1))
        most = (self.worth[:, at] - elsewhere) / self.cards[:, at]  # at which a class still asks
        order = np.argsort(-most, kind="stable")
        asked = np.cumsum((self.jobs * self.cards[:, at])[order])
        over = int(np.searchsorted(asked, self.free[at], side="right"))
        return max(0.0, float(most[order[over]])) if over < len(order) else 0.0
