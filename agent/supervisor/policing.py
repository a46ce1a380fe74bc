"""The site's policy at work: limits by the hour, and cards that the site wants back.

What is over a pool's limit is not offered again; where the site recalls cards, what runs is
stopped for it: whole attempts, those that may be stopped first, then the lowest priority, then
the least lost work. Knows the state and the clock; not the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.inventory import DeclaredPool, Limit
from agent.policy import EVERYTHING, Hours, PoolPolicy, Recall, hours_at
from agent.supervisor.attempts import Attempts
from agent.supervisor.draft import Draft
from agent.supervisor.messages import CardsRecalled, RecallDropped, RecallPut
from agent.supervisor.outcomes import SITE_RECALLED
from agent.supervisor.state import State
from agent.supervisor.values import NEVER, Attempt, Moment, Recalled, Settings
from scheduler.priority import PriorityClass


class Policing:
    """Keeps every pool within what its site leaves the federation of it."""

    def __init__(self, state: State, draft: Draft, attempts: Attempts, settings: Settings) -> None:
        self._state = state
        self._draft = draft
        self._attempts = attempts
        self._zone = settings.time_zone
        self._hours: dict[PoolPolicy, Hours] = {}  # as last looked at: few, those of the file

    def recall(self, event: CardsRecalled, now: Moment) -> None:
        """From now on so many cards fewer than may be held now, until they are released."""
        inventory = self._state.inventory
        declared = inventory.declared(event.pool)
        if declared is None or (recall := declared.policy.recall) is None:
            return
        self._keep_within(declared, now)
        spare_seconds = max(0.0, event.grace_seconds - recall.grace_seconds)
        left = min(inventory.offered(event.pool), self._limit(declared, now).cards) - event.cards
        opens_at = self._hours_at(declared.policy, now).opens_at
        until = NEVER if opens_at is None else opens_at
        before = self._state.recalls.get(event.pool)
        stop_at = min(now.wall + spare_seconds, before.stop_at if before else NEVER)
        self._draft.record(RecallPut(Recalled(event.pool, max(0, left), stop_at, until)))
        self._keep_within(declared, now)

    def release(self, pool: str, now: Moment) -> None:
        """Offer again what was recalled; "": of all pools."""
        for name in [name for name in self._state.recalls if pool in ("", name)]:
            self._draft.record(RecallDropped(name))
            declared = self._state.inventory.declared(name)
            if declared is not None:
                self._keep_within(declared, now)

    def enforce(self, now: Moment) -> None:
        """Limits as they are now; stops what has to be given back."""
        recalls = dict(self._state.recalls)
        for recalled in recalls.values():
            if recalled.until <= now.wall:
                self._draft.record(RecallDropped(recalled.pool))
        for declared in self._state.inventory.declared_pools():
            if declared.policy != EVERYTHING or declared.name in recalls:
                self._keep_within(declared, now)

    def _keep_within(self, declared: DeclaredPool, now: Moment) -> None:
        state, pool = self._state, declared.name
        if state.inventory.limit(pool, self._limit(declared, now)):
            state.changed_pools.add(pool)
        if (recall := declared.policy.recall) is not None:
            allowed = self._allowed(declared, now)
            if state.inventory.taken(pool) > allowed:
                self._give_back(declared, recall, allowed, now.elapsed)

    def _limit(self, declared: DeclaredPool, now: Moment) -> Limit:
        """What may be held, and when more may."""
        cards = self._share(declared, now)
        recalled = self._state.recalls.get(declared.name)
        if recalled is not None:
            cards = min(cards, recalled.cards_max)
        return Limit(cards, self._hours_at(declared.policy, now).opens_at or 0.0)

    def _allowed(self, declared: DeclaredPool, now: Moment) -> int:
        """How many cards may go on being held: a share alone, without windows, stops nothing."""
        cards = self._share(declared, now) if declared.policy.windows else declared.cards
        recalled = self._state.recalls.get(declared.name)
        if recalled is not None and recalled.stop_at <= now.wall:
            return min(cards, recalled.cards_max)
        return cards

    def _share(self, declared: DeclaredPool, now: Moment) -> int:
        return int(declared.cards * self._hours_at(declared.policy, now).share)

    def _hours_at(self, policy: PoolPolicy, now: Moment) -> Hours:
        known = self._hours.get(policy)
        if known is None or not known.since <= now.wall < known.until:
            known = self._hours[policy] = hours_at(policy, now.wall, self._zone)
        return known

    def _give_back(
        self, declared: DeclaredPool, recall: Recall, allowed: int, elapsed: float
    ) -> None:
        """Only nodes that are there now count: what has left the pool is not what was wanted."""
        nodes = frozenset(node.name for node in declared.nodes)
        held = [
            (attempt, _cards(attempt, nodes, declared.dies_per_card))
            for attempt in self._state.running()
            if attempt.pool == declared.name and not attempt.stop_reason
        ]
        excess = sum(cards for _, cards in held) - allowed
        for attempt in victims(held, excess, recall.classes, elapsed):
            self._attempts.give_back(attempt, SITE_RECALLED)


def victims(
    held: Iterable[tuple[Attempt, int]],
    excess: int,
    classes: Sequence[PriorityClass],
    elapsed: float,
) -> list[Attempt]:
    """Whole attempts, of these with their cards, that together hold at least `excess` cards.

    In order of what their end costs; of those chosen the costliest that are not needed are
    spared. All that may be stopped, where that is not enough.
    """
    chosen: list[tuple[Attempt, int]] = []
    left = excess
    may_be = [each for each in held if PriorityClass.of(each[0].priority) in classes and each[1]]
    for attempt, cards in sorted(may_be, key=lambda each: _cost(each[0], each[1], elapsed)):
        if left <= 0:
            break
        chosen.append((attempt, cards))
        left -= cards
    kept: list[Attempt] = []
    for attempt, cards in reversed(chosen):
        if left + cards <= 0:
            left += cards
        else:
            kept.append(attempt)
    return kept[::-1]


def _cost(attempt: Attempt, cards: int, elapsed: float) -> tuple[bool, int, float, str]:
    """Not to be stopped, priority, card-seconds that may be lost; the name decides the rest."""
    lost = cards * (elapsed - attempt.accepted_at)
    return not attempt.preemptible, attempt.priority, lost, attempt.name


def _cards(attempt: Attempt, nodes: frozenset[str], dies_per_card: int) -> int:
    """How many cards of these nodes it holds."""
    return sum(
        len({device // dies_per_card for device in node.devices})
        for node in attempt.nodes
        if node.name in nodes
    )
