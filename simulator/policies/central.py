"""Late binding: one queue, and a job goes to a pool at the moment that it starts there.

A policy here is an order of the queue and a preference among the pools that have room.
Nobody holds cards free for a wide gang: wide jobs may wait long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from simulator.policies.queues import Central, fitting
from simulator.replay.instance import Floats, Known
from simulator.replay.view import Decision, Place, View

Preference = Callable[[int, int], float]  # (job, pool): the smallest is taken


class LateBinding:
    """The smallest `key` first among the jobs that fit; `preference` picks among free pools."""

    def __init__(self, known: Known, key: Callable[[int], float], preference: Preference) -> None:
        self._shapes, self._cards = known.shapes, known.cards.tolist()
        self._queue = Central(known.shapes, len(known.pools))
        self._key, self._preference = key, preference

    def decide(self, view: View) -> Decision:
        free: list[int] = view.free.tolist()
        starts: list[Place] = []
        arrived = sorted(view.arrived, key=self._key)
        if view.ended:  # what waited may fit now: nobody is asked out of turn
            for job in arrived:
                self._queue.push(job, self._key(job))
            for pool in self._with_room(view, free):
                while (waited := self._queue.pop(pool, free[pool])) is not None:
                    self._start(waited, free, starts)
        else:  # nothing that waited fits, or it would have been started
            for job in arrived:
                if not self._start(job, free, starts):
                    self._queue.push(job, self._key(job))
        return Decision(starts)

    def _start(self, job: int, free: list[int], starts: list[Place]) -> bool:
        pools = fitting(self._shapes.pools[self._shapes.of_job[job]], free, self._cards[job])
        if not pools:
            return False
        best = min(pools, key=lambda pool: (self._preference(job, pool), pool))
        free[best] -= self._cards[job]
        starts.append(Place(job, best))
        return True

    def _with_room(self, view: View, free: list[int]) -> list[int]:
        """Pools where something may start: where a job ended, or one that arrives fits."""
        pools = dict.fromkeys(pool for _, pool in view.ended)
        for job in view.arrived:
            shape = self._shapes.pools[self._shapes.of_job[job]]
            pools.update(dict.fromkeys(fitting(shape, free, self._cards[job])))
        return list(pools)


class StrictOrder:
    """First come first served across all pools: the head of the queue blocks everybody."""

    def __init__(self, known: Known, preference: Preference) -> None:
        self._shapes, self._cards = known.shapes, known.cards.tolist()
        self._queue: deque[int] = deque()
        self._preference = preference

    def decide(self, view: View) -> Decision:
        free: list[int] = view.free.tolist()
        could_run = (job for job in view.arrived if self._shapes.pools[self._shapes.of_job[job]])
        self._queue.extend(could_run)
        starts: list[Place] = []
        while self._queue:
            job = self._queue[0]
            cards = self._cards[job]
            pools = fitting(self._shapes.pools[self._shapes.of_job[job]], free, cards)
            if not pools:
                break
            best = min(pools, key=lambda at: (self._preference(job, at), at))
            free[best] -= cards
            starts.append(Place(job, best))
            self._queue.popleft()
        return Decision(starts)


def earliest_finish(known: Known) -> Preference:
    """Staging + expected run, as of now."""
    stage, estimate = known.stage_seconds, known.estimate_seconds
    kind: list[int] = known.pools.kind.tolist()
    return lambda job, pool: float(stage[job, pool] + estimate[job, kind[pool]])


def cheapest(known: Known) -> Preference:
    """Expected price of the run."""
    price: Floats = known.pools.yuan_per_card_hour
    estimate, kind = known.estimate_seconds, known.pools.kind
    return lambda job, pool: float(price[pool] * estimate[job, kind[pool]])


def shortest_run(known: Known) -> Callable[[int], float]:
    """Expected run on the kind where it runs shortest."""
    shortest: list[float] = known.estimate_seconds.min(axis=1).tolist()
    return shortest.__getitem__


def at_random(known: Known, seed: int) -> Callable[[int], float]:
    """A fixed random number per job."""
    draw: list[float] = np.random.default_rng(seed).random(len(known)).tolist()
    return draw.__getitem__


def race(known: Known, seed: int) -> Preference:
    """A fixed random order of the pools per job: whoever is first to look."""
    order = np.random.default_rng(seed).random((len(known), len(known.pools))).astype(np.float32)
    return lambda job, pool: float(order[job, pool])
