"""How scarce each model is: why a long run leaves a model with a long backlog to others.

    backlog of a model  b = card-seconds expected to run on it or waiting for it ÷ its cards
    pull  t = (FLOOR + (1 - FLOOR) × b ÷ b of all cards) ^ (½ × min(1, 2 × share that waits))
    factor ← factor^w × t^(1-w),  w = e^(-seconds since ÷ MEMORY_SECONDS)

A place is ranked by stage + run × factor, so that a job goes where it runs best for the cards
that it takes from others. A job that waits counts at the model where its own run × factor is
least. Kept from round to round, because factors that follow each backlog at once swing; they
begin at 1, which leaves ranks as they are, and return there while nothing waits. The rule was
found by trying it on traces (`docs/results/quality.md`); it knows what waits and what runs,
and nothing of what will come.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from scheduler.arrays import Ints
from scheduler.length import Wishes
from scheduler.model import Running, Scarce, Scarcity
from scheduler.supply import Supply

FLOOR = 0.2  # of the pull, for a model that nobody runs on or waits for
MEMORY_SECONDS = 3_600.0
FACTOR_MAX = 16.0  # and its inverse: further apart no job tells two models apart


def drifted(scarcity: Scarcity, now: float) -> dict[str, float]:
    """The factors at `now` (wall seconds), by model: what was left pulled at them since."""
    kept = math.exp(-max(0.0, now - scarcity.at) / MEMORY_SECONDS)
    return {
        each.model: min(
            FACTOR_MAX, max(1 / FACTOR_MAX, each.factor**kept * each.pull ** (1 - kept))
        )
        for each in scarcity.models
    }


class Backlog:
    """Card-seconds that are expected on each model that has usable cards."""

    def __init__(self, supply: Supply, running: Iterable[Running], now: float) -> None:
        """Of what runs at `now` (wall seconds)."""
        self._models = [pool.accelerator for pool in supply.pools]
        here = {model: int(supply.usable[at].sum()) for model, at in supply.by_model().items()}
        self._cards = {model: cards for model, cards in here.items() if cards > 0}
        self._runs = dict.fromkeys(self._cards, 0.0)
        for attempt in running:
            pool = supply.index.get(attempt.pool)
            if pool is not None:
                self.run(pool, attempt.cards, attempt.ends_at - now)

    def run(self, pool: int, cards: int, seconds: float) -> None:
        """Count a run that goes on for `seconds`; an overdue one counts nothing."""
        model = self._models[pool]
        if model in self._runs:
            self._runs[model] += cards * max(0.0, seconds)

    def scarcity(
        self, factors: dict[str, float], wishes: Wishes, jobs: Ints, now: float
    ) -> Scarcity:
        """What the round leaves: the `factors` it used, and where the backlog pulls them.

        `jobs`: how many of each class wait; what runs nowhere makes nothing scarce.
        """
        whole = dict(self._runs)
        able = [at for at, model in enumerate(wishes.models) if model in whole]
        scarce = np.array([factors.get(wishes.models[at], 1.0) for at in able])
        if able and len(jobs):
            seconds, cards = wishes.seconds[:, able], wishes.cards[:, able]
            best = np.argmin(seconds * scarce, axis=1)
            here = np.arange(len(jobs)), best
            run_seconds = np.where(np.isfinite(seconds[here]), seconds[here], 0.0)
            asked = jobs * cards[here] * run_seconds
            of_model = np.bincount(best, asked, len(able)).tolist()
            for at, more in zip(able, of_model, strict=True):
                whole[wishes.models[at]] += more
        pulls = self._pulls(whole)
        return Scarcity(
            now,
            tuple(Scarce(model, factors.get(model, 1.0), pulls[model]) for model in sorted(pulls)),
        )

    def _pulls(self, whole: dict[str, float]) -> dict[str, float]:
        everything = sum(whole.values())
        if not 0.0 < everything < math.inf:
            return dict.fromkeys(whole, 1.0)
        exponent = 0.5 * min(1.0, 2.0 * (1.0 - sum(self._runs.values()) / everything))
        per_card = everything / sum(self._cards.values())
        return {
            model: (FLOOR + (1 - FLOOR) * seconds / self._cards[model] / per_card) ** exponent
            for model, seconds in whole.items()
        }
