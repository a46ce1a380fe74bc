"""How long a class will run, to the order of the queue: before any pool was looked at.

The stated duration, else the stated operations at the best known peak, else the time
limit, else a default. Rougher than `runtime`, which asks every pool; knows models only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats
from scheduler.matching import Matching
from scheduler.model import Accelerator, Demand, Policy, Work
from scheduler.speed import peak_tflops

LENGTH_SECONDS_MIN = 1.0


@dataclass(frozen=True, slots=True)
class Length:
    """The expected run of one job on one model."""

    model: str
    cards: int  # of the gang
    seconds: float


@dataclass(frozen=True, slots=True)
class Wishes:
    """What classes may run on, as columns: classes × models."""

    models: tuple[str, ...]
    seconds: Floats  # [class, model] of a run; inf: it cannot run there
    cards: Floats  # [class, model] of one gang; at least 1

    @classmethod
    def of(cls, models: Sequence[str], runs: Sequence[tuple[Length, ...]]) -> Wishes:
        """`runs`: of each class, on the models that it may have; other models are left out."""
        column = {model: at for at, model in enumerate(models)}
        seconds = np.full((len(runs), len(column)), math.inf)
        cards = np.ones((len(runs), len(column)))
        for row, able in enumerate(runs):
            for run in able:
                at = column.get(run.model)
                if at is not None:
                    seconds[row, at], cards[row, at] = run.seconds, max(1, run.cards)
        return cls(tuple(column), seconds, cards)

    @classmethod
    def together(cls, models: Sequence[str], parts: Sequence[Wishes]) -> Wishes:
        """Those of `parts`, one after the other; each has these models."""
        none = np.zeros((0, len(models)))
        return cls(
            tuple(models),
            np.concatenate([none, *(part.seconds for part in parts)]),
            np.concatenate([none, *(part.cards for part in parts)]),
        )


class Lengths:
    """Expected run times by demand, each worked out once, on the models that there are."""

    def __init__(
        self, accelerators: tuple[Accelerator, ...], policy: Policy, models: Iterable[str] = ()
    ) -> None:
        """`models`: of the pools; absent: all of the catalogue `accelerators`."""
        self._known = {each.model: each for each in accelerators}
        self._matching = Matching(models or self._known, accelerators)
        self._policy = policy

    def shortest(self, demand: Demand, runs: tuple[Length, ...]) -> float:
        """The expected run in seconds where it is shortest; `runs` are those of `by_model`."""
        return min((run.seconds for run in runs), default=self._unknown(demand))

    def by_model(self, demand: Demand) -> tuple[Length, ...]:
        """The expected run on each model that a variant of the demand may have; of several such
        variants the fewest cards and the shortest run: none is worth more than both together."""
        found: dict[str, Length] = {}
        for variant in demand.variants:
            for model in self._matching.accepted(variant.accelerator):
                seconds = max(LENGTH_SECONDS_MIN, self._on(demand, model, variant.cards))
                known = found.get(model, Length(model, variant.cards, seconds))
                least = min(known.cards, variant.cards), min(known.seconds, seconds)
                found[model] = Length(model, *least)
        return tuple(found.values())

    def _on(self, demand: Demand, model: str, cards: int) -> float:
        work = demand.work
        for measured, seconds in work.measured:
            if measured == model:
                return seconds
        speed = self._speed(work, model, cards)
        if work.seconds > 0:
            then = self._speed(work, work.accelerator, work.cards or cards)
            return work.seconds * (then / speed if then > 0 and speed > 0 else 1.0)
        if work.operations > 0 and speed > 0:
            return work.operations / speed
        return self._unknown(demand)

    def _unknown(self, demand: Demand) -> float:
        return demand.time_limit_seconds or self._policy.run_seconds_default

    def _speed(self, work: Work, model: str, cards: int) -> float:
        """Operations per second of a gang; 0.0: unknown."""
        peak = peak_tflops(self._known.get(model), work.precision, work.fallbacks)
        return cards * peak * 1e12 * self._policy.utilisation_default
