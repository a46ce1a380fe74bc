"""Time and chance of a simulated federation: one seed, one history."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count

from support_sim_rules import Rules


class World:
    """What is still to happen, in true seconds; every clock of the federation drifts from them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rules = Rules()
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), act))

    def step(self) -> None:
        """Let the next thing happen."""
        self.now, _, act = heapq.heappop(self._due)
        self.rules.now = self.now
        act()

    def between(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability
