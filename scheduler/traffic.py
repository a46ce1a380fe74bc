"""What the network has left for this round: its routes under the transfers that are booked.

Seconds and yuan from one city to all others for a size, each by the way that is fastest
under that load. Knows no site, dataset or job.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from scheduler.arrays import Floats, Ints
from scheduler.calendar import RESOLUTION, Calendar, Forecast
from scheduler.model import Transfer
from scheduler.network import BYTES_PER_GB, IN_CITY_GBPS, Routes

NEW_SHARE_MAX = 0.2  # of what is booked, that a forecast may not know of yet
_GIGABITS = 8e-9  # per byte
_TO = ">"


def transfer_key(moved: str, to: str) -> str:
    """The name of a transfer: a place fetches a thing once, however many want it there."""
    return f"{moved}{_TO}{to}"


@dataclass(frozen=True, slots=True)
class Trips:
    """From one city to every node of the network, for one size."""

    source: str
    seconds: Floats  # inf: no way there
    yuan: Floats
    tree: Ints  # which of the source's trees is fastest


@dataclass(frozen=True, slots=True)
class _Rates:
    """What further transfers from one city could have: arrays over [tree, node, interval]."""

    gbps: Floats
    moved: Floats  # gigabits, by the begin of each interval
    latency_seconds: Floats  # [tree, node]
    yuan_per_gb: Floats


class Traffic:
    """Routes and the transfers on them, at one moment. Its answers are worked out once."""

    def __init__(self, routes: Routes, transfers: Sequence[Transfer] = (), now: float = 0.0):
        """Transfers that make no sense on this network are left out: a round goes on."""
        self.routes = routes
        self.calendar = Calendar(routes.link_gbps, now)
        for transfer in transfers:
            with suppress(ValueError):
                self.calendar.book(transfer)
        self._forecast: Forecast | None = None
        self._arrivals: dict[str, dict[str, float]] | None = None
        self._rates: dict[str, _Rates] = {}
        self._trips: dict[tuple[str, float], Trips] = {}
        # What others worked out, by the names of what is moved and the rest of its case.
        self.memo: dict[tuple[tuple[str, ...], object], Any] = {}
        self._new = 0  # booked since the forecast

    @property
    def forecast(self) -> Forecast:
        if self._forecast is None:
            self._forecast = self.calendar.forecast()
        return self._forecast

    def arrivals(self, moved: str) -> dict[str, float]:
        """Where something is on its way to by booked transfers, and when each ends."""
        return self._on_their_way().get(moved, {})

    def _on_their_way(self) -> dict[str, dict[str, float]]:
        if self._arrivals is None:
            self._arrivals = {}
            # Without the visitors of the forecast: what is on its way is not a newcomer.
            for key, end in self.calendar.ends(RESOLUTION).items():
                what, _, to = key.rpartition(_TO)
                self._arrivals.setdefault(what, {})[to] = end
        return self._arrivals

    def book(self, transfer: Transfer, seconds: float) -> None:
        """Let what follows in this round see a transfer that the round has decided on.

        That it is on its way for so many seconds is known at once; how it slows others down
        when enough was booked to look again, for a forecast costs more than a placement.
        """
        self.calendar.book(transfer)
        self._new += 1
        if self._new > NEW_SHARE_MAX * len(self.calendar):
            self._rates.clear()
            self._trips.clear()
            self.memo.clear()
            self._forecast = self._arrivals = None
            self._new = 0
            return
        what, _, to = transfer.key.rpartition(_TO)
        self._on_their_way().setdefault(what, {})[to] = self.calendar.now + seconds
        self.memo = {key: known for key, known in self.memo.items() if what not in key[0]}

    def trips(self, source: str, size_bytes: float) -> Trips:
        """Moving `size_bytes` from `source`; within its own city by the city's net."""
        key = source, size_bytes
        if key not in self._trips:
            self._trips[key] = self._find(source, size_bytes)
        return self._trips[key]

    def links_to(self, trips: Trips, node: int) -> tuple[int, ...]:
        """The links that a trip crosses, by the node's place in the routes' names."""
        trees = self.routes.trees(trips.source)
        return trees[int(trips.tree[node])].links_to(node) if trees else ()

    def carry_seconds(self, size_bytes: Floats) -> Floats:
        """[row]: how long until every link has carried its part of `size_bytes[row, link]`."""
        seconds = self.forecast.drained(self.forecast.entry_gbps.T, size_bytes * _GIGABITS)
        return np.asarray(seconds.max(axis=-1, initial=0.0))

    def _find(self, source: str, size_bytes: float) -> Trips:
        count = len(self.routes.names)
        if source not in self.routes.index:
            return Trips(source, np.full(count, math.inf), np.zeros(count), np.zeros(count, int))
        if size_bytes <= 0:
            return Trips(source, np.zeros(count), np.zeros(count), np.zeros(count, int))
        rates = self._rates_from(source)
        gigabits = np.full(rates.latency_seconds.shape, size_bytes * _GIGABITS)
        seconds = rates.latency_seconds + self.forecast.drained(rates.gbps, gigabits, rates.moved)
        best, everywhere = seconds.argmin(axis=0), np.arange(count)
        fastest = seconds[best, everywhere]
        fastest[self.routes.index[source]] = size_bytes * _GIGABITS / IN_CITY_GBPS
        yuan = rates.yuan_per_gb[best, everywhere] * (size_bytes / BYTES_PER_GB)
        return Trips(source, fastest, np.where(np.isfinite(fastest), yuan, 0.0), best)

    def _rates_from(self, source: str) -> _Rates:
        """Along each path the least of what its links have for a newcomer."""
        if source not in self._rates:
            trees, entry = self.routes.trees(source), self.forecast.entry_gbps
            gbps = np.zeros((len(trees), len(self.routes.names), len(entry)))
            for at, tree in enumerate(trees):
                gbps[at, tree.rings[0]] = math.inf
                for ring in tree.rings[1:]:
                    before, links = gbps[at, tree.previous[ring]], tree.arrived_by[ring]
                    gbps[at, ring] = np.minimum(before, entry[:, links].T)
            self._rates[source] = _Rates(
                gbps,
                self.forecast.moved(gbps),
                np.array([tree.latency_seconds for tree in trees]),
                np.array([tree.yuan_per_gb for tree in trees]),
            )
        return self._rates[source]
