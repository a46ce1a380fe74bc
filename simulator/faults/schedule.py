"""The schedule of faults: what breaks, where and for how long, drawn from the seed.

Each kind has a weight; a hunt for a mutant may make some likelier. Nothing here looks at
what the federation is doing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from agent.supervisor.values import Mode
from simulator.faults.broker_node import CRASH_PLACES as BROKER_PLACES
from simulator.faults.broker_node import BrokerNode
from simulator.faults.clients import Clients
from simulator.faults.network import LATE_SECONDS_MAX, Network
from simulator.faults.shared_store import SharedStore
from simulator.faults.site_node import CRASH_PLACES as SITE_PLACES
from simulator.faults.site_node import SiteNode

FAULTS_MIN = 15  # of a run
MEAN_SECONDS = 65.0  # between two faults
LIKELIER = 6.0  # times, where a hunt asks for it
WALL_JUMP_SECONDS = 10 * 365 * 86_400.0
OUTAGE_SECONDS = 5.0, 300.0


@dataclass(frozen=True, slots=True)
class Hunt:
    """Kinds of faults that are to come more often, and kinds that must not come."""

    likely: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


NO_HUNT = Hunt()


@dataclass(slots=True)
class Faults:
    """Injects faults into one federation, and counts them."""

    network: Network
    brokers: Sequence[BrokerNode]
    sites: Sequence[SiteNode]
    store: SharedStore
    clients: Clients
    drift: float  # real bound of every clock's rate error
    counts: dict[str, int] = field(default_factory=dict)

    def plan(self, seconds: float, hunt: Hunt) -> None:
        """Draw up the faults of the first `seconds`, at least FAULTS_MIN."""
        world = self.network.world
        moments: list[float] = []
        at = world.pause(MEAN_SECONDS)
        while at < seconds:
            moments.append(at)
            at += world.pause(MEAN_SECONDS)
        while len(moments) < FAULTS_MIN:
            moments.append(world.between(0.0, seconds))
        kinds = [kind for kind in _KINDS if kind not in hunt.never]
        weights = [_KINDS[kind][0] * (LIKELIER if kind in hunt.likely else 1.0) for kind in kinds]
        for moment in moments:
            kind = world.weighted(kinds, weights)
            world.after(moment, partial(self.inject, kind))

    def inject(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.network.world.tell("", "fault", kind)
        _KINDS[kind][1](self)

    def heal(self) -> None:
        """No more faults; all that was cut, stopped or drained works again."""
        world = self.network.world
        world.tell("", "fault", "no more faults")
        self.network.heal()
        self.store.refuses_until = self.store.slow_until = 0.0
        for broker in self.brokers:
            broker.crash_at, broker.deaf_until = "", 0.0
            broker.paused_until = min(broker.paused_until, world.now)
        for site in self.sites:
            site.crash_at = ""
            site.machine.disk_full_until = 0.0
            site.paused_until = min(site.paused_until, world.now)
            site.change_mode(Mode.OPEN, stop_jobs=False)
            site.change_cards(0, 0)
            self.clients.drain(site.name, draining=False)
        world.after(LATE_SECONDS_MAX, self._undrain)

    def _undrain(self) -> None:
        """Once more: a late copy of an earlier wish may have come after the last one."""
        for site in self.sites:
            self.clients.drain(site.name, draining=False)

    # --- chance -----------------------------------------------------------------

    def _seconds(self) -> float:
        return self.network.world.between(*OUTAGE_SECONDS)

    def _site(self) -> SiteNode:
        return self.network.world.choice(self.sites)

    def _broker(self) -> BrokerNode:
        """More often than not the leader."""
        world = self.network.world
        leading = [broker for broker in self.brokers if broker.lead is not None]
        if leading and world.chance(0.6):
            return world.choice(leading)
        return world.choice(self.brokers)

    # --- network ----------------------------------------------------------------

    def cut(self) -> None:
        """A site loses brokers, one way or both."""
        world, site, seconds = self.network.world, self._site(), self._seconds()
        ways = world.choice(("up", "down", "both", "both"))
        for broker in self.brokers if world.chance(0.6) else [self._broker()]:
            if ways != "down":
                self.network.cut(site.name, broker.name, seconds)
            if ways != "up":
                self.network.cut(broker.name, site.name, seconds)

    def exile(self) -> None:
        """A broker loses the store, one way or both; sites may still reach it."""
        world, broker, seconds = self.network.world, self._broker(), self._seconds()
        ways = world.choice(("to", "from", "both"))
        if ways != "from":
            self.network.cut(broker.name, "store", seconds)
        if ways != "to":
            self.network.cut("store", broker.name, seconds)

    def isolate(self) -> None:
        """A broker loses everybody."""
        others = ["store", "client", *(site.name for site in self.sites)]
        self.network.isolate(self._broker().name, others, self._seconds())

    def slow(self) -> None:
        site, broker = self._site().name, self._broker().name
        ends = self.network.world.choice(
            ((site, broker), (broker, site), (broker, "store"), ("store", broker))
        )
        self.network.slow(*ends, self._seconds())

    def tear(self) -> None:
        self._site().tear()

    def replay(self) -> None:
        self.network.replay(count=20)

    def echo(self) -> None:
        """A site is not heard any more, and hears only what it was told before."""
        site, seconds = self._site(), self._seconds()
        for broker in self.brokers:
            self.network.cut(site.name, broker.name, seconds)
        self.network.echo(site.name, count=30, seconds=seconds)

    def deafen(self) -> None:
        self._broker().deaf_until = self.network.world.now + self._seconds() / 5

    # --- processes --------------------------------------------------------------

    def crash_agent(self) -> None:
        self._site().crash(self.network.world.between(0.5, 300.0))

    def crash_agent_at(self) -> None:
        self._site().crash_at = self.network.world.choice(SITE_PLACES)

    def pause_agent(self) -> None:
        self._site().pause(self._seconds())

    def pause_agent_at(self) -> None:
        site = self._site()
        site.crash_at, site.pause_at = self.network.world.choice(SITE_PLACES), self._seconds()

    def reboot(self) -> None:
        self._site().reboot(self.network.world.between(20.0, 200.0))

    def move(self) -> None:
        self._site().move(self.network.world.between(5.0, 200.0))

    def wipe(self) -> None:
        self._site().wipe(self.network.world.between(5.0, 60.0))

    def crash_broker(self) -> None:
        self._broker().crash(self.network.world.between(0.5, 120.0))

    def crash_brokers(self) -> None:
        for broker in self.brokers:
            broker.crash(self.network.world.between(1.0, 200.0))

    def crash_broker_at(self) -> None:
        self._broker().crash_at = self.network.world.choice(BROKER_PLACES)

    def pause_broker(self) -> None:
        self._broker().pause(self._seconds())

    def pause_broker_at(self) -> None:
        broker = self._broker()
        broker.crash_at, broker.pause_at = (
            self.network.world.choice(BROKER_PLACES),
            self._seconds(),
        )

    # --- clocks, disks, people ----------------------------------------------------

    def jump_wall(self) -> None:
        world = self.network.world
        offset = world.choice((-1.0, 1.0)) * world.choice((60.0, 86_400.0, WALL_JUMP_SECONDS))
        if world.chance(0.5):
            self._site().machine.clock.wall_offset = offset
        else:
            self._broker().clock.wall_offset = offset

    def drift_clock(self) -> None:
        world = self.network.world
        clock = self._site().machine.clock if world.chance(0.6) else self._broker().clock
        clock.run_at(1.0 + world.between(-self.drift, self.drift))

    def fill_disk(self) -> None:
        machine = self._site().machine
        machine.disk_full_until = self.network.world.now + self._seconds()

    def fill_store(self) -> None:
        self.store.refuses_until = self.network.world.now + self._seconds() / 3

    def slow_store(self) -> None:
        self.store.slow_until = self.network.world.now + self._seconds() / 3

    def change_cards(self) -> None:
        world = self.network.world
        self._site().change_cards(int(world.between(0, 7)), world.choice((0, 0, 1)))

    def change_mode(self) -> None:
        world, site = self.network.world, self._site()
        mode = world.choice((Mode.OPEN, Mode.OPEN, Mode.PAUSED, Mode.DRAINING))
        site.change_mode(mode, mode is Mode.PAUSED and world.chance(0.5))

    def maintain(self) -> None:
        """An announced absence of all brokers, which may turn out shorter, or longer."""
        world = self.network.world
        seconds = world.between(60.0, 500.0)
        self.clients.announce_maintenance(seconds)
        world.after(30.0, lambda: self._all_away(seconds * world.between(0.3, 1.2)))

    def _all_away(self, seconds: float) -> None:
        for broker in self.brokers:
            broker.crash(seconds)

    def submit_again(self) -> None:
        self.clients.submit_again()

    def drain(self) -> None:
        self.clients.drain(self._site().name, self.network.world.chance(0.6))


_KINDS: Mapping[str, tuple[float, Callable[[Faults], None]]] = {
    "cut": (4.0, Faults.cut),
    "exile": (2.0, Faults.exile),
    "isolate": (1.5, Faults.isolate),
    "slow": (1.5, Faults.slow),
    "tear": (2.0, Faults.tear),
    "replay": (1.5, Faults.replay),
    "echo": (0.7, Faults.echo),
    "deafen": (1.0, Faults.deafen),
    "crash-agent": (2.0, Faults.crash_agent),
    "crash-agent-at": (2.5, Faults.crash_agent_at),
    "pause-agent": (2.0, Faults.pause_agent),
    "pause-agent-at": (1.5, Faults.pause_agent_at),
    "reboot": (1.0, Faults.reboot),
    "move": (0.7, Faults.move),
    "wipe": (0.7, Faults.wipe),
    "crash-broker": (1.5, Faults.crash_broker),
    "crash-brokers": (0.7, Faults.crash_brokers),
    "crash-broker-at": (2.5, Faults.crash_broker_at),
    "pause-broker": (1.5, Faults.pause_broker),
    "pause-broker-at": (1.0, Faults.pause_broker_at),
    "jump-wall": (1.0, Faults.jump_wall),
    "drift-clock": (1.0, Faults.drift_clock),
    "fill-disk": (1.0, Faults.fill_disk),
    "fill-store": (0.7, Faults.fill_store),
    "slow-store": (0.7, Faults.slow_store),
    "change-cards": (1.0, Faults.change_cards),
    "change-mode": (0.7, Faults.change_mode),
    "maintain": (0.5, Faults.maintain),
    "submit-again": (1.0, Faults.submit_again),
    "drain": (0.7, Faults.drain),
}
KINDS = tuple(_KINDS)
