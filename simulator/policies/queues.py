"""Waiting jobs by shape: the best of each shape is at hand, so a choice costs shapes, not jobs.

Keys order the jobs (arrival, expected run, ...), the smallest first; ties by job number.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from simulator.replay.instance import Shapes


class LocalQueue(Protocol):
    """What waits at one pool; every job in it fits the pool when it is empty."""

    def push(self, job: int, cards: int, key: float) -> None: ...

    def pop(self, free: int) -> int | None:
        """The job to start on `free` cards now, taken out; None: none."""


class Skipping:
    """The smallest key among the jobs that fit: narrower jobs may overtake."""

    def __init__(self) -> None:
        self._by_cards: dict[int, list[tuple[float, int]]] = {}

    def push(self, job: int, cards: int, key: float) -> None:
        heapq.heappush(self._by_cards.setdefault(cards, []), (key, job))

    def pop(self, free: int) -> int | None:
        fitting = [heap for cards, heap in self._by_cards.items() if heap and cards <= free]
        return heapq.heappop(min(fitting))[1] if fitting else None


class Strict:
    """Only the oldest: behind a job that does not fit, everybody waits."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[int, int]] = deque()

    def push(self, job: int, cards: int, key: float) -> None:
        self._jobs.append((job, cards))

    def pop(self, free: int) -> int | None:
        if self._jobs and self._jobs[0][1] <= free:
            return self._jobs.popleft()[0]
        return None


class Central:
    """One queue for all pools: the smallest key among those that fit a given pool."""

    def __init__(self, shapes: Shapes, pools: int) -> None:
        self._heaps: list[list[tuple[float, int]]] = [[] for _ in shapes.cards]
        self._of_job = shapes.of_job
        self._of_pool: list[list[tuple[int, list[tuple[float, int]]]]] = [[] for _ in range(pools)]
        for shape, cards in enumerate(shapes.cards):
            for pool in shapes.pools[shape]:
                self._of_pool[pool].append((cards, self._heaps[shape]))

    def push(self, job: int, key: float) -> None:
        heapq.heappush(self._heaps[self._of_job[job]], (key, job))

    def pop(self, pool: int, free: int) -> int | None:
        """The job to start on `free` cards of `pool`, taken out; None: none fits."""
        best: list[tuple[float, int]] | None = None
        for cards, heap in self._of_pool[pool]:  # by width: shapes are sorted by it
            if cards > free:
                break
            if heap and (best is None or heap[0] < best[0]):
                best = heap
        return heapq.heappop(best)[1] if best else None


def fitting(shape_pools: Sequence[int], free: Sequence[int], cards: int) -> list[int]:
    """The pools of a shape with room now."""
    return [pool for pool in shape_pools if free[pool] >= cards]
