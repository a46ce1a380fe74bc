"""Whose turn it is: what is guaranteed, then priority, then the short and the underserved.

Who claims no more than its guarantee goes before all that borrow; priority is moved by age
and deadlines (`priority`). Among equals the shortest expected run is first, which keeps the
mean completion time low, and a tenant's share (`shares`) makes its jobs count as longer or
shorter. While tenants of one priority compete, each turn is limited to a quantum, so that
one round fills up evenly.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence

from scheduler.model import Policy, QueueClass, Snapshot
from scheduler.priority import points, steps_aged
from scheduler.shares import Ratios, Shares

QUANTA_PER_ROUND = 32  # turns that the free cards are dealt out in while tenants compete
RATIO_MIN, RATIO_MAX = 1 / 64, 64.0  # of shares, as far as they weigh against lengths


class Turns:
    """Hands out turns to queue classes, named by their index in the snapshot's queue."""

    def __init__(
        self,
        snapshot: Snapshot,
        cards_free: int,
        lengths: Sequence[float],
        leads: Callable[[int], bool] = lambda at: False,
        policy: Policy | None = None,
    ) -> None:
        """`lengths`: the expected run of each class, in seconds."""
        self._queue = snapshot.queue
        self._policy = policy or Policy()
        self._shares = Shares(snapshot)
        self._lengths = lengths
        self._waited = [_waited(queued, snapshot.now) for queued in snapshot.queue]
        self._points = [self._points_of(at, snapshot.now) for at in range(len(snapshot.queue))]
        self._leads = [leads(at) for at in range(len(snapshot.queue))]
        competing = {
            (own, queued.tenant) for own, queued in zip(self._points, snapshot.queue, strict=True)
        }
        self._tenants = Counter(own for own, _ in competing)
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
        competing = self._tenants[self._points[at]] > 1
        return self._quantum if competing else self._cards_free

    def give(self, queued: QueueClass, model: str, cards: int) -> None:
        """Count cards of a model to the class's project and tenant."""
        self._shares.give(queued.tenant, queued.project, model, cards)

    def aged(self, at: int) -> bool:
        """Whether the class has waited so long that others may be kept waiting for it."""
        return steps_aged(self._waited[at], self._lengths[at]) > 0

    def _order(self, at: int) -> tuple[bool, int, float, Ratios, float, str]:
        queued = self._queue[at]
        ratios = self._shares.ratios(queued.tenant, queued.project)
        weight = min(RATIO_MAX, max(RATIO_MIN, ratios[0])) ** self._policy.fair_share
        first = not self._leads[at], -self._points[at], self._lengths[at] * weight
        return *first, ratios, queued.oldest_submitted_at, queued.key

    def _points_of(self, at: int, now: float) -> int:
        """The effective priority of a class, by its oldest job and its expected run."""
        queued = self._queue[at]
        deadline_at, length = queued.demand.deadline_at, self._lengths[at]
        return points(queued.priority, self._waited[at], deadline_at, now, length)


def _waited(queued: QueueClass, now: float) -> float:
    since = queued.oldest_submitted_at
    return max(0.0, now - since) if since > 0 else 0.0
