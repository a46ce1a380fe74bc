"""A site's machine: its clock, its runs and the guards beside them.

Runs outlive the agent; only a reboot of the machine ends them all. A `Run` is the witness
of I1: it alone says when it begins and ends. The guard beside it has a timer of its own and
kills it when its lease ends, whether or not an agent lives.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from agent.backends import Exit, LeaseClass, Phase, Reason, RunOrder, RunState
from simulator.faults.invariants import Execution, Invariants
from simulator.faults.specs import KILL_SECONDS
from simulator.faults.world import NodeClock, World

RUN_SECONDS = 20.0, 400.0  # how long an execution lasts when nobody ends it
FAILING = 0.12  # probability that it ends in failure; a replica (overlap) ends no other way
GRACE_SECONDS = 8.0  # at most, between SIGTERM and SIGKILL, when it is asked to stop


class Machine:
    """What an agent runs on. `number` tells it from the site's other machines."""

    def __init__(
        self, world: World, invariants: Invariants, site: str, number: int, rate: float
    ) -> None:
        self.world = world
        self.invariants = invariants
        self.site = site
        self.name = f"{site}.{number}"
        self.clock = NodeClock(world, rate)
        self.boot = 0
        self.runs: dict[str, Run] = {}  # by name, until forgotten
        self.disk_full_until = 0.0

    def boot_id(self) -> str:
        return f"{self.name}.{self.boot}"

    @property
    def disk_full(self) -> bool:
        return self.world.now < self.disk_full_until

    def reboot(self) -> None:
        """All that ran is dead; the clock goes on, as the wall does not matter."""
        self.boot += 1
        for run in self.runs.values():
            run.die(Reason.MACHINE_REBOOTED)

    def live(self) -> list[Run]:
        return [run for run in self.runs.values() if run.alive]


class Run:
    """One run of one attempt, under its name. `deadline`: the machine's elapsed seconds."""

    def __init__(
        self,
        machine: Machine,
        order: RunOrder,
        deadline: float,
        guarded: Callable[[], bool],
    ) -> None:
        self.name = order.name
        self.order = order
        self.alive = False
        self.deadline = deadline
        self.exit: Exit | None = None
        self._machine = machine
        self._guarded = guarded
        self._on_exit: Callable[[Exit], None] | None = None
        self._dying = False
        self._started_at = 0.0
        cards = tuple((node.name, device) for node in order.nodes for device in node.devices)
        self._witness = Execution(order.job_id, order.epoch, machine.site, machine.name, cards)

    def exit_to(self, hear: Callable[[Exit], None]) -> None:
        """Whom to tell of the end; whoever comes later finds it out by asking."""
        self._on_exit = hear

    def begin(self) -> None:
        """Start, unless the lease is over already."""
        machine = self._machine
        if self._is_late():
            self._end(Reason.LEASE_ENDED)
            return
        machine.invariants.begins(self._witness)
        self.alive = True
        self._started_at = machine.clock.wall()
        world = machine.world
        code = 1 if world.chance(FAILING) else 0
        if code or self.order.lease_class is not LeaseClass.OVERLAP:
            world.after(world.between(*RUN_SECONDS), lambda: self.die(Reason.EXITED, code))
        if self.order.lease_class is LeaseClass.RESTART:
            self._watch()

    def _is_late(self) -> bool:
        return self.deadline <= self._machine.clock.elapsed()

    def _watch(self) -> None:
        """The guard: sooner or later after the deadline, but within its bound, it kills."""
        machine = self._machine
        if not self.alive or self.deadline == inf:
            return
        left = machine.clock.true_seconds_until(self.deadline)
        if left > 0:
            machine.world.after(left + 1e-6, self._watch)
        elif self._guarded():
            self.kill(Reason.LEASE_ENDED, machine.world.between(0.0, 0.95 * KILL_SECONDS))
        else:
            machine.world.after(1.0, self._watch)

    def stop(self) -> None:
        """Asked to end: it may take its grace."""
        self.kill(Reason.STOPPED, self._machine.world.between(0.0, GRACE_SECONDS))

    def kill(self, reason: Reason, seconds: float) -> None:
        if self.alive and (not self._dying or reason is Reason.LEASE_ENDED):
            self._dying = True
            self._machine.world.after(seconds, lambda: self.die(reason))

    def die(self, reason: Reason, code: int = 0) -> None:
        if not self.alive:
            return
        self.alive = False
        succeeded = reason is Reason.EXITED and code == 0
        self._machine.invariants.ends(self._witness, succeeded)
        self._end(reason, code)

    def _end(self, reason: Reason, code: int = 0) -> None:
        signal = 0 if reason is Reason.EXITED else 9
        ended_at = self._machine.clock.wall()
        exit_code = code or (128 + signal if signal else 0)
        self.exit = Exit(self.name, exit_code, signal, reason, self._started_at, ended_at)
        if self._on_exit is not None:
            self._on_exit(self.exit)

    def state(self) -> RunState:
        return RunState(self.name, Phase.RUNNING if self.exit is None else Phase.EXITED, self.exit)
