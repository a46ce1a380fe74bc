"""One site's agent over all its lives: what befalls it, its clocks and its streams.

It may crash before a batch is durable, after it, between two acts and around a submission;
it begins again from its journal and from what its machine runs. What it does while it lives
stands in `site_loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agent.inventory import DeclaredNode, DeclaredPool, Inventory, NodeCondition
from agent.journal import ClockReading
from agent.supervisor.messages import Event, InventoryChanged, ModeSet
from agent.supervisor.values import Mode, Moment, Settings
from simulator.faults.journal import SimulatedJournal
from simulator.faults.machine import Machine
from simulator.faults.network import Network, Stream
from simulator.faults.site_loop import SWEEP_SECONDS, SiteLoop
from simulator.faults.site_session import AgentEnd, SiteSession
from simulator.faults.site_wire import SiteWire
from simulator.faults.specs import CARDS_PER_NODE, MODEL

if TYPE_CHECKING:
    from simulator.faults.broker_node import BrokerNode

POOL = "main"
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
        self.settings = Settings(site=name, sweep_seconds=SWEEP_SECONDS, has_store=True)
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

    # --- life -----------------------------------------------------------------------

    def _new_journal(self) -> SimulatedJournal:
        self._disks += 1
        return SimulatedJournal(f"{self.name}-{self._disks}", self._disks * 1_000_000)

    def start(self) -> None:
        """Begin again from what is durable."""
        self.up = True
        self.session = None
        self._began_at = self.machine.clock.elapsed()
        self.loop = SiteLoop(self)
        self.loop.begin()
        if self.up:
            self.session = SiteSession(self, self._network, self._brokers, self._wire, self.post)

    def post(self, event: Event) -> None:
        """To whichever life hears it: what ran before tells the one that is there now."""
        self.loop.post(event)

    def crash(self, seconds: float) -> None:
        """Die now, and begin again after so long. What runs goes on."""
        if not self.up:
            return
        self.tell("agent crashes")
        self.end()
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
        self.soon(lambda: self.post(InventoryChanged(self.inventory())))

    def inventory(self) -> Inventory:
        return Inventory(self.name, (self._pool,), self._conditions)

    def guard_works(self) -> bool:
        """Whether the guard beside a run does its work now: it needs no agent."""
        return True

    # --- clocks ---------------------------------------------------------------------

    def elapsed(self) -> float:
        """The lease clock of this process: it begins with it."""
        return self.machine.clock.elapsed() - self._began_at

    def to_machine(self, elapsed: float) -> float:
        return elapsed + self._began_at

    def moment(self) -> Moment:
        return Moment(self.elapsed(), self.machine.clock.wall())

    def reading(self) -> ClockReading:
        passed_ns = int(self.machine.clock.elapsed() * 1e9)
        return ClockReading(self.machine.boot_id(), self.elapsed(), passed_ns, passed_ns)

    # --- streams --------------------------------------------------------------------

    def _die(self, place: str) -> None:
        self.tell(f"agent is about to crash {place}")
        self.crash(self.world.between(1.0, 120.0))

    def _wire(self, gateway: str) -> SiteWire:
        return SiteWire(self.name, self.journal.agent_id, self.machine.boot_id(), gateway)

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
        state = self.loop.supervisor.state
        held = [attempt.job_id for attempt in state.attempts.values()]
        waiting = [report.job_id for report in state.outbox.values()]
        running = [run.order.job_id for machine in self.machines for run in machine.live()]
        return [*held, *waiting, *running]
