"""Who should make room: whole attempts to stop, with the least work lost, so that a job starts.

Two reasons (see `PreemptionReason`): a higher priority class of the same tenant, and cards
that are guaranteed to a tenant or project and that another has borrowed. So no tenant can
stop another's work by calling its own urgent, and a borrowing tenant gives back. Nobody is
stopped for a job that would not start, that one ahead of it would take the cards from, or
that a site could still refuse for its shape.

Knows free cards by supernode, not which nodes an attempt is on: freed cards count only where
they are sure to complete nodes. What comes out is a proposal that the broker's core checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scheduler.model import Preemption, PreemptionReason, QueueClass, Running, Victim
from scheduler.priority import PriorityClass
from scheduler.quotas import Quotas
from scheduler.shape import Way

CANDIDATES_MAX = 256  # attempts looked at for one job in one pool, those that lose least
POOLS_MAX = 16  # looked at for one job


@dataclass(frozen=True, slots=True)
class PoolState:
    """The free cards of one pool after a round: nodes by free cards, for each supernode."""

    key: str
    accelerator: str
    cards_per_node: int
    nodes_by_free: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that was left waiting, and the (way, pool key) pairs that it is allowed, best first.

    `closed`: pools whose free cards are kept for a gang ahead of it.
    """

    queued: QueueClass
    job_id: str
    choices: tuple[tuple[Way, str], ...]
    closed: frozenset[str] = frozenset()


class Preemptions:
    """The proposals of one round: claims in the order of the queue, each pool used once."""

    def __init__(
        self,
        pools: Mapping[str, PoolState],
        running: Sequence[Running],
        quotas: Quotas,
        victims_max: int,
    ) -> None:
        self._pools = pools
        self._quotas = quotas
        self._victims_left = victims_max
        self._running: dict[str, list[Running]] = {}
        for attempt in running:
            self._running.setdefault(attempt.pool, []).append(attempt)
        self._used: set[str] = set()  # pools where somebody makes room already
        self._ahead: list[Claim] = []

    def propose(self, claims: Sequence[Claim]) -> tuple[Preemption, ...]:
        """At most one proposal for each claim and for each pool."""
        found: list[Preemption] = []
        for claim in claims:
            if self._victims_left <= 0:
                break
            if not self._is_coming(claim):
                best = min(self._ways_out(claim), key=_loss, default=None)
                if best is not None:
                    self._accept(best, claim)
                    found.append(best)
            self._ahead.append(claim)
        return tuple(found)

    def _accept(self, proposal: Preemption, claim: Claim) -> None:
        self._used.add(proposal.pool)
        self._victims_left -= len(proposal.victims)
        stopped = {(victim.job_id, victim.epoch) for victim in proposal.victims}
        for attempt in self._running[proposal.pool]:
            if (attempt.job_id, attempt.epoch) in stopped:
                model = self._pools[proposal.pool].accelerator
                self._quotas.give(attempt.tenant, attempt.project, model, -attempt.cards)

    def _is_coming(self, claim: Claim) -> bool:
        """Whether attempts that are being stopped already make the room: then wait for them."""
        for way, key in claim.choices:
            if key not in self._used and key in self._pools:
                stopping = [each for each in self._running.get(key, ()) if each.stopping]
                if stopping and fits(self._pools[key], way, stopping):
                    self._used.add(key)
                    return True
        return False

    def _ways_out(self, claim: Claim) -> Iterator[Preemption]:
        """The proposals that would let the claim's job start, in each of its best pools."""
        for way, key in claim.choices[:POOLS_MAX]:
            pool = self._pools.get(key)
            if pool is None or key in self._used or key in claim.closed:
                continue
            stopping = [each for each in self._running.get(key, ()) if each.stopping]
            for reason in PreemptionReason:
                candidates = self._candidates(claim, way, pool, reason)
                chosen = least(pool, way, candidates, stopping)
                if not chosen or len(chosen) > self._victims_left:
                    continue
                if reason is PreemptionReason.RECLAIM:
                    chosen = self._lawful(claim, way, pool, chosen)
                if chosen and not self._is_for_others(pool, [*stopping, *chosen]):
                    yield Preemption(
                        claim.job_id,
                        way.variant,
                        key,
                        reason,
                        tuple(Victim(v.job_id, v.epoch, lost(v)) for v in chosen),
                    )

    def _is_for_others(self, pool: PoolState, freed: list[Running]) -> bool:
        """Whether a job ahead in the queue would take the room."""
        return any(
            key == pool.key and pool.key not in other.closed and fits(pool, way, freed)
            for other in self._ahead
            for way, key in other.choices
        )

    # --- who may be stopped -----------------------------------------------------------

    def _candidates(
        self, claim: Claim, way: Way, pool: PoolState, reason: PreemptionReason
    ) -> list[Running]:
        """The attempts in a pool that may be stopped for the claim, those that lose least first."""
        able = [
            each
            for each in self._running.get(pool.key, ())
            if each.preemptible and each.job_id and not each.stopping
        ]
        if reason is PreemptionReason.PRIORITY:
            able = [each for each in able if outranks(claim.queued, each)]
        else:
            queued, model, cards = claim.queued, pool.accelerator, way.cards
            able = [each for each in able if reclaims(self._quotas, queued, model, cards, each)]
        able.sort(key=lambda each: (lost(each), -each.cards, each.job_id))
        return able[:CANDIDATES_MAX]

    def _lawful(
        self, claim: Claim, way: Way, pool: PoolState, chosen: list[Running]
    ) -> list[Running]:
        """The chosen, if each is still borrowed when those before it are stopped; else nobody."""
        model, taken = pool.accelerator, []
        for attempt in chosen:
            if not reclaims(self._quotas, claim.queued, model, way.cards, attempt):
                break
            self._quotas.give(attempt.tenant, attempt.project, model, -attempt.cards)
            taken.append(attempt)
        for attempt in taken:
            self._quotas.give(attempt.tenant, attempt.project, model, attempt.cards)
        return chosen if len(taken) == len(chosen) else []


def outranks(queued: QueueClass, attempt: Running) -> bool:
    """Whether a waiting class is of a higher priority class of the same tenant."""
    above = PriorityClass.of(queued.priority) > PriorityClass.of(attempt.priority)
    return above and queued.tenant == attempt.tenant


def reclaims(quotas: Quotas, queued: QueueClass, model: str, cards: int, attempt: Running) -> bool:
    """Whether the attempt holds borrowed cards that are guaranteed to the waiting class."""
    tenant, project = queued.tenant, queued.project
    if attempt.tenant != tenant:
        guaranteed = quotas.is_guaranteed(tenant, project, model, cards)
        return guaranteed and quotas.borrows(attempt.tenant, model)
    if attempt.project == project:
        return False
    guaranteed = quotas.is_guaranteed_within(tenant, project, model, cards)
    return guaranteed and quotas.borrows_within(tenant, attempt.project, model)


def lost(attempt: Running) -> float:
    """Card-seconds of work that are lost if it is stopped now."""
    return max(0.0, attempt.lost_seconds) * attempt.cards


def _loss(proposal: Preemption) -> tuple[float, int, str]:
    return proposal.lost_card_seconds, len(proposal.victims), proposal.pool


# --- how few are enough -----------------------------------------------------------------


def least(
    pool: PoolState, way: Way, candidates: Sequence[Running], stopping: Sequence[Running] = ()
) -> list[Running]:
    """Attempts whose end lets one gang start, none of them in vain; empty when none do.

    Greedy by lost work, then by lost work per card, each followed by reverse deletion: from
    the dearest on, whoever is not needed is spared. The cheaper result is taken. Both are
    minimal: leave out any one victim and the gang does not fit.
    """
    found: list[list[Running]] = []
    for order in (lost, lambda each: lost(each) / max(1, each.cards)):
        ranked = sorted(candidates, key=lambda each: (order(each), -each.cards, each.job_id))
        count = _enough(pool, way, ranked, stopping)
        if count:
            found.append(_spare(pool, way, ranked[:count], stopping))
    return min(found, key=lambda chosen: (sum(map(lost, chosen)), len(chosen)), default=[])


def _enough(
    pool: PoolState, way: Way, ranked: Sequence[Running], stopping: Sequence[Running]
) -> int:
    """How many of the first of `ranked` are enough, by bisection; 0: not even all."""
    if not fits(pool, way, [*stopping, *ranked]):
        return 0
    low, high = 0, len(ranked)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(pool, way, [*stopping, *ranked[:middle]]):
            high = middle
        else:
            low = middle
    return high


def _spare(
    pool: PoolState, way: Way, chosen: list[Running], stopping: Sequence[Running]
) -> list[Running]:
    """Reverse deletion: the dearest first, whoever is not needed goes free."""
    for attempt in sorted(chosen, key=lambda each: (-lost(each), each.cards, each.job_id)):
        without = [each for each in chosen if each is not attempt]
        if fits(pool, way, [*stopping, *without]):
            chosen = without
    return chosen


def fits(pool: PoolState, way: Way, freed: Sequence[Running]) -> bool:
    """Whether a gang is sure to fit when the cards of `freed` are free too."""
    back: dict[str, list[tuple[int, int]]] = {}
    for attempt in freed:
        for part in attempt.slices:
            back.setdefault(part.supernode, []).append((part.nodes, part.cards))
    nodes = [
        nodes_fitting(levels, back.get(name, ()), pool.cards_per_node, way.cards_per_node)
        for name, levels in pool.nodes_by_free.items()
    ]
    if not way.group:
        return sum(nodes) >= way.nodes
    return sum(each // way.group for each in nodes) >= -(-way.nodes // way.group)


def nodes_fitting(
    nodes_by_free: Sequence[int],
    freed: Sequence[tuple[int, int]],
    cards_per_node: int,
    cards: int,
) -> int:
    """Nodes of a supernode that surely have `cards` free when `freed` (nodes, cards) come free.

    On which nodes they come free is not known, so the greater of two lower bounds counts.
    Those free enough now, and those that a part frees so much of that they had too little
    before and share no node with another such part. Or, by counting cards: however the free
    cards are spread, nodes with at most `cards` − 1 of them cannot hold them all.
    """
    total = sum(nodes_by_free)
    now = sum(nodes_by_free[cards:])
    sure = sum(n for n, each in freed if each >= cards and each > cards_per_node - cards)
    free = sum(level * n for level, n in enumerate(nodes_by_free))
    free += sum(n * each for n, each in freed)
    beyond = free - total * (cards - 1)
    counted = -(-beyond // (cards_per_node - cards + 1)) if beyond > 0 else 0
    return min(total, max(now + sure, counted))
