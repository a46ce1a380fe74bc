"""Early binding: a job is sent to one site when it arrives, and waits there for its turn.

What meta-brokers without a central queue do (EGEE's Workload Management System, GridWay).
Its data travel there while it waits. A policy here is a choice of pool at arrival and a
discipline of the local queues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from simulator.policies.queues import LocalQueue
from simulator.replay.instance import Bools, Known
from simulator.replay.view import Decision, Place, View


class Choice(Protocol):
    """Where a job that arrives is sent; told of every start and end."""

    def choose(self, job: int, allowed: Bools, now: float) -> int:
        """One of the pools where `allowed`."""

    def started(self, job: int, pool: int, now: float) -> None: ...

    def ended(self, job: int, pool: int) -> None: ...


class EarlyBinding:
    """Binds by `choice`; each pool starts jobs by its own queue, ordered by `key(job, pool)`."""

    def __init__(
        self,
        known: Known,
        choice: Choice,
        queue: Callable[[], LocalQueue],
        key: Callable[[int, int], float] | None = None,
    ) -> None:
        self._known, self._choice = known, choice
        self._queues = [queue() for _ in range(len(known.pools))]
        self._key = key or (lambda job, pool: job)
        self._allowed = known.allowed

    def decide(self, view: View) -> Decision:
        touched: dict[int, None] = {}
        for job, pool in view.ended:
            self._choice.ended(job, pool)
            touched[pool] = None
        bound = []
        starts: list[Place] = []
        for job in view.arrived:
            allowed = self._allowed[job]
            if not allowed.any():
                continue  # nowhere, ever: it stays unfinished and is counted so
            pool = self._choice.choose(job, allowed, view.now)
            self._queues[pool].push(job, int(self._known.cards[job]), self._key(job, pool))
            bound.append(Place(job, pool))
            touched[pool] = None
        for pool in touched:
            self._start(pool, int(view.free[pool]), view.now, starts)
        return Decision(starts, bound)

    def _start(self, pool: int, free: int, now: float, starts: list[Place]) -> None:
        queue = self._queues[pool]
        while (job := queue.pop(free)) is not None:
            free -= int(self._known.cards[job])
            self._choice.started(job, pool, now)
            starts.append(Place(job, pool))


class RandomChoice:
    """Any pool that could hold the job, each as likely."""

    def __init__(self, known: Known, seed: int) -> None:
        self._shapes = known.shapes
        self._draw = np.random.default_rng(seed).random(len(known))

    def choose(self, job: int, allowed: Bools, now: float) -> int:
        pools = self._shapes.pools[self._shapes.of_job[job]]
        return pools[int(self._draw[job] * len(pools))]

    def started(self, job: int, pool: int, now: float) -> None:
        """Does not care."""

    def ended(self, job: int, pool: int) -> None:
        """Does not care."""


class NearestData(RandomChoice):
    """Where the data are there first; among equals, at random."""

    def __init__(self, known: Known, seed: int) -> None:
        super().__init__(known, seed)
        self._stage = known.stage_seconds

    def choose(self, job: int, allowed: Bools, now: float) -> int:
        stage = np.where(allowed, self._stage[job], np.inf)
        nearest = np.flatnonzero(stage == stage.min())
        return int(nearest[int(self._draw[job] * len(nearest))])


class ShortestQueue:
    """Fewest cards asked for (waiting and running) per card of the pool; knows no run times."""

    def __init__(self, known: Known) -> None:
        self._cards, self._of_pool = known.cards, known.pools.cards
        self._asked = np.zeros(len(known.pools))

    def choose(self, job: int, allowed: Bools, now: float) -> int:
        load = np.where(allowed, (self._asked + self._cards[job]) / self._of_pool, np.inf)
        pool = int(load.argmin())
        self._asked[pool] += self._cards[job]
        return pool

    def started(self, job: int, pool: int, now: float) -> None:
        """What runs was asked for already."""

    def ended(self, job: int, pool: int) -> None:
        self._asked[pool] -= self._cards[job]


class EarliestCompletion:
    """Least expected completion: wait + staging + run (minimum completion time, "MCT").

    The wait is the work ahead / the pool's cards: what runs there and what is queued there,
    of the queue only jobs that would go first where the pool runs short jobs first.
    Lengths are sorted into powers of two, so that a choice costs pools x lengths.
    """

    LENGTHS = 40  # powers of two, of seconds

    def __init__(self, known: Known, shortest_first: bool) -> None:
        self._known, self._shortest_first = known, shortest_first
        pools = len(known.pools)
        self._estimates = known.estimate_seconds[:, known.pools.kind]  # [job, pool]
        self._queued = np.zeros((pools, self.LENGTHS))  # card-seconds
        self._waiting = np.zeros(pools, np.int64)
        self._ends, self._running = np.zeros(pools), np.zeros(pools)  # sums of cards x end, cards
        self._expected_end: dict[int, float] = {}
        self._bound_at: dict[int, float] = {}

    def choose(self, job: int, allowed: Bools, now: float) -> int:
        run, cards = self._estimates[job], int(self._known.cards[job])
        size = self._known.pools.cards
        busy = np.maximum(0.0, self._ends - now * self._running)
        if self._shortest_first:
            length = self._length(float(run[allowed].mean()))
            ahead = self._queued[:, : length + 1].sum(axis=1)
        else:
            ahead = self._queued.sum(axis=1)
        at_once = (self._waiting == 0) & (size - self._running >= cards)
        wait = np.where(at_once, 0.0, (busy + ahead) / size)
        finish = np.maximum(wait, self._known.stage_seconds[job]) + run
        pool = int(np.where(allowed, finish, np.inf).argmin())
        self._queued[pool, self._length(float(run[pool]))] += cards * run[pool]
        self._waiting[pool] += 1
        self._bound_at[job] = now
        return pool

    def started(self, job: int, pool: int, now: float) -> None:
        run, cards = float(self._estimates[job, pool]), int(self._known.cards[job])
        self._queued[pool, self._length(run)] -= cards * run
        self._waiting[pool] -= 1
        ready = self._bound_at.pop(job) + float(self._known.stage_seconds[job, pool])
        end = max(now, ready) + run
        self._expected_end[job] = end
        self._ends[pool] += cards * end
        self._running[pool] += cards

    def ended(self, job: int, pool: int) -> None:
        cards = int(self._known.cards[job])
        self._ends[pool] -= cards * self._expected_end.pop(job)
        self._running[pool] -= cards

    def _length(self, seconds: float) -> int:
        return min(self.LENGTHS - 1, int(seconds).bit_length())
