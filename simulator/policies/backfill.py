"""What backfilling policies share: profiles of the pools, the backlog, one pass over it.

EASY backfill (Lifka, JSSPP'95; Mu'alem and Feitelson, TPDS 2001): the head of a queue has a
reservation; a job behind it starts when it fits now and either ends, by its estimate, before
the head's reserved start ("shadow time") or uses only cards that the head leaves ("extra").
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np

from simulator.policies.queues import fitting
from simulator.replay.instance import Ints, Known
from simulator.replay.view import Decision, Place, View


@dataclass(frozen=True, slots=True)
class Reservation:
    """The head's promised start, and the cards that it leaves then."""

    shadow: float
    extra: int


class Profile:
    """What runs in one pool, by expected end."""

    def __init__(self, cards: int) -> None:
        self.free = cards
        self._ends: list[tuple[float, int, int]] = []  # expected end, job, cards
        self._end_of: dict[int, float] = {}

    def start(self, job: int, cards: int, end: float) -> None:
        self.free -= cards
        self._end_of[job] = end
        insort(self._ends, (end, job, cards))

    def end(self, job: int, cards: int) -> None:
        self.free += cards
        expected = self._end_of.pop(job)
        del self._ends[bisect_left(self._ends, (expected, job, cards))]

    def reservation(self, cards: int, now: float) -> Reservation:
        """When `cards` are free if everything ends as expected; what is overdue ends now."""
        free, shadow = self.free, now
        for end, _, held in self._ends:
            if free >= cards and end > shadow:
                break
            free, shadow = free + held, max(shadow, end)
        return Reservation(shadow, free - cards) if free >= cards else Reservation(math.inf, 0)


class Backlog:
    """Jobs that wait, oldest first; removing one from the middle is cheap."""

    def __init__(self, known: Known) -> None:
        self._ids = np.empty(0, np.int64)
        self._new: list[int] = []
        self._waiting = np.zeros(len(known), np.bool_)
        self._gone = 0

    def push(self, job: int) -> None:
        self._waiting[job] = True
        self._new.append(job)

    def remove(self, job: int) -> None:
        self._waiting[job] = False
        self._gone += 1

    def waits(self, job: int) -> bool:
        return bool(self._waiting[job])

    def ids(self) -> Ints:
        """The waiting jobs in the order of arrival."""
        if self._new:
            self._ids = np.concatenate([self._ids, np.array(self._new, np.int64)])
            self._new.clear()
        if self._gone:
            self._ids = self._ids[self._waiting[self._ids]]
            self._gone = 0
        return self._ids


class Backfill:
    """What both policies share: profiles of the pools, the backlog, and one pass over it."""

    def __init__(self, known: Known, depth: int = 0) -> None:
        self.known, self.depth = known, depth
        self.cards: list[int] = known.cards.tolist()
        self.profiles = [Profile(cards) for cards in known.pools.cards.tolist()]
        self.backlog = Backlog(known)
        self.starts: list[Place] = []
        estimates = known.estimate_seconds[:, known.pools.kind]
        self.lengths = np.ascontiguousarray((estimates + known.stage_seconds).T)  # [pool, job]
        self.allowed = np.ascontiguousarray(known.allowed.T)

    def take_ends(self, view: View) -> dict[int, None]:
        """Let what ended go; the pools where something did."""
        for job, pool in view.ended:
            self.profiles[pool].end(job, self.cards[job])
        return dict.fromkeys(pool for _, pool in view.ended)

    def pools_of(self, job: int) -> list[int]:
        """Where the job would fit now."""
        shapes = self.known.shapes
        free = [profile.free for profile in self.profiles]
        return fitting(shapes.pools[shapes.of_job[job]], free, self.cards[job])

    def could_run(self, job: int) -> bool:
        shapes = self.known.shapes
        return bool(shapes.pools[shapes.of_job[job]])

    def start(self, job: int, pool: int, now: float) -> None:
        end = now + float(self.lengths[pool, job])
        self.profiles[pool].start(job, self.cards[job], end)
        self.starts.append(Place(job, pool))
        self.backlog.remove(job)

    def respects(self, job: int, pool: int, held: Reservation | None, now: float) -> bool:
        """Whether the job would not delay the head that holds a reservation in the pool."""
        if held is None or self.cards[job] <= held.extra:
            return True
        return now + float(self.lengths[pool, job]) <= held.shadow

    def candidate(self, pool: int, held: Reservation | None, now: float) -> int | None:
        """The oldest waiting job, not the head, that may start in the pool now."""
        ids = self.backlog.ids()
        ids = ids[: self.depth] if self.depth else ids
        cards = self.known.cards[ids]
        may = (cards <= self.profiles[pool].free) & self.allowed[pool, ids]
        if held is not None and may.any():
            ends = now + self.lengths[pool, ids]
            may &= (cards <= held.extra) | (ends <= held.shadow)
        return int(ids[may.argmax()]) if may.any() else None

    def decided(self) -> Decision:
        starts, self.starts = self.starts, []
        return Decision(starts)
