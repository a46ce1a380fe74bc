"""Moving a job's data: from which copy, over which way, how long, how dear.

    stage = fetch (inputs and the state to go on from, at once)
            + write-back (outputs, after the run)

With the wait for cards and the run this is what decides between moving the data, waiting
at the data and running elsewhere: the pool that finishes first wins, whichever part made
it late. Where a job must wait for cards anyway its inputs may come meanwhile (`ahead`).
Knows the pools of a `Supply` and the traffic of its round; arrays run over pools.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.fleet import Fleet
from scheduler.model import Dataset, Demand, Fetch, Prestaging, Restore, Site, Transfer
from scheduler.network import BYTES_PER_GB
from scheduler.supply import Supply
from scheduler.traffic import transfer_key

BOOKED_MAX = 256  # transfers; beyond, a round looks no more at what it adds itself
AHEAD_FACTOR = 2.0  # inputs are sent for when the wait is at most so many times the transfer
AHEAD_SECONDS_MIN = 600.0  # … or shorter than this: plans for later than both may yet change


@dataclass(frozen=True, slots=True)
class Moved:
    """One input on its way to every pool, from the copy that is nearest by time."""

    dataset: str
    size_bytes: int
    homes: tuple[str, ...]  # sites with a copy
    home: Ints  # which of them; -1: a copy is there, or none can come
    seconds: Floats  # alone on its way; inf: cannot come
    yuan: Floats


@dataclass(frozen=True, slots=True)
class Staging:
    """Moving a demand's data to each pool and its outputs back."""

    fetch_seconds: Floats  # before the start; inf: the data cannot get there
    write_back_seconds: Floats  # after the end
    yuan: Floats
    inputs: tuple[Moved, ...] = ()

    @property
    def seconds(self) -> Floats:
        return self.fetch_seconds + self.write_back_seconds

    def fetches(self, pool: int) -> tuple[Fetch, ...]:
        """What must come from where if the job goes to `pool`."""
        return tuple(
            Fetch(each.dataset, each.homes[each.home[pool]], each.size_bytes)
            for each in self.inputs
            if each.home[pool] >= 0
        )


def stage(supply: Supply, demand: Demand) -> Staging:
    """All inputs at once, each from its nearest copy by time, and the outputs back.

    Inputs whose ways cross no common link overlap; where they share one, the link carries
    one after the other. Outputs go to the nearest home of the first input; without inputs
    they stay where they are made. A dataset that nobody knows cannot be moved: inf. What is
    to be restored is read from a store, which the network need not know: it may be slow to
    bring, but forbids nothing.
    """
    output_bytes = demand.output_bytes if demand.inputs else 0
    key = demand.inputs, (output_bytes, demand.restore)
    if key not in supply.traffic.memo:
        supply.traffic.memo[key] = _stage(supply, demand.inputs, output_bytes, demand.restore)
    known: Staging = supply.traffic.memo[key]
    return known


def _stage(
    supply: Supply, names: tuple[str, ...], output_bytes: int, restore: Restore | None
) -> Staging:
    inputs = tuple(_moved(supply, name) for name in dict.fromkeys(names))
    homes = inputs[0].homes if inputs else ()
    if restore is not None:
        inputs = (*inputs, _restored(supply, restore))
    if not inputs:
        nothing = np.zeros(len(supply))
        return Staging(nothing, nothing, nothing)
    back, back_yuan = _write_back(supply, homes, output_bytes)
    yuan = sum((each.yuan for each in inputs), start=back_yuan)
    return Staging(_together(supply, inputs), back, yuan, inputs)


def latency_ms(fleet: Fleet, users_at: str) -> Floats:
    """One way from the users to every pool's site: from a node of the network, or from the
    nearest site of a region. inf: there is no such place, or no way."""
    cities = {site.city for site in fleet.sites if users_at and site.region == users_at}
    starts = [users_at] if users_at in fleet.routes.index else sorted(cities - {""})
    best = np.full(len(fleet), math.inf)
    for start in starts:
        trees = fleet.routes.trees(start)
        if trees:
            to_nodes = trees[0].latency_seconds * 1000.0  # the first is over links of any width
            best = np.minimum(best, np.append(to_nodes, math.inf)[fleet.node_of])
        best[fleet.by_site(("city", start), partial(_is_in_city, start))] = 0.0
    return best


def _is_in_city(city: str, site: Site) -> bool:
    return site.city == city


def book(supply: Supply, staging: Staging, pool: int) -> None:
    """Book what a placement in `pool` must fetch, for the classes behind in this round."""
    node, site = int(supply.node_of[pool]), supply.pools[pool].site
    for fetch in staging.fetches(pool):
        key, calendar = transfer_key(fetch.dataset, site), supply.traffic.calendar
        if key in calendar or len(calendar) >= BOOKED_MAX:
            continue
        trips = supply.traffic.trips(supply.city_of(fetch.source), fetch.size_bytes)
        links = supply.traffic.links_to(trips, node)
        transfer = Transfer(key, links, fetch.size_bytes, calendar.now)
        supply.traffic.book(transfer, float(trips.seconds[node]) if node >= 0 else 0.0)


def ahead(
    supply: Supply, staging: Staging, wait_seconds: Floats, finish_seconds: Floats
) -> tuple[Prestaging, ...]:
    """What is worth sending while a job waits for cards, to the pool where it would end first.

    `wait_seconds`, `finish_seconds`: [way, pool]; inf where it cannot go or nobody knows until
    when. Nothing when the cards come so late that the plan may yet change.
    """
    if not staging.inputs or not np.isfinite(finish_seconds).any():
        return ()
    way, pool = np.unravel_index(int(np.argmin(finish_seconds)), finish_seconds.shape)
    wait, fetch = float(wait_seconds[way, pool]), float(staging.fetch_seconds[pool])
    if not 0 < fetch < math.inf or wait > max(AHEAD_SECONDS_MIN, AHEAD_FACTOR * fetch):
        return ()
    key = supply.pools[pool].key
    return tuple(Prestaging(key, each) for each in staging.fetches(int(pool)))


def _moved(supply: Supply, name: str) -> Moved:
    """Fastest transfer of one dataset between each pool's site and any of its homes."""
    dataset = supply.datasets.get(name) or Dataset(name, 0, ())
    homes = tuple(sorted(set(dataset.replicas)))
    nearest = _nearest(supply, homes, dataset.size_bytes)
    under_way = _under_way(supply, name)
    for site in dataset.cached:
        cached = _at(supply, site)
        under_way[cached], nearest.home[cached] = 0.0, -1
    sooner = under_way < nearest.seconds  # it is coming anyway, and paid for
    return Moved(
        dataset=name,
        size_bytes=dataset.size_bytes,
        homes=homes,
        home=np.where(np.isfinite(nearest.seconds), nearest.home, -1),
        seconds=np.where(sooner, under_way, nearest.seconds),
        yuan=np.where(sooner, 0.0, nearest.yuan),
    )


def _restored(supply: Supply, restore: Restore) -> Moved:
    """The state to go on from; where the network knows no way there, nothing is said of it."""
    homes = (restore.site,)
    nearest = _nearest(supply, homes, restore.size_bytes)
    known = np.isfinite(nearest.seconds)
    return Moved(
        dataset=restore.name,
        size_bytes=restore.size_bytes,
        homes=homes,
        home=np.where(known, nearest.home, -1),
        seconds=np.where(known, nearest.seconds, 0.0),
        yuan=np.where(known, nearest.yuan, 0.0),
    )


@dataclass(frozen=True, slots=True)
class _Nearest:
    home: Ints  # place in the homes; -1: at the pool's own site, or none
    seconds: Floats
    yuan: Floats


def _nearest(supply: Supply, homes: tuple[str, ...], size_bytes: int) -> _Nearest:
    """For every pool the home from which `size_bytes` come first; of equals the first by name."""
    count = len(supply)
    best, price, home = np.full(count, math.inf), np.zeros(count), np.full(count, -1)
    if homes and size_bytes <= 0:
        return _Nearest(home, np.zeros(count), price)
    for at, name in enumerate(homes):
        trips = supply.traffic.trips(supply.city_of(name), size_bytes)
        # node -1 (a city outside the network) reads the last element: unreachable, no price
        seconds = np.append(trips.seconds, math.inf)[supply.node_of]
        yuan = np.append(trips.yuan, 0.0)[supply.node_of]
        yuan = yuan + supply.egress_of(name) * (size_bytes / BYTES_PER_GB)
        here = _at(supply, name)
        seconds, yuan = np.where(here, 0.0, seconds), np.where(here, 0.0, yuan)
        nearer = seconds < best
        best, price = np.where(nearer, seconds, best), np.where(nearer, yuan, price)
        home = np.where(nearer, np.where(here, -1, at), home)
    return _Nearest(home, best, price)


def _under_way(supply: Supply, dataset: str) -> Floats:
    """Seconds until the dataset is at each pool's site by a transfer that is booked already."""
    seconds = np.full(len(supply), math.inf)
    for site, end in supply.traffic.arrivals(dataset).items():
        seconds[_at(supply, site)] = max(0.0, end - supply.traffic.calendar.now)
    return seconds


def _at(supply: Supply, site: str) -> Bools:
    return supply.by_site(("name", site), partial(_is_named, site))


def _is_named(name: str, site: Site) -> bool:
    return site.name == name


def _write_back(supply: Supply, homes: tuple[str, ...], size_bytes: int) -> tuple[Floats, Floats]:
    """Seconds and yuan to bring outputs home. What will be booked after the run nobody knows:
    the network is taken as it is then, free of staging."""
    count = len(supply)
    if size_bytes <= 0 or not homes:
        return np.zeros(count), np.zeros(count)
    best, price = np.full(count, math.inf), np.zeros(count)
    for name in homes:
        to_nodes, yuan_to_nodes = supply.routes.transfers(supply.city_of(name), size_bytes)
        seconds = np.append(to_nodes, math.inf)[supply.node_of]
        yuan = np.append(yuan_to_nodes, 0.0)[supply.node_of]
        yuan = yuan + supply.egress_yuan_per_gb * (size_bytes / BYTES_PER_GB)
        here = _at(supply, name)
        seconds, yuan = np.where(here, 0.0, seconds), np.where(here, 0.0, yuan)
        nearer = seconds < best
        best, price = np.where(nearer, seconds, best), np.where(nearer, yuan, price)
    return best, price


def _together(supply: Supply, inputs: tuple[Moved, ...]) -> Floats:
    """When the last input is there, all being sent at once.

    No input comes sooner than it would alone, and no link carries the bytes of all inputs
    that cross it sooner than its rate allows: max(max_i t_i, max_l carry_l(sum of bytes)).
    A schedule without idle time on the worst link reaches this where ways part only once.
    """
    seconds: Floats = np.max([each.seconds for each in inputs], axis=0)
    homes = np.array([each.home for each in inputs])
    several = ((homes >= 0).sum(axis=0) > 1) & np.isfinite(seconds)
    if not several.any():
        return seconds
    columns = np.vstack([supply.node_of, homes])[:, several]
    cases, which = np.unique(columns, axis=1, return_inverse=True)
    loads = np.zeros((cases.shape[1], len(supply.routes.link_gbps)))
    for case, (node, *chosen) in enumerate(cases.T.tolist()):
        for each, home in zip(inputs, chosen, strict=True):
            if home >= 0 and node >= 0:
                source = supply.city_of(each.homes[home])
                trips = supply.traffic.trips(source, each.size_bytes)
                loads[case, list(supply.traffic.links_to(trips, node))] += each.size_bytes
    carried = supply.traffic.carry_seconds(loads)[which.reshape(-1)]
    seconds[several] = np.maximum(seconds[several], carried)
    return seconds
