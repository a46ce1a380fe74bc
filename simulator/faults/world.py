"""Virtual time and chance: one seed, one history.

`World` holds what is still to happen, in true seconds. Every node has a clock of its own
that runs a little fast or slow (`NodeClock`), and may crash or be stopped for a while
(`Node`). Knows nothing of federations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random
from typing import TypeVar

from simulator.faults.story import Chronicle

T = TypeVar("T")
Act = Callable[[], object]
WALL = 1_790_000_000.0  # wall seconds at true second 0


class World:
    """The event heap, the only source of chance, and the chronicle."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.steps = 0
        self.chronicle = Chronicle()
        self._random = Random(seed)
        self.random = self._random.random
        self._due: list[tuple[float, int, Act]] = []
        self._count = 0
        self._trail = seed

    def at(self, moment: float, act: Act) -> None:
        self._count += 1
        heappush(self._due, (moment, self._count, act))

    def after(self, seconds: float, act: Act) -> None:
        self._count += 1
        heappush(self._due, (self.now + seconds, self._count, act))

    def step(self) -> None:
        """Let the next thing happen."""
        self.now, number, act = heappop(self._due)
        self.steps += 1
        self._trail = hash((self._trail, self.now, number))  # of numbers: the same everywhere
        act()

    def fingerprint(self) -> str:
        """Equal for equal runs: over every step's time and every line told."""
        return self.chronicle.fingerprint(self._trail)

    # --- chance -----------------------------------------------------------------

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def choice(self, items: Sequence[T]) -> T:
        return items[int(self.random() * len(items))]

    def weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        return self._random.choices(items, weights)[0]

    def pause(self, mean_seconds: float) -> float:
        """The time until the next of things that happen every `mean_seconds` or so."""
        return self._random.expovariate(1.0 / mean_seconds)

    def tell(self, job_id: str, who: str, what: str) -> None:
        self.chronicle.tell(self.now, job_id, who, what)


class NodeClock:
    """A clock that counts `rate` seconds in each true one; its wall may jump."""

    def __init__(self, world: World, rate: float) -> None:
        self.rate = rate
        self.wall_offset = 0.0
        self._world = world
        self._marked_at = world.now
        self._marked = 0.0

    def elapsed(self) -> float:
        """Seconds since the clock began; never back, never a jump."""
        return self._marked + (self._world.now - self._marked_at) * self.rate

    def wall(self) -> float:
        return WALL + self._world.now + self.wall_offset

    def run_at(self, rate: float) -> None:
        """From now on another rate."""
        self._marked = self.elapsed()
        self._marked_at = self._world.now
        self.rate = rate

    def true_seconds_until(self, reading: float) -> float:
        """How long until `elapsed` gives `reading`, at today's rate."""
        return (reading - self.elapsed()) / self.rate


class Node:
    """A process that may crash, be stopped (SIGSTOP) and begin again."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.up = False
        self.life = 0
        self.paused_until = 0.0
        self.crash_at = ""  # the place, of those that it has, where it dies next
        self.pause_at = 0.0  # or for how long it stops there
        self._held: deque[tuple[int, Act]] = deque()  # what comes while it is stopped

    def later(self, seconds: float, act: Act) -> None:
        """Do it then, if this life lasts; a stopped process does it when it goes on."""
        life = self.life

        def do() -> None:
            if self.life == life:
                self.soon(act)

        self.world.after(seconds, do)

    def soon(self, act: Act) -> None:
        """Do it now, or in its turn when the process goes on."""
        if not self.up:
            return
        if self._held or self.world.now < self.paused_until:
            self._held.append((self.life, act))
            if len(self._held) == 1:
                self.world.at(self.paused_until, self._go_on)
        else:
            act()

    def _go_on(self) -> None:
        while self._held:
            if self.world.now < self.paused_until:
                self.world.at(self.paused_until, self._go_on)
                return
            life, act = self._held[0]
            if self.up and self.life == life:
                act()
            if self._held:
                self._held.popleft()

    def pause(self, seconds: float) -> None:
        if self.up:
            self.paused_until = max(self.paused_until, self.world.now + seconds)
            self.tell(f"is stopped for {seconds:.0f} s")

    def dies_at(self, place: str) -> bool:
        """A crash, or a stop, that waited for this place."""
        if self.crash_at != place:
            return False
        self.crash_at = ""
        if self.pause_at:
            self.pause(self.pause_at)
            self.pause_at = 0.0
            return False
        self._die(place)
        return True

    def _die(self, place: str) -> None:
        """Crash there, and begin again later."""
        raise NotImplementedError

    def end(self) -> None:
        """This life is over."""
        self.up = False
        self.life += 1
        self.paused_until = 0.0
        self.crash_at, self.pause_at = "", 0.0
        self._held.clear()

    def tell(self, what: str) -> None:
        self.world.tell("", self.name, what)
