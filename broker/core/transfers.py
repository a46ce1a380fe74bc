"""Transfers of inputs: which are under way, and how much of the network they take.

A transfer is booked while a live attempt that has not started waits for an input from
another site, or while it is sent ahead of one (`prestaging`); several at one site share it.
The truth is in the attempts' rows (`Attempt.fetches`), so that nothing is lost or leaks: what
is booked follows from them and is made to agree at each round and tick (`settle`). The
calendar itself is soft: after a restart each transfer counts in full again, as leases do,
until its attempt starts.

The broker decides from where an input comes, not which way its packets go: routes here are
those of the network model. When the network changes all are planned anew; a transfer that
has no way left is stranded, counted, and told with its job.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from broker.core.messages import Now
from broker.core.rows import Attempt, NetworkMap
from broker.core.state import State
from scheduler.calendar import TRANSFERS_MAX, Calendar
from scheduler.model import Network, Transfer
from scheduler.network import routes_of
from scheduler.traffic import transfer_key

CityOf = Callable[[str], str]  # a site's city; empty: not known, or not yet
BOOKINGS_PER_SETTLE_MAX = 16  # the rest follow at the next tick


@dataclass(frozen=True, slots=True)
class Wanted:
    """One input that must come from one site to another."""

    dataset: str
    source: str
    target: str
    size_bytes: int

    @property
    def key(self) -> str:
        return transfer_key(self.dataset, self.target)


@dataclass(frozen=True, slots=True)
class Booked:
    """A transfer as it is now. `gbps` is its fair share; `ends_seconds`: from now."""

    wanted: Wanted
    route: tuple[str, ...]  # nodes; empty: stranded
    left_bytes: float
    gbps: float
    ends_seconds: float  # inf: never, as things are


@dataclass(slots=True)
class Counts:
    """Since this leader began."""

    booked: int = 0
    rerouted: int = 0
    stranded: int = 0
    unbooked: int = 0  # how often one was put off because the calendar was full

    def named(self) -> tuple[tuple[str, int], ...]:
        """As counters, by their stable names."""
        return (
            ("TransfersBooked", self.booked),
            ("TransfersRerouted", self.rerouted),
            ("TransfersStranded", self.stranded),
            ("TransfersUnbooked", self.unbooked),
        )


class Transfers:
    """What is booked, on the network of the moment."""

    def __init__(self) -> None:
        self.network: NetworkMap | None = None  # for which the calendar was made
        self.routes = routes_of(Network())
        self.calendar = Calendar(self.routes.link_gbps, 0.0)
        self.counts = Counts()
        self.stranded: dict[str, Wanted] = {}
        self._wanted: dict[str, Wanted] = {}  # of those that are booked
        self._nodes: dict[str, tuple[str, ...]] = {}  # the way of each

    def settle(self, state: State, city_of: CityOf, now: Now, ahead: Iterable[Wanted] = ()) -> None:
        """Make what is booked agree with the attempts, and with what is sent `ahead` of them."""
        ahead = tuple(ahead)
        if not (state.fetching or self._wanted or self.stranded or ahead):
            return
        self.calendar.advance(now.elapsed)
        wanted = wanted_by(state)
        wanted.update((each.key, each) for each in ahead)  # under way: the attempt joins it
        for key in [key for key in self._wanted if self._wanted[key] != wanted.get(key)]:
            self._release(key)
        for key in [key for key in self.stranded if key not in wanted]:
            del self.stranded[key]
        if self.network is not state.network:
            self._renew(state.network, city_of, now)
        missing = [each for key, each in wanted.items() if key not in self._wanted]
        for each in missing[:BOOKINGS_PER_SETTLE_MAX]:
            self._book(each, float(each.size_bytes), city_of)

    def booked(self, network: NetworkMap, wall: float) -> tuple[Transfer, ...]:
        """For a round on `network`; none when another one is planned for at this moment."""
        if self.network is not network:
            return ()
        return tuple(
            Transfer(each.key, each.links, each.size_bytes, wall) for each in self.calendar.booked
        )

    def view(self) -> tuple[Booked, ...]:
        """Every transfer, for people; those that are stranded last."""
        rates = next(self.calendar.intervals()).gbps
        ends = self.calendar.ends()
        found = [
            Booked(
                self._wanted[each.key],
                self._nodes[each.key],
                each.size_bytes,
                rates.get(each.key, 0.0),
                ends[each.key] - self.calendar.now,
            )
            for each in self.calendar.booked
        ]
        for wanted in self.stranded.values():
            found.append(Booked(wanted, (), wanted.size_bytes, 0.0, math.inf))
        return tuple(found)

    def carried_gbps(self, network: NetworkMap) -> tuple[float, ...]:
        """What transfers take of each link now; empty: nothing, or of another network."""
        if self.network is not network or not len(self.calendar):
            return ()
        return tuple(self.calendar.booked_gbps().tolist())

    def rates(self) -> Mapping[str, float]:
        """Gb/s that each transfer has now, by its key."""
        return next(self.calendar.intervals()).gbps if len(self.calendar) else {}

    def strands(self, attempt: Attempt) -> Wanted | None:
        """An input of the attempt that has no way to come."""
        keys = (transfer_key(fetch.dataset, attempt.site) for fetch in attempt.fetches)
        return next((self.stranded[key] for key in keys if key in self.stranded), None)

    def _renew(self, network: NetworkMap, city_of: CityOf, now: Now) -> None:
        """Plan all transfers anew on a network that has changed."""
        before, wanted, nodes = self.calendar.booked, self._wanted, self._nodes
        self.network = network
        self.routes = routes_of(Network(network.nodes, network.links))
        self.calendar = Calendar(self.routes.link_gbps, now.elapsed)
        self._wanted, self._nodes = {}, {}
        for each in before:
            self._book(wanted[each.key], each.size_bytes, city_of)
            if each.key in self._nodes:
                self.counts.booked -= 1  # it was counted when it began
                self.counts.rerouted += self._nodes[each.key] != nodes[each.key]

    def _book(self, wanted: Wanted, left_bytes: float, city_of: CityOf) -> None:
        source, target = city_of(wanted.source), city_of(wanted.target)
        if not (source and target):
            return  # a site that was not heard since the start: later
        if len(self.calendar) >= TRANSFERS_MAX:
            self.counts.unbooked += 1
            return
        path = self.calendar.best(self.routes.paths(source, target), left_bytes)
        if path is None:
            self.counts.stranded += wanted.key not in self.stranded
            self.stranded[wanted.key] = wanted
            return
        self.stranded.pop(wanted.key, None)
        self.calendar.book(Transfer(wanted.key, path.links, left_bytes, self.calendar.now))
        self._wanted[wanted.key], self._nodes[wanted.key] = wanted, path.nodes
        self.counts.booked += 1

    def _release(self, key: str) -> None:
        self.calendar.cancel(key)
        del self._wanted[key], self._nodes[key]


def wanted_by(state: State) -> dict[str, Wanted]:
    """What the live attempts that have not started wait for, oldest attempt first."""
    found: dict[str, Wanted] = {}
    for job_id in state.fetching:
        attempt = state.jobs[job_id].live_attempt
        if attempt is None:
            continue
        for fetch in attempt.fetches:
            wanted = Wanted(fetch.dataset, fetch.source, attempt.site, fetch.size_bytes)
            found.setdefault(wanted.key, wanted)
    return found
