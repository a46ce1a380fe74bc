"""Runs and the guards beside them: they live and die whether or not an agent does."""

from __future__ import annotations

from collections.abc import Callable

from support_sim_rules import Key
from support_sim_world import World

KILL_SECONDS = 9.0  # of the 10 s that the broker allows for


class Machine:
    """What an agent runs on: a clock that drifts, and runs by attempt."""

    def __init__(self, world: World, site: str, rate: float) -> None:
        self.world = world
        self.site = site
        self.rate = rate
        self.runs: dict[Key, Run] = {}
        self._booted_at = world.now

    def elapsed(self) -> float:
        return (self.world.now - self._booted_at) * self.rate


class Run:
    """One execution. `deadline`: elapsed seconds of its machine, moved by whoever renews."""

    def __init__(
        self,
        machine: Machine,
        key: Key,
        deadline: float,
        on_over: Callable[[Run], None],
        guarded: Callable[[], bool],
    ) -> None:
        self.machine = machine
        self.key = key
        self.deadline = deadline
        self.alive = True
        self.result = ""  # succeeded | failed | the reason why it was killed
        self._on_over = on_over
        self._guarded = guarded  # does the guard work now?
        self._dying = False
        world = machine.world
        world.rules.begins(*key, machine.site)
        seconds = world.between(20.0, 200.0)
        ending = "failed" if world.chance(0.15) else "succeeded"
        world.after(seconds, lambda: self.end(ending))
        self._watch()

    def _watch(self) -> None:
        """The guard: kills when the deadline passes, sooner or later but within bounds."""
        left = (self.deadline - self.machine.elapsed()) / self.machine.rate
        world = self.machine.world
        if not self.alive or left == float("inf"):
            return
        if left > 0:
            world.after(left + 1e-6, self._watch)
        elif self._guarded():
            self.kill("LeaseEnded", world.between(0.0, KILL_SECONDS))
        else:
            world.after(1.0, self._watch)

    def kill(self, reason: str, seconds: float) -> None:
        """It is dead after so many seconds, and not sooner asked for twice."""
        if self.alive and not self._dying:
            self._dying = True
            self.machine.world.after(seconds, lambda: self.end(reason))

    def end(self, result: str) -> None:
        if not self.alive:
            return
        self.alive = False
        self.result = result
        self.machine.world.rules.ends(*self.key, self.machine.site, result == "succeeded")
        self._on_over(self)
