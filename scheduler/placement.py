"""One placement round: which queued job goes where, now.

Classes take turns by priority, fair share and age; each fills the pools in the order
of its scores, whole gangs only, and leaves a job queued where waiting for a busy pool
ends earlier. Cost grows with classes × pools, not with jobs. Knows a snapshot and a
policy; what comes out is a proposal that the broker's core checks again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from scheduler.capacity import Capacity
from scheduler.cascade import describe
from scheduler.case import Case, Standing
from scheduler.fairness import Turns
from scheduler.feasibility import Assessment, HeldShapes, assess
from scheduler.model import (
    Demand,
    Explanation,
    Placement,
    Policy,
    Round,
    Snapshot,
    Suggestion,
    Verdict,
)
from scheduler.network import Routes
from scheduler.releases import Releases
from scheduler.reservation import reserve
from scheduler.scoring import options
from scheduler.supply import Supply

MUCH_WORSE = 1.5  # times the best finish of a turn: look again before going so far


def place(snapshot: Snapshot, policy: Policy | None = None, routes: Routes | None = None) -> Round:
    """Place what fits now and say why the rest waits.

    `routes` are those of `snapshot.network`; a caller that keeps them between rounds
    saves building them. The same snapshot gives the same round, in whatever order its
    pools, sites and classes stand. Raises ValueError when a pool key stands twice.
    """
    return PlacementRound(snapshot, policy, routes).run()


class PlacementRound:
    """The working state of one round; run it once."""

    def __init__(
        self, snapshot: Snapshot, policy: Policy | None = None, routes: Routes | None = None
    ) -> None:
        self.snapshot = snapshot
        self.policy = policy or Policy()
        self.supply = Supply(
            snapshot, routes or Routes(snapshot.network), self.policy.utilisation_default
        )
        self.capacity = Capacity(self.supply)
        self.releases = Releases(
            self.supply, snapshot.running, snapshot.now, self.policy.run_seconds_default
        )
        self.holds = HeldShapes.of(self.supply, snapshot.holds, snapshot.now)
        self.turns = Turns(snapshot, int(self.capacity.pool_free().sum()))
        self.placements: list[Placement] = []

    def run(self, what_if: Callable[[Case], tuple[Suggestion, ...]] | None = None) -> Round:
        """Give every class its turns and explain it; `what_if` adds suggestions for those left."""
        open_cases: dict[int, Case] = {}
        explained: dict[int, tuple[Explanation, int]] = {}
        while (at := self.turns.next()) is not None:
            case = open_cases.pop(at, None) or self._open(at)
            if self._turn(at, case):
                open_cases[at] = case
                self.turns.again(at)
                continue
            suggestions: tuple[Suggestion, ...] = ()
            if case.jobs_left:
                self._look_again(case)
                suggestions = what_if(case) if what_if else ()
                self._keep_place(case)  # after the suggestions: its own guard is not in its way
            explained[at] = describe(self.supply, case, suggestions), case.jobs_placed
        return Round(tuple(self.placements), self._with_positions(explained))

    def stand(self, assessment: Assessment) -> Standing:
        """What a demand can choose from at this moment of the round."""
        found = options(assessment, self.capacity, self.releases, self.policy)
        return Standing.now(found, self.capacity)

    def assess(self, demand: Demand, tenant: str) -> Assessment:
        """The hard conditions of a demand."""
        return assess(self.supply, demand, tenant, self.policy, self.holds)

    def _open(self, at: int) -> Case:
        queued = self.snapshot.queue[at]
        standing = self.stand(self.assess(queued.demand, queued.tenant))
        return Case(queued, standing, list(reversed(queued.jobs)))

    def _turn(self, at: int, case: Case) -> bool:
        """Place the class's oldest jobs; True when it should have another turn.

        A turn ends at its limit of cards, and before options that are much worse than
        the first: by then the first is full, and waiting for it may be better.
        """
        self._look_again(case)
        found, cards_given = case.options, 0
        cards_max = self.turns.cards_max(at)
        ranked = found.sorted(found.fits)
        for way, pool in ranked:
            rank = float(found.rank[way, pool])
            if case.early and rank > MUCH_WORSE * found.rank[ranked[0]]:
                break
            case.jobs_held = self._better_off(case, rank)
            cards = found.assessment.ways[way].cards
            wanted = min(len(case.jobs_left) - case.jobs_held, self._room())
            wanted = min(wanted, math.ceil((cards_max - cards_given) / cards))
            if wanted <= 0:
                break
            cards_given += self._fill(case, way, pool, wanted) * cards
        self.turns.give(at, cards_given)
        more = len(case.jobs_left) > case.jobs_held and self._room() > 0
        return more and cards_given > 0

    def _better_off(self, case: Case, rank: float) -> int:
        """How many of the jobs left end earlier by waiting for busy pools than by `rank`."""
        if case.waiting is None or not case.early:
            return 0
        age_seconds = max(0.0, self.snapshot.now - case.queued.oldest_submitted_at)
        gangs = case.waiting.gangs_before(self.releases, rank, age_seconds)
        return min(len(case.jobs_left), int(gangs.sum()))

    def _fill(self, case: Case, way: int, pool: int, wanted: int) -> int:
        """Place up to `wanted` jobs in one way in one pool; how many fitted."""
        found = case.options
        layout, duration = found.assessment.ways[way], float(found.duration_seconds[way, pool])
        score, key = found.score(way, pool), self.supply.pools[pool].key
        gangs = 0
        for slices, count in self.capacity.take(layout, pool, wanted, duration):
            for _ in range(count):
                job_id = case.jobs_left.pop()
                self.placements.append(Placement(job_id, layout.variant, key, slices, score))
            gangs += count
        if gangs:
            case.chosen.setdefault((way, pool), score)
            case.jobs_placed += gangs
            case.stale = True
            self.releases.expect(pool, gangs * layout.cards, duration)
        return gangs

    def _keep_place(self, case: Case) -> None:
        """Promise and reserve for the jobs that are left, ahead of the classes behind."""
        if case.waiting is not None:
            all_known = case.waiting.gangs_before(self.releases, math.inf, 0.0)
            case.waiting.promise(self.releases, len(case.jobs_left), all_known)
        if case.jobs_held or not case.options.fits.any():
            reserve(self.supply, self.capacity, case.options)

    def _look_again(self, case: Case) -> None:
        """Renew what the class can choose from after it was given cards."""
        if case.stale:
            case.standing = self.stand(case.options.assessment)
            case.stale = False

    def _room(self) -> int:
        """Placements that this round may still make."""
        return self.policy.placements_max - len(self.placements)

    def _with_positions(
        self, explained: dict[int, tuple[Explanation, int]]
    ) -> tuple[tuple[str, Explanation], ...]:
        """Class keys and explanations in the order of the queue, each with the jobs ahead."""
        told: list[tuple[str, Explanation]] = []
        ahead = 0
        for at in self.turns.order:
            queued = self.snapshot.queue[at]
            explanation, placed = explained[at]
            told.append((queued.key, replace(explanation, position=ahead)))
            if explanation.verdict is not Verdict.NEVER:
                ahead += max(queued.queued, len(queued.jobs)) - placed
        return tuple(told)
