"""The federation under test and what faults can do to it.

A broker, three sites with their own network and small disk, all real processes. A second
broker, or another store, would be put in here (`_federation`) and nowhere else.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.federation import Daemon, Federation, SiteSpec
from suan.views import Offer
from tests.chaos.disk import Disk, NotAllowed, small_disk
from tests.chaos.evidence import Diary
from tests.chaos.faults import BROKER, CUTS, KILL_SECONDS, LEASE_SECONDS, SITES, Fault, Kind
from tests.chaos.leftovers import fences, kill_all, ranks, without_keepers
from tests.chaos.network import Network
from tests.chaos.script import CARDS, CARDS_PER_NODE, MODELS, NODES

DISK_MIB = 96  # of which the agent keeps 64 free before it takes another job
AGAIN_SECONDS = 1.0  # before a daemon that ended by itself is started again
# A second of silence is long here, and a refused shape is offered again soon.
LIMITS: Mapping[str, float] = {
    "heartbeat_seconds": 0.5,
    "hold_seconds": 1.0,
    "lost_seconds": 4.0,
    "kill_seconds": KILL_SECONDS,
    "lease_seconds_min": LEASE_SECONDS,
    "attempts_max": 1_000,
}


class Stage:
    """Begins and ends faults, and notes in the diary when each was done."""

    def __init__(
        self,
        federation: Federation,
        network: Network,
        disks: Mapping[str, Disk],
        diary: Diary,
        chance: random.Random,
    ) -> None:
        self.federation = federation
        self.died: list[str] = []
        self._network = network
        self._disks = disks
        self._diary = diary
        self._chance = chance
        self._down: set[str] = set()  # daemons that we have killed
        self._full: set[str] = set()  # sites whose disk has been full
        self._stopped: dict[Fault, list[Any]] = {}

    @property
    def has_disks(self) -> bool:
        """Whether the sites have disks that can be filled."""
        return len(self._disks) == len(SITES)

    def daemon(self, name: str) -> Daemon:
        return self.federation.broker if name == BROKER else self.federation.agents[name]

    def begin(self, fault: Fault) -> None:
        self._diary.note("begin", kind=fault.kind, target=fault.target, hit=self._begin(fault))

    def _begin(self, fault: Fault) -> int:
        """How many were hit."""
        site = fault.target
        if fault.kind is Kind.KILL:
            self._down.add(site)
            self.daemon(site).kill()
        elif fault.kind is Kind.STOP:
            self._signal(site, signal.SIGSTOP)
        elif fault.kind in CUTS:
            self._network.cut(site, fault.kind)
        elif fault.kind is Kind.DISK_FULL:
            self._full.add(site)
            self._disks[site].fill()
        elif fault.kind in (Kind.STOP_FENCE, Kind.STOP_ALL_FENCES):
            found = fences(self.federation.folder, site)
            is_mild = fault.kind is Kind.STOP_FENCE
            chosen = self._some(without_keepers(found)) if is_mild else found
            self._stopped[fault] = [each for each in chosen if each.send(signal.SIGSTOP)]
            return len(self._stopped[fault])
        else:
            find = fences if fault.kind is Kind.KILL_FENCE else ranks
            chosen = self._some(find(self.federation.folder, site))
            return sum(each.send(signal.SIGKILL) for each in chosen)
        return 1

    def end(self, fault: Fault) -> None:
        """Undo it."""
        site = fault.target
        if fault.kind is Kind.KILL:
            self._down.discard(site)
            self.start(site)
        elif fault.kind is Kind.STOP:
            self._signal(site, signal.SIGCONT)
        elif fault.kind in CUTS:
            self._network.heal(site)
        elif fault.kind is Kind.DISK_FULL:
            self._disks[site].free()
        for process in self._stopped.pop(fault, ()):
            process.send(signal.SIGCONT)
        self._diary.note("end", kind=fault.kind, target=site)

    def _some(self, found: list[Any]) -> list[Any]:
        """One of them, or sometimes all."""
        return found if self._chance.random() < 0.2 else found and [self._chance.choice(found)]

    def _signal(self, name: str, number: signal.Signals) -> None:
        if self.daemon(name).running():
            self.daemon(name).send(number)

    def start(self, name: str) -> None:
        if name == BROKER:
            self.federation.launch_broker()
        else:
            self.federation.agents[name].start()

    def keep_alive(self) -> None:
        """Start again what ended by itself, as systemd would, and remember that it did."""
        for name in (BROKER, *SITES):
            daemon = self.daemon(name)
            if name in self._down or daemon.running():
                continue
            self._diary.note("died", target=name, said=daemon.log.read_text()[-500:])
            if name not in self._full:  # an agent may give up on a full disk
                self.died.append(name)
            time.sleep(AGAIN_SECONDS)
            self.start(name)


def cards_not_free(offers: Iterable[Offer]) -> tuple[str, ...]:
    """What is not free although nothing runs: one line for each such site."""
    free = {offer.site: offer.cards_free for offer in offers}
    return tuple(
        f"{site}: {free.get(site, 'none')} of {CARDS} cards are free"
        for site in SITES
        if free.get(site) != CARDS
    )


@contextmanager
def open_stage(
    folder: Path, network: Network, diary: Diary, chance: random.Random
) -> Iterator[Stage]:
    """A federation that runs; with the context it ends, and whatever it has started."""
    with ExitStack() as stack:
        stack.callback(network.close)
        disks = {}
        for site in SITES:
            try:
                place = folder / "sites" / site
                disks[site] = stack.enter_context(small_disk(place, DISK_MIB))
            except NotAllowed:
                break
        federation = _federation(folder, network)
        stack.callback(federation.stop)
        stack.callback(kill_all, folder)  # after a failure some may be stopped, and deaf
        federation.start_broker()
        federation.join(*(_site(name, network, federation) for name in SITES))
        yield Stage(federation, network, disks, diary, chance)


def _federation(folder: Path, network: Network) -> Federation:
    return Federation(folder, "local", LIMITS, host=network.host)


def _site(name: str, network: Network, federation: Federation) -> SiteSpec:
    pool = {
        "name": "main",
        "accelerator": MODELS[name],
        "nodes": NODES,
        "cards_per_node": CARDS_PER_NODE,
    }
    settings = {"broker": network.address(name, federation.address)}
    return SiteSpec(name, pool, settings=settings, enter=network.enter(name))
