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


@dataclass(frozen=True, slots=True)
class Ways:
    """Which links groups of flows cross: one pair of group and link after the other."""

    count: int  # of groups
    group: Ints  # [pair], ascending
    link: Ints  # [pair]

    @classmethod
    def of(cls, ways: Sequence[Sequence[int]]) -> Ways:
        """`ways[group]`: its links."""
        lengths = [len(way) for way in ways]
        links = [link for way in ways for link in way]
        return cls(len(ways), np.repeat(np.arange(len(ways)), lengths), np.array(links, np.int64))

    def and_each(self, links: int) -> Ways:
        """The same with one group more for each link alone, the last groups."""
        alone = np.arange(links)
        return Ways(
            self.count + links,
            np.concatenate([self.group, self.count + alone]),
            np.concatenate([self.link, alone]),
        )

    def carried(self, gbps: Floats, links: int) -> Floats:
        """[link]: what all groups together take of it at `gbps[group]` each."""
        return np.bincount(self.link, gbps[self.group], links).astype(np.float64)


def fair_rates(link_gbps: Floats, ways: Ways, counts: Ints) -> Floats:
    """[group]: max-min fair rate of each of `counts[group]` flows over the links of `ways`.

    A flow over no link has `IN_CITY_GBPS`. By progressive filling (Bertsekas and Gallager, Data
    Networks, 2nd ed. 1992, section 6.5.2), at many links at a time: a link whose even share is
    the least that any flow on it could have is the bottleneck of them all, so their rate is
    known and is taken off elsewhere.
    """
    count = len(link_gbps)
    left = link_gbps.astype(np.float64)
    rates = np.full(ways.count, IN_CITY_GBPS)
    rates[ways.group] = 0.0
    rising = counts[ways.group] > 0
    group, link = ways.group[rising], ways.link[rising]
    while len(group):
        weights = counts[group]
        flows = np.bincount(link, weights, count)
        level = np.divide(left, flows, out=np.full(count, math.inf), where=flows > 0)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        lengths = np.diff(starts, append=len(group))
        could = np.minimum.reduceat(level[link], starts)
        offered = np.repeat(could, lengths)
        least = np.full(count, math.inf)
        np.minimum.at(least, link, offered)
        full = level <= least * CLOSE
        ended = np.logical_or.reduceat(full[link], starts) & np.isfinite(could)
        rates[group[starts[ended]]] = could[ended]
        over = np.repeat(ended, lengths)
        taken = np.bincount(link[over], (weights * offered)[over], count)
        left = np.maximum(left - taken, 0.0)
        group, link = group[~over], link[~over]
    return rates


@dataclass(frozen=True, slots=True)
class Flows:
    """Transfers as columns; those over the same links are a group and have the same rate."""

    keys: tuple[str, ...]
    left_gigabits: Floats
    begins_at: Floats
    group: Ints
    ways: Ways
    visitors: Ints  # [group] that have no end
    link_gbps: Floats

    @classmethod
    def of(cls, transfers: Sequence[Transfer], link_gbps: Floats) -> Flows:
        groups: dict[tuple[int, ...], int] = {}
        group = [groups.setdefault(each.links, len(groups)) for each in transfers]
        return cls(
            keys=tuple(each.key for each in transfers),
            left_gigabits=np.array([each.size_bytes for each in transfers]) * 8e-9,
            begins_at=np.array([each.begins_at for each in transfers], np.float64),
            group=np.array(group, np.int64),
            ways=Ways.of(tuple(groups)),
            visitors=np.zeros(len(groups), np.int64),
            link_gbps=link_gbps,
        )

    def visited(self) -> Flows:
        """The same with one endless flow more over each link, the last groups."""
        links = len(self.link_gbps)
        return replace(
            self,
            ways=self.ways.and_each(links),
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
        counts = np.bincount(flows.group[under_way], minlength=flows.ways.count) + flows.visitors
        rates = fair_rates(flows.link_gbps, flows.ways, counts)
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
