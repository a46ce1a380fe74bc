"""The candidates of one class at its turn: every (way, pool) with its score, and their order.

All arrays are [way, pool]. Scores stay in real units; only `rank` mixes them, by the
policy's weights, into seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.capacity import Capacity
from scheduler.feasibility import Assessment
from scheduler.model import Policy, Score
from scheduler.releases import Releases

PREFERENCES = ("finish", "cost", "energy")  # also the order in which they break ties


@dataclass(frozen=True, slots=True)
class Options:
    """What one class can choose from, on the free cards of this moment."""

    assessment: Assessment
    fits: Bools  # allowed, and free now
    waits: Bools  # allowed, but not free now
    known: Bools  # the wait is known from what runs
    missing_cards: Ints  # that must come free before the first gang starts
    wait_seconds: Floats
    stage_seconds: Floats
    run_seconds: Floats
    yuan: Floats
    kwh: Floats
    fragmentation_seconds: Floats
    scarcity_seconds: Floats
    rank: Floats  # seconds; the order of those who prefer to finish early

    @property
    def duration_seconds(self) -> Floats:
        """From the start of staging to the end of the run."""
        return self.stage_seconds + self.run_seconds

    def score(self, way: int, pool: int) -> Score:
        at = way, pool
        return Score(
            wait_seconds=float(self.wait_seconds[at]),
            stage_seconds=float(self.stage_seconds[at]),
            run_seconds=float(self.run_seconds[at]),
            yuan=float(self.yuan[at]),
            kwh=float(self.kwh[at]),
            fragmentation_seconds=float(self.fragmentation_seconds[at]),
            basis=self.assessment.estimates[way].basis(pool),
            scarcity_seconds=float(self.scarcity_seconds[at]),
        )

    def sorted(self, mask: Bools, first: int = 0) -> list[tuple[int, int]]:
        """The (way, pool) pairs of `mask`, most wanted first; ties by pool key, then way.

        At least the `first` of them, or all: who needs few saves the sorting of the rest.
        """
        ways, pools = np.nonzero(mask)
        names = self._preferences()
        if 0 < first < len(ways) // 2:
            wanted = self._column(names[0])[ways, pools]
            near = np.flatnonzero(wanted <= np.partition(wanted, first)[first])
            ways, pools = ways[near], pools[near]
        keys = [self._column(name)[ways, pools] for name in names]
        order = np.lexsort((ways, pools, *reversed(keys)))
        return list(zip(ways[order].tolist(), pools[order].tolist(), strict=True))

    @property
    def first_preference(self) -> str:
        """What is wanted most: "finish", "cost" or "energy"."""
        return self._preferences()[0]

    def _preferences(self) -> tuple[str, ...]:
        named = [name for name in self.assessment.demand.prefer if name in PREFERENCES]
        return tuple(dict.fromkeys([*named, *PREFERENCES]))

    def _column(self, preference: str) -> Floats:
        return {"finish": self.rank, "cost": self.yuan, "energy": self.kwh}[preference]


def options(
    assessment: Assessment, capacity: Capacity, releases: Releases, policy: Policy
) -> Options:
    """Score every way in every pool on the free cards of this moment."""
    ways, figures = assessment.ways, assessment.estimates
    stage, run, yuan, kwh = (
        _stack([getattr(estimate, name) for estimate in figures], assessment)
        for name in ("stage_seconds", "run_seconds", "yuan", "kwh")
    )
    missing = [capacity.missing_cards(way, stage[at] + run[at]) for at, way in enumerate(ways)]
    missing_cards = np.asarray(_stack(missing, assessment), np.int64)
    free, allowed = missing_cards == 0, assessment.allowed
    waited = [releases.wait(needed * allowed[at]) for at, needed in enumerate(missing)]
    wait = np.where(free, 0.0, _stack([seconds for seconds, _ in waited], assessment))
    broken = _stack([capacity.broken_cards(way) for way in ways], assessment)
    fragmentation = np.where(free, broken * policy.fragmentation_seconds_per_card, 0.0)
    scarcity = run * (capacity.supply.scarcity - 1.0)
    rank = wait + stage + run + scarcity + fragmentation
    if policy.yuan_per_hour_saved > 0:
        rank = rank + yuan / policy.yuan_per_hour_saved * 3600.0
    return Options(
        assessment=assessment,
        fits=allowed & free,
        waits=allowed & ~free,
        known=np.asarray(_stack([known for _, known in waited], assessment), np.bool_),
        missing_cards=missing_cards,
        wait_seconds=wait,
        stage_seconds=stage,
        run_seconds=run,
        yuan=yuan,
        kwh=kwh,
        fragmentation_seconds=fragmentation,
        scarcity_seconds=scarcity,
        rank=rank,
    )


def _stack(rows: list[Floats] | list[Ints] | list[Bools], assessment: Assessment) -> Floats:
    """[way, pool] from one array per way; the right shape even without any way."""
    return np.asarray(rows, np.float64).reshape(len(rows), assessment.failed.shape[2])
