"""Whose turn it is: priority, then fair share, then age.

A tenant's share is the cards it holds over its weight. While tenants of one priority
compete, each turn is limited to a quantum, so that one round fills up evenly.
"""

from __future__ import annotations

import heapq
from collections import Counter

from scheduler.model import Snapshot

QUANTA_PER_ROUND = 32  # turns that the free cards are dealt out in while tenants compete
WEIGHT_MIN = 1e-3  # a weight of 0 would mean never


class Turns:
    """Hands out turns to queue classes, named by their index in the snapshot's queue."""

    def __init__(self, snapshot: Snapshot, cards_free: int) -> None:
        self._queue = snapshot.queue
        self._held = {tenant: max(0.0, cards) for tenant, cards in snapshot.usage}
        self._weights = {tenant: max(WEIGHT_MIN, weight) for tenant, weight in snapshot.weights}
        competing = {(queued.priority, queued.tenant) for queued in snapshot.queue}
        self._tenants = Counter(priority for priority, _ in competing)
        self._cards_free = max(1, cards_free)
        self._quantum = max(1, cards_free // QUANTA_PER_ROUND)
        self._heap = [(self._order(at), at) for at in range(len(snapshot.queue))]
        heapq.heapify(self._heap)
        self.order: tuple[int, ...] = tuple(at for _, at in sorted(self._heap))

    def next(self) -> int | None:
        """The class whose turn it is; None when no class is left."""
        while self._heap:
            order, at = heapq.heappop(self._heap)
            if order == self._order(at):
                return at
            self.again(at)  # its tenant was given cards meanwhile
        return None

    def again(self, at: int) -> None:
        """Give the class another turn, behind those whose tenants hold less."""
        heapq.heappush(self._heap, (self._order(at), at))

    def cards_max(self, at: int) -> int:
        """How many cards the turn may give, all that are free when nobody competes."""
        competing = self._tenants[self._queue[at].priority] > 1
        return self._quantum if competing else self._cards_free

    def give(self, at: int, cards: int) -> None:
        """Count `cards` to the class's tenant."""
        tenant = self._queue[at].tenant
        self._held[tenant] = self._held.get(tenant, 0.0) + cards

    def _order(self, at: int) -> tuple[int, float, float, str]:
        queued = self._queue[at]
        share = self._held.get(queued.tenant, 0.0) / self._weights.get(queued.tenant, 1.0)
        return -queued.priority, share, queued.oldest_submitted_at, queued.key
