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
    stage_seconds: Floats  # that are left when the wait is over: inputs come meanwhile
    ahead_seconds: Floats  # of the transfer that the wait hides
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
            basis=self.assessment.estimates.basis(way, pool),
            scarcity_seconds=float(self.scarcity_seconds[at]),
        )

    def sorted(self, mask: Bools, first: int = 0) -> list[tuple[int, int]]:
        """The (way, pool) pairs of `mask`, most wanted first; ties by pool key, then way.

        At least the `first` of them, or all: who needs few saves the sorting of the rest.
        """
        ways, pools = np.nonzero(mask)
        if not len(ways):
            return []
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
    allowed, run, yuan = assessment.allowed, figures.run_seconds, assessment.yuan
    fetch, whole = assessment.staging.fetch_seconds, assessment.staging.seconds
    missing_cards = np.empty(run.shape, np.int64)
    broken = np.empty(run.shape)
    for at, way in enumerate(ways):
        missing_cards[at] = capacity.missing_cards(way, whole + run[at])
        broken[at] = capacity.broken_cards(way)
    wait, known = releases.wait(missing_cards * allowed)
    free = missing_cards == 0
    wait[free] = 0.0
    ahead = np.where(known & np.isfinite(fetch), np.minimum(wait, fetch), 0.0)
    stage = whole - ahead
    fragmentation = np.where(free, broken * policy.fragmentation_seconds_per_card, 0.0)
    scarcity = run * (capacity.supply.scarcity - 1.0)
    rank = wait + stage + run + scarcity + fragmentation
    if policy.yuan_per_hour_saved > 0:
        rank = rank + yuan / policy.yuan_per_hour_saved * 3600.0
    return Options(
        assessment=assessment,
        fits=allowed & free,
        waits=allowed & ~free,
        known=known,
        missing_cards=missing_cards,
        wait_seconds=wait,
        stage_seconds=stage,
        ahead_seconds=ahead,
        run_seconds=run,
        yuan=yuan,
        kwh=figures.kwh,
        fragmentation_seconds=fragmentation,
        scarcity_seconds=scarcity,
        rank=rank,
    )
