"""An agent's process: the real supervisor between its journal, its machine and its session.

One step at a time, as `agent.daemon`: gather, decide, make durable, act. May crash before
a batch is durable, after it, between two acts and around a submission; begins again from
its journal and from what its machine runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agent.inventory import DeclaredNode, DeclaredPool, Inventory, NodeCondition
from agent.journal import ClockReading
from agent.supervisor import Decision, State, Supervisor
from agent.supervisor.messages import (
    CloseSession,
    Effect,
    Event,
    Forget,
    InventoryChanged,
    JournalFailed,
    JournalRecovered,
    Launch,
    ModeSet,
    Record,
    RenewLeases,
    RunsFound,
    StopRun,
    Tick,
)
from agent.supervisor.values import Mode, Moment, Settings
from simulator.faults.journal import SimulatedJournal
from simulator.faults.machine import Machine
from simulator.faults.network import Network, Stream
from simulator.faults.runs import Runs
from simulator.faults.site_session import AgentEnd, SiteSession
from simulator.faults.site_wire import SiteWire
from simulator.faults.specs import CARDS_PER_NODE, MODEL

if TYPE_CHECKING:
    from simulator.faults.broker_node import BrokerNode

POOL = "main"
JOURNAL_RETRY_SECONDS = 1.0
COMMIT_SECONDS = 0.001, 0.02
SLOW_DISK, SLOW_COMMIT_SECONDS = 0.01, 10.0
SWEEP_SECONDS = 8.0
CRASH_PLACES = (
    "before a commit",
    "after a commit",
    "between two acts",
    "before a submission",
    "after a submission",
)


class SiteNode(AgentEnd):
    """One site's agent, over all its lives, and the machine under it."""

    def __init__(
        self,
        network: Network,
        brokers: Sequence[BrokerNode],
        name: str,
        new_machine: Callable[[int], Machine],
        nodes: int,
    ) -> None:
        super().__init__(network.world, name)
        self.machine = new_machine(0)
        self.machines = [self.machine]
        self.mode = Mode.OPEN
        self._network = network
        self._brokers = brokers
        self._new_machine = new_machine
        self._settings = Settings(site=name, sweep_seconds=SWEEP_SECONDS)
        self._pool = DeclaredPool(
            POOL,
            MODEL,
            "npu",
            tuple(DeclaredNode(f"n{at}", f"{name}-n{at}", "s0") for at in range(nodes)),
            CARDS_PER_NODE,
        )
        self.num_nodes = nodes
        self._conditions: tuple[NodeCondition, ...] = ()
        self._disks = 0
        self.journal = self._new_journal()
        self.session: SiteSession | None = None
        self.crash_at = ""  # the place of CRASH_PLACES where it dies next
        self.pause_at = 0.0  # or for how long it stops there

    # --- life -----------------------------------------------------------------------

    def _new_journal(self) -> SimulatedJournal:
        self._disks += 1
        return SimulatedJournal(f"{self.name}-{self._disks}", self._disks * 1_000_000)

    def start(self) -> None:
        """Begin again from what is durable."""
        self.up = True
        self.session = None
        self._began_at = self.machine.clock.elapsed()
        self._inbox: list[Event] = []
        self._pending: list[Record] = []
        self._retry_at = 0.0
        self._busy = False
        self._timer = 0
        state = State(self._inventory())
        for record in self.journal.load(self._reading()):
            state.apply(record)
        self.supervisor = Supervisor(state, self._settings, self.world.random)
        self.runs = Runs(
            self, self.machine, self.post, self._dies_at, self._guard_works, self._to_machine
        )
        found = tuple(self.machine.runs[name].state() for name in sorted(self.machine.runs))
        self._decide([RunsFound(found), ModeSet(self.mode)])
        if self.up:
            self.session = SiteSession(self, self._network, self._brokers, self._wire, self.post)

    def crash(self, seconds: float) -> None:
        """Die now, and begin again after so long. What runs goes on."""
        if not self.up:
            return
        self.tell("agent crashes")
        self.end()
        self.crash_at, self.pause_at = "", 0.0
        if self.session is not None and self.session.stream is not None:
            self.session.stream.close_at_agent()
        self.world.after(seconds, self.start)

    def reboot(self, seconds: float) -> None:
        """The machine goes down with all that runs on it."""
        if self.up:
            self.tell("machine reboots")
            self.machine.reboot()
            self.crash(seconds)

    def move(self, seconds: float) -> None:
        """Another machine takes the site's name, with an empty disk; what runs goes on."""
        if self.up:
            self.tell("moves to another machine")
            self.crash(seconds)
            self.machine = self._new_machine(len(self.machines))
            self.machines.append(self.machine)
            self.journal = self._new_journal()

    def wipe(self, seconds: float) -> None:
        """The agent's journal is lost; the machine and what runs there are not."""
        if self.up:
            self.tell("loses its journal")
            self.crash(seconds)
            self.journal = self._new_journal()
            self.machine.invariants.strays(self.machine.name)

    def change_mode(self, mode: Mode, stop_jobs: bool) -> None:
        self.mode = mode
        self.tell(f"operator sets {mode}{' and stops jobs' if stop_jobs else ''}")
        self.soon(lambda: self.post(ModeSet(mode, stop_jobs)))

    def change_cards(self, kept_back: int, faulty: int) -> None:
        """The site's own people take cards of its first node, or cards break."""
        first = frozenset(range(kept_back))
        broken = frozenset(range(CARDS_PER_NODE - faulty, CARDS_PER_NODE))
        node = self._pool.nodes[0].name
        self._conditions = (NodeCondition(POOL, node, broken, first),)
        self.soon(lambda: self.post(InventoryChanged(self._inventory())))

    def _inventory(self) -> Inventory:
        return Inventory(self.name, (self._pool,), self._conditions)

    def _guard_works(self) -> bool:
        """Whether the guard beside a run does its work now: it needs no agent."""
        return True

    # --- clocks ---------------------------------------------------------------------

    def _elapsed(self) -> float:
        """The lease clock of this process: it begins with it."""
        return self.machine.clock.elapsed() - self._began_at

    def _to_machine(self, elapsed: float) -> float:
        return elapsed + self._began_at

    def _moment(self) -> Moment:
        return Moment(self._elapsed(), self.machine.clock.wall())

    def _reading(self) -> ClockReading:
        passed_ns = int(self.machine.clock.elapsed() * 1e9)
        return ClockReading(self.machine.boot_id(), self._elapsed(), passed_ns, passed_ns)

    # --- the loop -------------------------------------------------------------------

    def post(self, event: Event) -> None:
        self._inbox.append(event)
        if not self._busy and len(self._inbox) == 1:
            self.later(0.0, self._step)

    def _step(self) -> None:
        if not self._busy:
            events, self._inbox = self._inbox, []
            self._decide(events)

    def _decide(self, events: list[Event]) -> None:
        decision = self.supervisor.handle([*events, Tick()], self._moment())
        if not decision.records and not self._pending:
            self._act(decision.effects)
            self._rest()
            return
        self._busy = True
        if self._dies_at("before a commit"):
            return
        slow = self.world.random() < SLOW_DISK
        seconds = SLOW_COMMIT_SECONDS if slow else self.world.between(*COMMIT_SECONDS)
        self.later(seconds, lambda: self._commit(decision))

    def _commit(self, decision: Decision) -> None:
        self._pending += decision.records
        durable = False
        if self._elapsed() >= self._retry_at:
            if self.machine.disk_full:
                self._retry_at = self._elapsed() + JOURNAL_RETRY_SECONDS
            else:
                self._write()
                durable = True
        if self._dies_at("after a commit"):
            return
        self._act(decision.effects if durable else self._without_launches(decision))
        self._busy = False
        self._rest()

    def _write(self) -> None:
        self.journal.commit(self._pending, self._reading())
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
        if not self.up:
            return
        if self._inbox:
            self.later(0.0, self._step)
            return
        self._timer += 1
        timer = self._timer
        due = min(self.supervisor.next_due(), self._elapsed() + SWEEP_SECONDS)
        if self._pending:
            due = min(due, self._elapsed() + JOURNAL_RETRY_SECONDS)
        seconds = max(0.001, (due - self._elapsed()) / self.machine.clock.rate + 1e-6)
        self.later(seconds, lambda: self._step() if timer == self._timer else None)

    # --- acting ---------------------------------------------------------------------

    def _act(self, effects: tuple[Effect, ...]) -> None:
        for done, effect in enumerate(effects):
            if done and self.crash_at == "between two acts":
                if not self._dies_at("between two acts"):  # but is stopped
                    self.soon(lambda left=effects[done:]: self._act(left))  # type: ignore[misc]
                return
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Launch():
                self.runs.launch(effect)
            case StopRun(name, _):
                self.runs.stop(name)
            case RenewLeases(leases):
                self.runs.renew(leases)
            case Forget(names):
                self.runs.forget(names)
            case _ if self.session is None:
                return
            case CloseSession(session, _):
                self.session.close(session)
            case _:
                self.session.send(effect, effect.session)

    def _dies_at(self, place: str) -> bool:
        """A crash, or a stop, that waited for this place."""
        if self.crash_at != place:
            return False
        self.crash_at = ""
        if self.pause_at:
            self.pause(self.pause_at)
            self.pause_at = 0.0
            return False
        self.tell(f"agent is about to crash {place}")
        self.crash(self.world.between(1.0, 120.0))
        return True

    def _wire(self, gateway: str) -> SiteWire:
        return SiteWire(self.name, self.journal.agent_id, self.machine.boot_id(), gateway)

    # --- streams --------------------------------------------------------------------

    def hear(self, stream: Stream, message: Any) -> None:
        if self.session is not None:
            self.session.hear(stream, message)

    def lose(self, stream: Stream) -> None:
        if self.session is not None:
            self.session.lose(stream)

    def tear(self) -> None:
        if self.up and self.session is not None:
            self.session.tear()

    @property
    def busy_with(self) -> list[str]:
        """Jobs that have not come to their end here."""
        if not self.up:
            return ["a crashed agent"]
        state = self.supervisor.state
        held = [attempt.job_id for attempt in state.attempts.values()]
        waiting = [report.job_id for report in state.outbox.values()]
        running = [run.order.job_id for machine in self.machines for run in machine.live()]
        return [*held, *waiting, *running]
