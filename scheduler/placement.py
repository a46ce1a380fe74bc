"""One placement round: which queued job goes where, now.

Classes take turns in the order of `fairness`; each fills the pools in the order of its
scores, whole gangs only, and leaves a job queued (late binding) where every free pool is
much worse than the best one would be. Cost grows with classes × pools, not with jobs, and
only with classes where nothing is free. Knows a snapshot and a policy; what comes out is
a proposal that the broker's core checks again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from scheduler.allowances import Allowances
from scheduler.capacity import Capacity
from scheduler.cascade import describe, verdict
from scheduler.case import Case, Standing
from scheduler.economy import Economy
from scheduler.estimate import past_of
from scheduler.fairness import Turns
from scheduler.feasibility import Assessment, HeldShapes, assess, look_into
from scheduler.length import Wishes
from scheduler.memo import Memo
from scheduler.model import (
    Demand,
    Explanation,
    Placement,
    Policy,
    Prestaging,
    QueueClass,
    Round,
    Snapshot,
    Suggestion,
    Variant,
    Verdict,
)
from scheduler.releases import Releases
from scheduler.reservation import reserve
from scheduler.room import Room
from scheduler.scoring import options
from scheduler.shape import Way, ways_of
from scheduler.staging import ahead, book

PRESTAGINGS_MAX = 256  # proposed by one round
MUCH_WORSE = 1.5  # times the best finish of a turn: look again before going so far


def place(snapshot: Snapshot, policy: Policy | None = None, memo: Memo | None = None) -> Round:
    """Place what fits now and say why the rest waits.

    A caller that takes round after round saves work with a `memo` of its own. The same
    snapshot gives the same round with any memo, in whatever order its pools, sites and
    classes stand. Raises ValueError when a pool key stands twice.
    """
    return PlacementRound(snapshot, policy, memo).run()


class PlacementRound:
    """The working state of one round; run it once."""

    def __init__(
        self, snapshot: Snapshot, policy: Policy | None = None, memo: Memo | None = None
    ) -> None:
        self.snapshot = snapshot
        self.policy = policy or Policy()
        self.supply, self._notes = (memo or Memo()).take(snapshot, self.policy)
        self.capacity = Capacity(self.supply)
        self.releases = Releases(
            self.supply, snapshot.running, snapshot.now, self.policy.run_seconds_default
        )
        self.holds = HeldShapes.of(self.supply, snapshot.holds, snapshot.now)
        self.allowances = Allowances(snapshot, self.supply)
        free = self.capacity.pool_free()
        wishes = Wishes.together(tuple(self.supply.by_model()), [n.wishes for n in self._notes])
        self.economy = Economy(snapshot, self.supply, free, wishes)
        shortest = [notes.shortest_seconds for notes in self._notes]
        self.turns = Turns(snapshot, int(free.sum()), shortest, self.allowances.leads, self.policy)
        self._no_time = np.zeros(len(self.supply))
        self.room = Room(self.supply, snapshot.running, self.policy.victims_max)
        self._shapes_blocked: set[tuple[Variant, ...]] = set()
        self.placements: list[Placement] = []
        self.prestagings: dict[Prestaging, None] = {}
        self._placed: dict[int, int] = {}  # jobs, of the classes that have had their turns

    def run(
        self,
        what_if: Callable[[Case], tuple[Suggestion, ...]] | None = None,
        asked: str = "",
    ) -> Round:
        """Give every class its turns and explain it; `what_if` adds suggestions for those left.

        Of the classes that cannot start only the first are looked at in full, and some of the
        rest, others in each round; that of the key `asked` always.
        """
        open_cases: dict[int, Case] = {}
        explained: dict[int, Explanation] = {}
        blocked = 0
        while (at := self.turns.next()) is not None:
            queued = self.snapshot.queue[at]
            if at not in open_cases and (self._room() <= 0 or self._is_blocked(queued)):
                blocked += 1
                beyond = blocked > self.policy.blocked_max and queued.key != asked
                if beyond and not self._is_its_turn(at):
                    continue
            case = open_cases.pop(at, None) or self._open(at)
            if self._turn(at, case):
                open_cases[at] = case
                self.turns.again(at)
                continue
            suggestions: tuple[Suggestion, ...] = ()
            if case.jobs_left:
                self._look_again(case)
                suggestions = what_if(case) if what_if else ()
                self._send_ahead(case)
                self.room.note(case, self.capacity.guards)
                self._keep_place(at, case)  # after the suggestions: its guard is not in its way
            self._placed[at] = case.jobs_placed
            if self._is_told(case, asked):
                explained[at] = describe(self.supply, case, suggestions)
        preemptions = self.room.proposals(self.capacity, self.allowances.quotas)
        return Round(
            tuple(self.placements),
            self._with_positions(explained),
            tuple(self.prestagings),
            preemptions,
            self.economy.scarcity(),
            self.economy.worth,
            self.economy.worth_bound(),
        )

    def stand(self, assessment: Assessment, queued: QueueClass) -> Standing:
        """What a demand of this class can choose from at this moment of the round."""
        assessment = self.allowances.judge(assessment, queued)
        found = options(assessment, self.capacity, self.releases, self.policy)
        return Standing.now(found, self.capacity)

    def assess(self, demand: Demand, tenant: str) -> Assessment:
        """The hard conditions of a demand that no class of the queue has."""
        past = past_of(self.supply, demand, tenant)
        prospect = look_into(self.supply, demand, tenant, self.policy, past)
        return assess(self.supply, prospect, self.holds)

    def _is_blocked(self, queued: QueueClass) -> bool:
        """Whether no pool has room for the shape, whatever else: free cards only get fewer."""
        variants = queued.demand.variants
        if variants not in self._shapes_blocked:
            if any(self._has_room(way, variants[way.variant]) for way in ways_of(queued.demand)):
                return False
            self._shapes_blocked.add(variants)
        return True

    def _has_room(self, way: Way, variant: Variant) -> bool:
        if min(way.nodes, way.cards_per_node) < 1:
            return False
        missing = self.capacity.missing_cards(way, self._no_time)
        return bool((self.supply.matching(variant.accelerator) & (missing == 0)).any())

    def _is_its_turn(self, at: int) -> bool:
        """Whether this round explains a class that is far behind; each comes in time."""
        every = -(-len(self.snapshot.queue) // self.policy.blocked_max)
        return at % every == int(self.snapshot.now) % every

    def _is_told(self, case: Case, asked: str) -> bool:
        """Whether the round says why: always of what starts, and of what never can."""
        told = self.policy.explain_waiting or bool(case.chosen) or case.queued.key == asked
        if told or case.waiting is not None:  # who waits for cards can have them some day
            return told
        return verdict(self.supply, case) is Verdict.NEVER

    def _open(self, at: int) -> Case:
        queued = self.snapshot.queue[at]
        prospect = self._notes[at].look(self.supply, queued.tenant, self.policy)
        standing = self.stand(assess(self.supply, prospect, self.holds), queued)
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
            case.jobs_held = self._held(case, rank)
            if case.early and rank > MUCH_WORSE * found.rank[ranked[0]]:
                break
            cards = found.assessment.ways[way].cards
            wanted = min(len(case.jobs_left) - case.jobs_held, self._room())
            wanted = min(wanted, math.ceil((cards_max - cards_given) / cards))
            wanted = min(wanted, self.allowances.gangs_left(case.queued, cards, pool))
            if wanted <= 0:
                break
            gangs = self._fill(case, way, pool, wanted)
            cards_given += gangs * cards
            seconds = float(found.duration_seconds[way, pool])
            self.economy.start(at, pool, gangs, cards, seconds)
        more = len(case.jobs_left) > case.jobs_held and self._room() > 0
        return more and cards_given > 0

    def _held(self, case: Case, rank: float) -> int:
        """How many of the jobs left wait for busy pools rather than take a place of `rank`.

        They do where it is much worse than their best place and the cards that come free
        there, as far as they are not promised, let them end earlier.
        """
        if case.waiting is None or not case.early or rank <= self._rank_max(case):
            return 0
        age_seconds = max(0.0, self.snapshot.now - case.queued.oldest_submitted_at)
        gangs = case.waiting.gangs_before(self.releases, rank, age_seconds)
        return min(len(case.jobs_left), int(gangs.sum()))

    def _rank_max(self, case: Case) -> float:
        """The worst place that is taken without a look at what waiting would bring: so many
        times the class's best one, were that free; worse ones the longer it has waited."""
        found = case.options
        alone = found.rank - found.wait_seconds + found.ahead_seconds
        usual = np.where(found.fits | found.waits, alone, math.inf)
        waited = max(0.0, self.snapshot.now - case.queued.oldest_submitted_at)
        best = float(usual.min(initial=math.inf))
        return self.policy.accept_factor * best + self.policy.accept_age * waited

    def _fill(self, case: Case, way: int, pool: int, wanted: int) -> int:
        """Place up to `wanted` jobs in one way in one pool; how many fitted."""
        found = case.options
        layout, duration = found.assessment.ways[way], float(found.duration_seconds[way, pool])
        score, key = found.score(way, pool), self.supply.pools[pool].key
        fetches = found.assessment.staging.fetches(pool)
        gangs = 0
        for slices, count in self.capacity.take(layout, pool, wanted, duration):
            for _ in range(count):
                job_id = case.jobs_left.pop()
                self.placements.append(
                    Placement(job_id, layout.variant, key, slices, score, fetches)
                )
            gangs += count
        if gangs:
            case.chosen.setdefault((way, pool), score)
            case.jobs_placed += gangs
            case.stale = True
            book(self.supply, found.assessment.staging, pool)
            self.releases.expect(pool, gangs * layout.cards, duration)
            self.allowances.give(case.queued, gangs * layout.cards, pool)
            self.turns.give(case.queued, self.supply.pools[pool].accelerator, gangs * layout.cards)
        return gangs

    def _send_ahead(self, case: Case) -> None:
        """Propose to send for the inputs of jobs that wait for cards in a known pool."""
        found = case.options
        where = found.fits | (found.waits & found.known)
        finish = np.where(where, found.rank, math.inf)
        sent = ahead(self.supply, found.assessment.staging, found.wait_seconds, finish)
        if len(self.prestagings) + len(sent) <= PRESTAGINGS_MAX:
            self.prestagings.update(dict.fromkeys(sent))

    def _keep_place(self, at: int, case: Case) -> None:
        """Promise and reserve for the jobs that are left, ahead of the classes behind.

        A reservation is for those that have aged: others would keep cards idle for jobs that
        the order lets wait anyway.
        """
        if case.waiting is not None:
            all_known = case.waiting.gangs_before(self.releases, math.inf, 0.0)
            case.waiting.promise(self.releases, len(case.jobs_left), all_known)
        waits = case.jobs_held or not case.options.fits.any()
        if waits and self.turns.aged(at):
            reserve(self.supply, self.capacity, case.options)

    def _look_again(self, case: Case) -> None:
        """Renew what the class can choose from after it was given cards."""
        if case.stale:
            case.standing = self.stand(case.options.assessment, case.queued)
            case.stale = False

    def _room(self) -> int:
        """Placements that this round may still make."""
        return self.policy.placements_max - len(self.placements)

    def _with_positions(
        self, explained: dict[int, Explanation]
    ) -> tuple[tuple[str, Explanation], ...]:
        """Class keys and explanations in the order of the queue, each with the jobs ahead."""
        told: list[tuple[str, Explanation]] = []
        ahead = 0
        for at in self.turns.order:
            queued, explanation = self.snapshot.queue[at], explained.get(at)
            if explanation is not None:
                told.append((queued.key, replace(explanation, position=ahead)))
                if explanation.verdict is Verdict.NEVER:
                    continue
            ahead += max(queued.queued, len(queued.jobs)) - self._placed.get(at, 0)
        return tuple(told)
