"""One life of an agent's process: the real supervisor between journal, machine and session.

One step at a time, as `agent.daemon`: gather, decide, make durable, act.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.supervisor import Decision, State, Supervisor
from agent.supervisor.messages import (
    CloseSession,
    DropStates,
    Effect,
    Event,
    Forget,
    JournalFailed,
    JournalRecovered,
    Launch,
    ModeSet,
    Publish,
    Record,
    RenewLeases,
    RunsFound,
    StopRun,
    Tick,
    Unpublish,
)
from simulator.faults.runs import Runs

if TYPE_CHECKING:
    from simulator.faults.site_node import SiteNode

JOURNAL_RETRY_SECONDS = 1.0
COMMIT_SECONDS = 0.001, 0.02
SLOW_DISK, SLOW_COMMIT_SECONDS = 0.01, 10.0
SWEEP_SECONDS = 8.0


class SiteLoop:
    """Lives until its agent's life ends."""

    def __init__(self, agent: SiteNode) -> None:
        self._agent = agent
        self._inbox: list[Event] = []
        self._pending: list[Record] = []
        self._retry_at = 0.0
        self._busy = False
        self._timer = 0
        state = State(agent.inventory())
        for record in agent.journal.load(agent.reading()):
            state.apply(record)
        self.supervisor = Supervisor(state, agent.settings, agent.world.random)
        self.runs = Runs(
            agent, agent.machine, agent.post, agent.dies_at, agent.guard_works, agent.to_machine
        )

    def begin(self) -> None:
        """With what the machine runs."""
        runs = self._agent.machine.runs
        found = tuple(runs[name].state() for name in sorted(runs))
        self._decide([RunsFound(found), ModeSet(self._agent.mode)])

    def post(self, event: Event) -> None:
        self._inbox.append(event)
        if not self._busy and len(self._inbox) == 1:
            self._agent.later(0.0, self._step)

    def _step(self) -> None:
        if not self._busy:
            events, self._inbox = self._inbox, []
            self._decide(events)

    def _decide(self, events: list[Event]) -> None:
        decision = self.supervisor.handle([*events, Tick()], self._agent.moment())
        if not decision.records and not self._pending:
            self._act(decision.effects)
            self._rest()
            return
        self._busy = True
        if self._agent.dies_at("before a commit"):
            return
        slow = self._agent.world.random() < SLOW_DISK
        seconds = SLOW_COMMIT_SECONDS if slow else self._agent.world.between(*COMMIT_SECONDS)
        self._agent.later(seconds, lambda: self._commit(decision))

    def _commit(self, decision: Decision) -> None:
        self._pending += decision.records
        durable = False
        if self._agent.elapsed() >= self._retry_at:
            if self._agent.machine.disk_full:
                self._retry_at = self._agent.elapsed() + JOURNAL_RETRY_SECONDS
            else:
                self._write()
                durable = True
        if self._agent.dies_at("after a commit"):
            return
        self._act(decision.effects if durable else self._without_launches(decision))
        self._busy = False
        self._rest()

    def _write(self) -> None:
        self._agent.journal.commit(self._pending, self._agent.reading())
        self._pending = []
        if self.supervisor.journal_full:
            self._inbox.append(JournalRecovered())

    def _without_launches(self, decision: Decision) -> tuple[Effect, ...]:
        launches = tuple(e.order.name for e in decision.effects if isinstance(e, Launch))
        if launches or not self.supervisor.journal_full:
            self._inbox.append(JournalFailed(launches))
        return tuple(effect for effect in decision.effects if not isinstance(effect, Launch))

    def _rest(self) -> None:
        """Until something comes, or the supervisor wants to look at the time."""
        if not self._agent.up:
            return
        if self._inbox:
            self._agent.later(0.0, self._step)
            return
        self._timer += 1
        timer = self._timer
        due = min(self.supervisor.next_due(), self._agent.elapsed() + SWEEP_SECONDS)
        if self._pending:
            due = min(due, self._agent.elapsed() + JOURNAL_RETRY_SECONDS)
        seconds = max(0.001, (due - self._agent.elapsed()) / self._agent.machine.clock.rate + 1e-6)
        self._agent.later(seconds, lambda: self._step() if timer == self._timer else None)

    # --- acting ---------------------------------------------------------------------

    def _act(self, effects: tuple[Effect, ...]) -> None:
        for done, effect in enumerate(effects):
            if done and self._agent.crash_at == "between two acts":
                if not self._agent.dies_at("between two acts"):  # but is stopped
                    self._agent.soon(lambda left=effects[done:]: self._act(left))  # type: ignore[misc]
                return
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        session = self._agent.session
        match effect:
            case Launch():
                self.runs.launch(effect)
            case StopRun(name, _):
                self.runs.stop(name)
            case RenewLeases(leases):
                self.runs.renew(leases)
            case Forget(names):
                self.runs.forget(names)
            case Publish():
                self.runs.publish(effect)
            case Unpublish(name):
                self.runs.unpublish(name)
            case DropStates():
                return
            case _ if session is None:
                return
            case CloseSession(name, _):
                session.close(name)
            case _:
                session.send(effect, effect.session)
