"""The agent's hand on its machine: launches, stops and renewals, late and ambiguous.

What `agent.runs` does on an event loop, in virtual time: each launch is answered with one
event; a submission that failed without an answer is looked up, never repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.backends import Exit, RunOrder, parse_run_name
from agent.supervisor.attempts import NOT_STARTED
from agent.supervisor.messages import (
    Committed,
    Event,
    Launch,
    Publish,
    Published,
    RunEnded,
    RunRefused,
    RunStarted,
)
from agent.supervisor.values import Commit, Failure
from simulator.faults.machine import Machine, Run
from simulator.faults.world import Node

AMBIGUOUS = 0.05  # probability that a submission fails without an answer
SLOW = 0.1  # probability that what it needs takes long to bring
_FULL = Failure("site", "DiskFull", "the site's disk is full")
_FAILED = Failure("site", "LaunchFailed", "not submitted: no answer")


def _state_of(name: str) -> Commit:
    job_id, epoch = parse_run_name(name)
    url = f"s3://store/{job_id}/{epoch}/checkpoint-1/manifest.json"
    return Commit("checkpoint", epoch, 1, url, "0" * 64, 1, 1)


class Runs:
    """One life of an agent's work with its backend."""

    def __init__(
        self,
        agent: Node,
        machine: Machine,
        post: Callable[[Event], None],
        crash_point: Callable[[str], bool],
        guarded: Callable[[], bool],
        to_machine: Callable[[float], float],
    ) -> None:
        """`to_machine` moves the agent's elapsed seconds onto the machine's clock."""
        self._agent = agent
        self._machine = machine
        self._post = post
        self._crash_point = crash_point
        self._guarded = guarded
        self._to_machine = to_machine
        self._launches: dict[str, Launch] = {}  # until the submission begins
        self._publishing: dict[str, Publish] = {}
        for run in machine.runs.values():
            run.exit_to(self._ended)

    def launch(self, launch: Launch) -> None:
        world = self._agent.world
        name = launch.order.name
        self._launches[name] = launch
        seconds = world.between(0.0, 60.0) if world.chance(SLOW) else world.between(0.0, 0.5)
        self._agent.later(seconds, lambda: self._submit(name))

    def stop(self, name: str) -> None:
        """Not to be begun any more; if it runs, to be ended."""
        if self._launches.pop(name, None) is not None:
            self._post(RunRefused(name, NOT_STARTED))
        run = self._machine.runs.get(name)
        if run is not None:
            run.stop()

    def publish(self, publish: Publish) -> None:
        """Its last state goes to a store that is slow at times; then its end may be told."""
        name = publish.exit.name
        if name in self._publishing:
            return
        self._publishing[name] = publish
        world = self._agent.world
        seconds = world.between(0.0, 300.0) if world.chance(SLOW) else world.between(0.0, 2.0)
        self._agent.later(seconds, lambda: self._published(name, whole=True))

    def unpublish(self, name: str) -> None:
        if name in self._publishing:
            self._agent.later(0.0, lambda: self._published(name, whole=False))

    def _published(self, name: str, whole: bool) -> None:
        publish = self._publishing.pop(name, None)
        if publish is None:
            return
        if whole:
            self._post(Committed(name, _state_of(name)))
        self._post(Published(publish.exit))

    def renew(self, leases: tuple[tuple[str, float], ...]) -> None:
        """Move the ends of leases; on the disk a moment later."""
        running: list[tuple[str, float]] = []
        for name, deadline in leases:
            if (launch := self._launches.get(name)) is not None:
                self._launches[name] = replace(launch, deadline=deadline)
            else:
                running.append((name, self._to_machine(deadline)))
        if running:
            seconds = self._agent.world.between(0.001, 0.05)
            self._agent.later(seconds, lambda: self._write(running))

    def _write(self, leases: list[tuple[str, float]]) -> None:
        if not self._machine.disk_full:
            for name, deadline in leases:
                if (run := self._machine.runs.get(name)) is not None:
                    run.deadline = deadline

    def forget(self, names: tuple[str, ...]) -> None:
        for name in names:
            run = self._machine.runs.get(name)
            if run is not None and run.exit is not None:
                del self._machine.runs[name]

    # --- submitting -----------------------------------------------------------------

    def _submit(self, name: str) -> None:
        """From here on only the machine says what becomes of it."""
        launch = self._launches.pop(name, None)
        if launch is None or self._crash_point("before a submission"):
            return
        world, machine = self._agent.world, self._machine
        if machine.disk_full and world.chance(0.7):
            self._post(RunRefused(name, _FULL))
            return
        ambiguous = world.chance(AMBIGUOUS)
        if not (ambiguous and world.chance(0.5)):
            self._start(launch.order, launch.deadline)
        if self._crash_point("after a submission"):
            return
        seconds = world.between(0.5, 30.0) if ambiguous else world.between(0.0, 0.2)
        self._agent.later(seconds, lambda: self._answer(name))

    def _start(self, order: RunOrder, deadline: float) -> None:
        """A name that is known already is a no-op."""
        runs = self._machine.runs
        if order.name not in runs:
            deadline = self._to_machine(deadline)
            run = runs[order.name] = Run(self._machine, order, deadline, self._guarded)
            run.exit_to(self._ended)
            run.begin()

    def _answer(self, name: str) -> None:
        known = name in self._machine.runs
        self._post(RunStarted(name) if known else RunRefused(name, _FAILED))

    def _ended(self, ended: Exit) -> None:
        """The machine tells; heard when the agent lives."""
        self._agent.later(0.001, lambda: self._post(RunEnded(ended)))
