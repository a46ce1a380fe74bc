"""Routes over the national network: how long and how dear it is to move bytes.

An undirected graph of hubs, clusters and cities. A route is fastest for a given
size: latency plus bytes over the narrowest link, so a small transfer takes the
short way and a large one the wide way. Knows the graph only, not who sends what.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats, Ints
from scheduler.model import Link, Network

IN_CITY_GBPS = 400.0  # between two sites of one city, per flow (assumed)
WIDTHS_MAX = 16  # different link widths that are tried; more are thinned out evenly
_GBPS_TO_BYTES = 1e9 / 8.0
_BYTES_PER_GB = 1e9


@dataclass(frozen=True, slots=True)
class _Tree:
    """Shortest paths from one node over links of at least one width; arrays over nodes."""

    latency_seconds: Floats
    bytes_per_second: Floats  # of the narrowest link on the path
    yuan_per_gb: Floats
    previous: Ints  # -1: the source itself, or unreachable


class Routes:
    """Routes of one `Network`; build it once for each network value and keep it.

    Shortest-path trees are grown from a node when it is first asked for.
    """

    def __init__(self, network: Network) -> None:
        links = sorted(_usable(network.links), key=lambda link: (link.a, link.b, link.latency_ms))
        names = {node.name for node in network.nodes}
        names.update(end for link in links for end in (link.a, link.b))
        self.names: tuple[str, ...] = tuple(sorted(names))
        self.index: dict[str, int] = {name: at for at, name in enumerate(self.names)}
        self._edges: list[list[tuple[int, float, float, float]]] = [[] for _ in self.names]
        for link in links:
            a, b = self.index[link.a], self.index[link.b]
            width = _left_gbps(link) * _GBPS_TO_BYTES
            seconds = max(0.0, link.latency_ms) / 1000.0
            self._edges[a].append((b, width, seconds, link.yuan_per_gb))
            self._edges[b].append((a, width, seconds, link.yuan_per_gb))
        self._widths = _thinned(sorted({edge[1] for edges in self._edges for edge in edges}))
        self._trees: dict[int, tuple[_Tree, ...]] = {}

    def latency_seconds(self, a: str, b: str) -> float:
        """One-way latency of the shortest route; inf when there is none."""
        if a == b:
            return 0.0
        if a not in self.index or b not in self.index:
            return math.inf
        return float(self._grown(self.index[a])[0].latency_seconds[self.index[b]])

    def transfer_seconds(self, source: str, target: str, size_bytes: float) -> float:
        """Seconds to move `size_bytes` between two cities; inf when no route exists."""
        if source == target:
            return max(0.0, size_bytes) / (IN_CITY_GBPS * _GBPS_TO_BYTES)
        if target not in self.index:
            return math.inf
        return float(self.transfers(source, size_bytes)[0][self.index[target]])

    def transfer_yuan(self, source: str, target: str, size_bytes: float) -> float:
        """Price of the fastest route for `size_bytes`; 0 within a city or without a route."""
        if source == target or target not in self.index:
            return 0.0
        return float(self.transfers(source, size_bytes)[1][self.index[target]])

    def transfers(self, source: str, size_bytes: float) -> tuple[Floats, Floats]:
        """Seconds and yuan to move `size_bytes` from `source` to every node of `names`."""
        count = len(self.names)
        if source not in self.index:
            return np.full(count, math.inf), np.zeros(count)
        if size_bytes <= 0:
            return np.zeros(count), np.zeros(count)
        at = self.index[source]
        trees = self._grown(at)
        seconds = np.array(
            [tree.latency_seconds + size_bytes / tree.bytes_per_second for tree in trees]
        )
        prices = np.array([tree.yuan_per_gb for tree in trees])
        best, everywhere = seconds.argmin(axis=0), np.arange(count)
        fastest = seconds[best, everywhere]
        fastest[at] = size_bytes / (IN_CITY_GBPS * _GBPS_TO_BYTES)
        yuan = prices[best, everywhere] * (size_bytes / _BYTES_PER_GB)
        return fastest, np.where(np.isfinite(fastest), yuan, 0.0)

    def route(self, a: str, b: str, size_bytes: float = 0.0) -> tuple[str, ...]:
        """The nodes from `a` to `b` on the fastest route for `size_bytes`.

        0 bytes: the route of least latency. Empty when there is no route.
        """
        if a == b:
            return (a,)
        if a not in self.index or b not in self.index:
            return ()
        source, target = self.index[a], self.index[b]
        tree = min(
            self._grown(source),
            key=lambda tree: (
                tree.latency_seconds[target] + max(0.0, size_bytes) / tree.bytes_per_second[target]
            ),
        )
        if not math.isfinite(tree.latency_seconds[target]):
            return ()
        path = [target]
        while path[-1] != source:
            path.append(int(tree.previous[path[-1]]))
        return tuple(self.names[at] for at in reversed(path))

    def _grown(self, source: int) -> tuple[_Tree, ...]:
        if source not in self._trees:
            widths = self._widths or (0.0,)
            self._trees[source] = tuple(self._grow(source, width) for width in widths)
        return self._trees[source]

    def _grow(self, source: int, width: float) -> _Tree:
        """Dijkstra by latency over the links at least `width` bytes/s wide."""
        count = len(self.names)
        latency, narrowest = [math.inf] * count, [0.0] * count
        price, previous, done = [0.0] * count, [-1] * count, [False] * count
        latency[source], narrowest[source] = 0.0, math.inf
        queue = [(0.0, source)]
        while queue:
            seconds, at = heapq.heappop(queue)
            if done[at]:
                continue
            done[at] = True
            for to, wide, hop_seconds, yuan in self._edges[at]:
                if wide < width or seconds + hop_seconds >= latency[to]:
                    continue
                latency[to] = seconds + hop_seconds
                narrowest[to] = min(narrowest[at], wide)
                price[to], previous[to] = price[at] + yuan, at
                heapq.heappush(queue, (latency[to], to))
        bandwidth = np.maximum(np.array(narrowest), 1e-9)  # unreachable: latency is inf anyway
        return _Tree(np.array(latency), bandwidth, np.array(price), np.array(previous, np.int64))


def _left_gbps(link: Link) -> float:
    return link.bandwidth_gbps - link.booked_gbps


def _usable(links: tuple[Link, ...]) -> list[Link]:
    """Links with bandwidth left and sane figures."""
    return [
        link
        for link in links
        if link.a != link.b and _left_gbps(link) > 0 and math.isfinite(link.latency_ms)
    ]


def _thinned(widths: list[float]) -> tuple[float, ...]:
    """At most `WIDTHS_MAX` of the ascending widths, the narrowest always among them."""
    if len(widths) <= WIDTHS_MAX:
        return tuple(widths)
    step = (len(widths) - 1) / (WIDTHS_MAX - 1)
    return tuple(widths[round(at * step)] for at in range(WIDTHS_MAX))
