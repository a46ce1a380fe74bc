"""Max-min fair sharing of links: who has which rate, from one event to the next.

Nobody can have more without taking from one who has no more than he. Rates are constant
between two events (a begin or an end). Links are numbers; times are seconds of one clock,
rates Gb/s. Knows no network and keeps nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.model import Transfer
from scheduler.network import IN_CITY_GBPS

CLOSE = 1.0 + 1e-9  # rates and ends within rounding of each other are the same


def fair_rates(link_gbps: Floats, hops: Ints, counts: Ints) -> Floats:
    """[group]: max-min fair rate of each of `counts[group]` flows over the links `hops[group]`.

    Short ways are padded with `len(link_gbps)`; a flow over no link has `IN_CITY_GBPS`. By
    progressive filling (Bertsekas and Gallager, Data Networks, 2nd ed. 1992, section 6.5.2),
    at many links at a time: a link whose even share is the least that any flow on it could
    have is the bottleneck of them all, so their rate is known and is taken off elsewhere.
    """
    links = len(link_gbps)
    left = np.append(link_gbps, math.inf)
    rates = np.full(len(hops), IN_CITY_GBPS)
    rising = (counts > 0) & (hops < links).any(axis=1)
    rates[(hops < links).any(axis=1)] = 0.0
    rows = np.flatnonzero(rising)
    order, starts, crossed = _by_link(hops)
    while len(rows):
        ways = hops[rows]
        weights = np.repeat(counts[rows], hops.shape[1])
        flows = np.bincount(ways.ravel(), weights, links + 1)
        level = np.divide(left, flows, out=np.full(links + 1, math.inf), where=flows > 0)
        level[links] = math.inf
        could = level[ways].min(axis=1)
        least = np.full(links + 1, math.inf)
        everywhere = np.full(len(hops), math.inf)
        everywhere[rows] = could
        least[crossed] = np.minimum.reduceat(everywhere[order // hops.shape[1]], starts)
        frozen = (level <= least * CLOSE)[ways].any(axis=1) & np.isfinite(could)
        rates[rows[frozen]] = could[frozen]
        taken = np.repeat(counts[rows[frozen]] * could[frozen], hops.shape[1])
        left = np.maximum(left - np.bincount(ways[frozen].ravel(), taken, links + 1), 0.0)
        rows = rows[~frozen]
    return rates


def _by_link(hops: Ints) -> tuple[Ints, Ints, Ints]:
    """(The places of `hops` in order of link, where each link begins there, those links)."""
    order = np.argsort(hops, axis=None, kind="stable")
    links = hops.ravel()[order]
    starts = np.flatnonzero(np.diff(links, prepend=-1))
    return order, starts, links[starts]


@dataclass(frozen=True, slots=True)
class Flows:
    """Transfers as columns; those over the same links are a group and have the same rate."""

    keys: tuple[str, ...]
    left_gigabits: Floats
    begins_at: Floats
    group: Ints
    hops: Ints  # [group, place]: the links, padded with their count
    visitors: Ints  # [group] that have no end
    link_gbps: Floats

    @classmethod
    def of(cls, transfers: Sequence[Transfer], link_gbps: Floats) -> Flows:
        groups: dict[tuple[int, ...], int] = {}
        group = [groups.setdefault(each.links, len(groups)) for each in transfers]
        longest = max(map(len, groups), default=0)
        hops = np.full((len(groups), max(1, longest)), len(link_gbps))
        for links, at in groups.items():
            hops[at, : len(links)] = links
        return cls(
            keys=tuple(each.key for each in transfers),
            left_gigabits=np.array([each.size_bytes for each in transfers]) * 8e-9,
            begins_at=np.array([each.begins_at for each in transfers], np.float64),
            group=np.array(group, np.int64),
            hops=hops,
            visitors=np.zeros(len(groups), np.int64),
            link_gbps=link_gbps,
        )

    def visited(self) -> Flows:
        """The same with one endless flow more over each link, the last groups."""
        links = len(self.link_gbps)
        alone = np.full((links, self.hops.shape[1]), links)
        alone[:, 0] = np.arange(links)
        return replace(
            self,
            hops=np.vstack([self.hops, alone]),
            visitors=np.concatenate([self.visitors, np.ones(links, np.int64)]),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One interval. `counts` and `rates` by group; `under_way` and `lasts` by flow."""

    flows: Flows
    begin: float
    end: float
    under_way: Bools
    lasts: Floats  # seconds at its rate; inf where it has none
    counts: Ints
    rates: Floats

    def finish(self) -> dict[str, float]:
        """When each flow that is under way would end at its rate."""
        at = np.flatnonzero(self.under_way)
        ends = (self.begin + self.lasts[at]).tolist()
        return {self.flows.keys[flow]: end for flow, end in zip(at.tolist(), ends, strict=True)}

    def named(self) -> dict[str, float]:
        rates = self.rates[self.flows.group].tolist()
        return {self.flows.keys[at]: rates[at] for at in np.flatnonzero(self.under_way).tolist()}


def steps(flows: Flows, now: float, resolution: float = 0.0) -> Iterator[Step]:
    """The intervals from `now` on. With a resolution, a flow that ends within an interval
    keeps its rate to the interval's end: later than in truth, never more than a link has."""
    left = flows.left_gigabits.copy()
    begin = now
    while True:
        under_way = (left > 0) & (flows.begins_at <= begin)
        counts = np.bincount(flows.group[under_way], minlength=len(flows.hops)) + flows.visitors
        rates = fair_rates(flows.link_gbps, flows.hops, counts)
        speed = np.where(under_way, rates[flows.group], 0.0)
        lasts = np.divide(left, speed, out=np.full(len(left), math.inf), where=speed > 0)
        seconds = max(float(lasts.min(initial=math.inf)), resolution * (begin - now))
        later = flows.begins_at[(left > 0) & (flows.begins_at > begin)]
        end = min(begin + seconds, float(later.min(initial=math.inf)))
        yield Step(flows, begin, end, under_way, lasts, counts, rates)
        if end == math.inf:
            return
        left = np.maximum(left - speed * (end - begin), 0.0)
        left[lasts <= (end - begin) * CLOSE] = 0.0
        left[(begin + lasts) <= end] = 0.0  # where an interval is shorter than the clock tells
        begin = end
