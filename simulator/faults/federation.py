"""One federation from one seed, played to its end.

`Federation(scenario).run()` gives what came of it (`Outcome`) or raises `Violation`. What is
real: the core, its tables and rows, the supervisor, the inventory, the scheduler. What is
simulated: clocks, network, store service, disks, machines and the executions on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from broker.core.core import Core
from broker.core.messages import Approve, CreateToken, Join, Now
from broker.core.rows import JoinToken
from broker.core.state import State
from simulator.faults.broker_node import BrokerNode
from simulator.faults.clients import Clients, Mix
from simulator.faults.invariants import Invariants, Violation
from simulator.faults.machine import Machine
from simulator.faults.network import Network
from simulator.faults.schedule import NO_HUNT, Faults, Hunt
from simulator.faults.shared_store import SharedStore
from simulator.faults.site_node import SiteNode
from simulator.faults.specs import DRIFT, LIMITS, NODES_MAX
from simulator.faults.world import WALL, World

SITES = ("east", "west", "north")
FAULT_SECONDS = 2_400.0  # faults happen until then
RUN_SECONDS = 3_600.0  # a run lasts at least so long
PATIENCE_SECONDS = 14_400.0  # after the last fault all jobs have ended within so long
STILL_SECONDS = 1_800.0  # and until then something moves at least so often
CLASSES = (  # of one run
    ("restart",),
    ("restart", "restart", "overlap"),
    ("restart", "overlap", "proof"),
    ("restart", "restart", "proof"),
)
LOOK_SECONDS = 5.0  # between two looks at whether all is over
NODES = 1, 2, 2, NODES_MAX  # of one site
STEPS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a run is made of. `drift`: the real bound of clock rates; the assumed one is DRIFT."""

    seed: int
    lease_classes: tuple[str, ...] = ()  # empty: as the seed has it
    drift: float = DRIFT
    hunt: Hunt = NO_HUNT

    def of(self, seed: int) -> Scenario:
        """The same with another seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run came to."""

    seed: int
    seconds: float  # of virtual time
    steps: int
    starts: int  # executions that began
    copies: int  # of them beside an older one that was alive, as class overlap may
    jobs: int
    elections: int
    faults: dict[str, int]  # by kind
    dropped: int  # messages
    delayed: int
    repeated: int
    fingerprint: str


class Federation:
    """Brokers, a store, sites and clients in one virtual time."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        world = self.world = World(scenario.seed)
        self.network = Network(world)
        self.invariants = Invariants(world)
        drift = scenario.drift

        def rate() -> float:
            return 1.0 + world.between(-drift, drift)

        # A store whose lease ran out early would be beyond what the lead's margin allows for.
        self.store = SharedStore(world, self.invariants, rate())
        _register(self.store)
        limits = replace(LIMITS, heartbeat_seconds=world.choice((10.0, 15.0, 20.0)))
        self.brokers = [
            BrokerNode(self.network, self.store, self.invariants, f"b{number}", limits, rate())
            for number in range(world.choice((2, 2, 3)))
        ]
        self.sites = [self._site(name, rate) for name in SITES]
        self.clients = Clients(self.network, self.brokers, self.store, self.invariants)
        self.faults = Faults(
            self.network, self.brokers, self.sites, self.store, self.clients, drift
        )

    def _site(self, name: str, rate: Callable[[], float]) -> SiteNode:
        def machine(number: int) -> Machine:
            return Machine(self.world, self.invariants, name, number, rate())

        return SiteNode(self.network, self.brokers, name, machine, self.world.choice(NODES))

    def run(self) -> Outcome:
        """Play it to its end. Raises Violation."""
        self._plan()
        starts = [node.start for node in self.brokers] + [node.start for node in self.sites]
        for start in starts:
            self.world.after(self.world.between(0.0, 5.0), start)
        self._over = False
        self.world.after(FAULT_SECONDS, self._look)
        try:
            while not self._over:
                self.world.step()
                if self.world.steps > STEPS_MAX:
                    raise Violation("I3", "", f"did not come to rest in {STEPS_MAX} steps")
        except Violation:
            raise
        except Exception as error:  # the product's own checks, or a bug: told with its seed
            raise Violation("defect", "", f"{type(error).__name__}: {error}") from error
        return self._outcome()

    def _plan(self) -> None:
        world, scenario = self.world, self.scenario
        classes, hunt = scenario.lease_classes, scenario.hunt
        if not classes:
            classes = world.choice(CLASSES)
        if any(lease_class != "restart" for lease_class in classes):
            # No guard ends what runs under a disk that is gone for good, and nobody tells of it.
            hunt = replace(hunt, never=(*hunt.never, "move", "wipe"))
        self.clients.plan(Mix(classes, FAULT_SECONDS * 0.9))
        self.faults.plan(FAULT_SECONDS, hunt)
        world.at(FAULT_SECONDS, self.faults.heal)

    # --- the end --------------------------------------------------------------------

    def _look(self) -> None:
        now = self.world.now
        if now >= RUN_SECONDS and self._at_rest():
            self._over = True
            self._check_end()
        elif now > FAULT_SECONDS + PATIENCE_SECONDS or self._is_still():
            self._say_what_is_stuck()
        else:
            self.world.after(LOOK_SECONDS, self._look)

    def _is_still(self) -> bool:
        """Whether no job has moved for longer than any lease or execution lasts."""
        since = max(FAULT_SECONDS, self.invariants.moved_at)
        return self.world.now - since > STILL_SECONDS

    def _at_rest(self) -> bool:
        rows = self.invariants.rows.values()
        ended = all(job.terminal or self._fits_nowhere(job.id) for job in rows)
        return (
            ended and not self.clients.unanswered and not any(site.busy_with for site in self.sites)
        )

    def _fits_nowhere(self, job_id: str) -> bool:
        """Whether no site could ever hold it: when it fails is a matter of wall time, which
        may have jumped by years."""
        wanted = self.invariants.specs[job_id].demand.variants[0].nodes
        return all(site.num_nodes < wanted for site in self.sites)

    def _say_what_is_stuck(self) -> None:
        for job in self.invariants.rows.values():
            if not job.terminal:
                raise Violation("I3", job.id, f"is still {job.state}, long after the last fault")
        for site in self.sites:
            for job_id in site.busy_with:
                raise Violation("I15", job_id, f"is still held at {site.name}")
        raise Violation("I3", "", f"{self.clients.unanswered} submissions were never answered")

    def _check_end(self) -> None:
        """What must hold when all is over, and every table by itself."""
        for job_id, runs in self.invariants.alive.items():
            if runs:
                raise Violation("I15", job_id, f"was left behind at {runs[0].site}")
        for broker in self.brokers:
            if broker.lead is not None:
                broker.lead.state.check()
        for site in self.sites:
            site.loop.supervisor.state.check()

    def _outcome(self) -> Outcome:
        world, network = self.world, self.network
        return Outcome(
            seed=self.scenario.seed,
            seconds=world.now,
            steps=world.steps,
            starts=self.invariants.starts,
            copies=self.invariants.copies,
            jobs=len(self.invariants.rows),
            elections=self.store.elections,
            faults=dict(self.faults.counts),
            dropped=network.dropped,
            delayed=network.delayed,
            repeated=network.repeated,
            fingerprint=world.fingerprint(),
        )


def _register(store: SharedStore) -> None:
    """The sites, as administrators and their agents have registered them long ago."""
    core = Core(State(), LIMITS, 0, Now(0.0, WALL))
    for site in SITES:
        token = JoinToken(f"t-{site}", "secret", site, WALL + 600.0)
        steps = (
            CreateToken(token, "admin"),
            Join(site, token.id, "secret", f"key-{site}", b"csr", f"print-{site}"),
            Approve(site, f"print-{site}", b"certificate", "admin"),
        )
        store.begin(core.handle(steps, Now(0.0, WALL)).records)
