"""A simulated site: its machine, what its agent keeps on disk, and what befalls both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from support_core import pool_of
from support_sim_broker import BrokerModel
from support_sim_rules import Key
from support_sim_run import Machine
from support_sim_stream import AgentStream
from support_sim_world import World

from broker.core.messages import Event, Report
from scheduler.model import Pool, Slice, Supernode


@dataclass
class Attempt:
    key: Key
    slices: tuple[Slice, ...]
    lease_seconds: float
    deadline: float  # elapsed seconds of the machine; inf: time does not end it
    accepted_at: float
    phase: str = "accepted"  # accepted | running | ended
    stop: str = ""


@dataclass
class Disk:
    """What an agent still knows after a crash."""

    agent_id: str
    term: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    attempts: dict[Key, Attempt] = field(default_factory=dict)
    outbox: dict[int, Report] = field(default_factory=dict)
    report_seq: int = 0


class Site:
    """A life of the agent ends with a crash; the machine's runs, and the disk, outlive it."""

    stream: AgentStream | None

    def __init__(
        self, world: World, broker: BrokerModel, site: str, nodes: int, drift: float
    ) -> None:
        self.world = world
        self.broker = broker
        self.site = site
        self.up_blocked_until = self.down_blocked_until = 0.0
        self.paused_until = 0.0
        self._nodes = nodes
        self._drift = drift
        self._lives = 0
        self._disks = 0
        self._local, self._faulty = 0, 0
        self.up = False
        self._settle_on_new_machine()

    def _settle_on_new_machine(self) -> None:
        self._disks += 1
        self.machine = self._machine()
        self.disk = Disk(f"{self.site}-{self._disks}")

    def _machine(self) -> Machine:
        return Machine(self.world, self.site, 1.0 + self.world.between(-self._drift, self._drift))

    # --- what the agent makes of it (see the classes above this one) -----------------

    def _recover(self) -> None:
        raise NotImplementedError

    def _connect(self) -> None:
        raise NotImplementedError

    def _sweep(self) -> None:
        raise NotImplementedError

    def _tell_capacity(self) -> None:
        raise NotImplementedError

    def _up(self, event: Event) -> None:
        raise NotImplementedError

    # --- life -----------------------------------------------------------------------

    def start(self) -> None:
        self.up = True
        self._lives += 1
        self.stream: AgentStream | None = None
        self._reconciled = False
        self._recover()
        self._later(self.world.between(0.0, 3.0), self._connect)
        self._later(10.0, self._sweep)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do it then, if this life of the agent lasts; a paused agent does it when it goes on."""
        life = self._lives

        def do() -> None:
            if not self.up or life != self._lives:
                return
            if self.world.now < self.paused_until:
                self.world.after(self.paused_until - self.world.now + 1e-6, do)
            else:
                act()

        self.world.after(seconds, do)

    def crash(self, seconds: float) -> None:
        if self.up:
            self.up = False
            self._tell_all("agent crashes")
            if self.stream is not None:
                self.stream.tear()
            self.world.after(seconds, self.start)

    def pause(self, seconds: float) -> None:
        self.paused_until = max(self.paused_until, self.world.now + seconds)
        self._tell_all(f"agent paused for {seconds:.0f} s")

    def reboot(self, seconds: float) -> None:
        """The machine goes down with all that runs on it."""
        if self.up:
            for run in list(self.machine.runs.values()):
                run.end("MachineRebooted")
            gone, self.machine = self.machine, self._machine()
            self.machine.runs = gone.runs
            for attempt in self.disk.attempts.values():
                attempt.deadline = -inf
            self.crash(seconds)

    def move(self, seconds: float) -> None:
        """The agent's machine is given up; another takes the site's name, with an empty disk.

        What ran goes on where it is, with the guards beside it.
        """
        if self.up:
            self.crash(seconds)
            self._tell_all("agent's disk is lost")
            self._settle_on_new_machine()

    def partition(self, seconds: float) -> None:
        ways = self.world.random.choice(("up", "down", "both"))
        until = self.world.now + seconds
        self._tell_all(f"cut off for {seconds:.0f} s ({ways})")
        if ways != "down":
            self.up_blocked_until = max(self.up_blocked_until, until)
        if ways != "up":
            self.down_blocked_until = max(self.down_blocked_until, until)

    def break_stream(self) -> None:
        if self.up and self.stream is not None:
            self.stream.tear()

    def local_change(self) -> None:
        """The site's own users come or go, or cards break."""
        self._local = self.world.random.randint(0, 6)
        self._faulty = self.world.random.choice((0, 0, 1, 4))
        if self.up:
            self._later(0.1, self._tell_capacity)

    def heal(self) -> None:
        self.up_blocked_until = self.down_blocked_until = self.paused_until = self.world.now
        self._local = self._faulty = 0
        if self.up:
            self._later(0.1, self._tell_capacity)

    @property
    def busy(self) -> list[Key]:
        """Attempts that have not come to their end here."""
        runs = [(job, epoch) for job, (site, epoch) in self.world.rules.alive.items()]
        return [*self.disk.attempts, *(key for key in runs if key[0] in self.world.rules.alive)]

    def _tell_all(self, text: str) -> None:
        for job_id, _ in {*self.disk.attempts, *self.machine.runs}:
            self.world.rules.tell(job_id, self.site, text)

    # --- cards ----------------------------------------------------------------------

    def _node(self) -> Supernode:
        whole = pool_of(self.site, nodes=self._nodes).supernodes[0]
        taken = [(1, self._faulty), (1, self._local)]
        for attempt in self.disk.attempts.values():
            if attempt.phase != "ended":
                taken += [(part.nodes, part.cards) for part in attempt.slices]
        for nodes, cards in taken:
            if cards and whole.nodes_fitting(cards) >= nodes:
                whole = whole.take(nodes, cards)
        return whole

    def _pool(self) -> Pool:
        usable = 8 * self._nodes - self._faulty
        pool = pool_of(self.site, nodes=self._nodes)
        return replace(pool, cards_usable=usable, supernodes=(self._node(),))
