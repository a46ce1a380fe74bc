"""Routes over the national network: how long and how dear it is to move bytes.

An undirected graph of hubs, clusters and cities. A route is fastest for a given
size: latency plus bytes over the narrowest link, so a small transfer takes the
short way and a large one the wide way. Knows the graph only, not who sends what:
what is under way is a matter of `calendar`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from scheduler.arrays import Floats
from scheduler.graph import Edge, Tree, grow, shortest
from scheduler.model import Link, Network

IN_CITY_GBPS = 400.0  # between two sites of one city, per flow (assumed)
WIDTHS_MAX = 16  # different link widths that are tried; more are thinned out evenly
PATHS_MAX = 4  # shortest ways between two nodes that are looked at, beside the wide ones
NETWORKS_KEPT = 4  # whose routes are kept
GBPS_TO_BYTES = 1e9 / 8.0
BYTES_PER_GB = 1e9


class Unreachable(StrEnum):
    """Why no data can move between two cities."""

    CITY_UNKNOWN = "city_unknown"  # one of them is no node of the network
    NO_WAY = "no_way"  # no link leads there, or each is down or fully kept for others


@dataclass(frozen=True, slots=True)
class Path:
    """One way between two nodes. `links`: their places in the network's links, in order."""

    nodes: tuple[str, ...]
    links: tuple[int, ...]
    latency_seconds: float
    gbps: float  # of the narrowest link; inf within a city
    yuan_per_gb: float

    def seconds(self, size_bytes: float) -> float:
        """Seconds to move `size_bytes` this way while nobody else does."""
        gbps = min(self.gbps, IN_CITY_GBPS) if not self.links else self.gbps
        return self.latency_seconds + max(0.0, size_bytes) / (gbps * GBPS_TO_BYTES)


@lru_cache(maxsize=NETWORKS_KEPT)
def routes_of(network: Network) -> Routes:
    """The routes of a network, kept from round to round while the network is the same value."""
    return Routes(network)


class Routes:
    """Routes of one `Network`; build it once for each network value and keep it.

    Shortest-path trees are grown from a node when it is first asked for.
    """

    def __init__(self, network: Network) -> None:
        listed = [(link, at) for at, link in enumerate(network.links) if _is_usable(link)]
        listed.sort(key=lambda item: (item[0].a, item[0].b, item[0].latency_ms, item[1]))
        names = {node.name for node in network.nodes}
        names.update(end for link, _ in listed for end in (link.a, link.b))
        self.names: tuple[str, ...] = tuple(sorted(names))
        self.index: dict[str, int] = {name: at for at, name in enumerate(self.names)}
        self.link_gbps: Floats = np.zeros(len(network.links))  # 0: not to be used
        self._edges: list[list[Edge]] = [[] for _ in self.names]
        for link, at in listed:
            a, b = self.index[link.a], self.index[link.b]
            self.link_gbps[at] = _left_gbps(link)
            facts = _left_gbps(link) * GBPS_TO_BYTES, max(0.0, link.latency_ms) / 1000.0
            self._edges[a].append(Edge(b, at, *facts, link.yuan_per_gb))
            self._edges[b].append(Edge(a, at, *facts, link.yuan_per_gb))
        widths = {edge.bytes_per_second for edges in self._edges for edge in edges}
        self._widths = _thinned(sorted(widths))
        self._trees: dict[int, tuple[Tree, ...]] = {}
        self._paths: dict[tuple[int, int], tuple[Path, ...]] = {}

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
            return max(0.0, size_bytes) / (IN_CITY_GBPS * GBPS_TO_BYTES)
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
        fastest[at] = size_bytes / (IN_CITY_GBPS * GBPS_TO_BYTES)
        yuan = prices[best, everywhere] * (size_bytes / BYTES_PER_GB)
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

    def unreachable(self, a: str, b: str) -> Unreachable | None:
        """Why nothing can move from `a` to `b`; None: it can."""
        if a == b:
            return None
        if a not in self.index or b not in self.index:
            return Unreachable.CITY_UNKNOWN
        return None if math.isfinite(self.latency_seconds(a, b)) else Unreachable.NO_WAY

    def trees(self, source: str) -> tuple[Tree, ...]:
        """The paths from `source` that are fastest for some size; none from an unknown city."""
        return self._grown(self.index[source]) if source in self.index else ()

    def paths(self, a: str, b: str) -> tuple[Path, ...]:
        """The ways worth a look: the `PATHS_MAX` shortest, and the shortest of each width.

        By latency, then wide before narrow, then by their links. Empty: see `unreachable`.
        """
        if a == b:
            return (Path((a,), (), 0.0, math.inf, 0.0),)
        if self.unreachable(a, b) is not None:
            return ()
        ends = self.index[a], self.index[b]
        if ends not in self._paths:
            ways = set(shortest(self._edges, *ends, PATHS_MAX))
            for tree in self._grown(ends[0]):
                if math.isfinite(tree.latency_seconds[ends[1]]):
                    ways.add(tree.links_to(ends[1]))
            found = [self._path(ends[0], way) for way in ways]
            found.sort(key=lambda path: (path.latency_seconds, -path.gbps, path.links))
            self._paths[ends] = tuple(found)
        return self._paths[ends]

    def _path(self, source: int, links: tuple[int, ...]) -> Path:
        nodes, seconds, width, yuan = [source], 0.0, math.inf, 0.0
        for link in links:
            edge = next(edge for edge in self._edges[nodes[-1]] if edge.link == link)
            nodes.append(edge.to)
            seconds, yuan = seconds + edge.seconds, yuan + edge.yuan_per_gb
            width = min(width, float(self.link_gbps[link]))
        return Path(tuple(self.names[at] for at in nodes), links, seconds, width, yuan)

    def _grown(self, source: int) -> tuple[Tree, ...]:
        if source not in self._trees:
            widths = self._widths or (0.0,)
            self._trees[source] = tuple(grow(self._edges, source, width) for width in widths)
        return self._trees[source]


def _left_gbps(link: Link) -> float:
    return link.bandwidth_gbps - link.booked_gbps


def _is_usable(link: Link) -> bool:
    """Up, with bandwidth left and sane figures."""
    left = _left_gbps(link)
    sane = math.isfinite(left) and math.isfinite(link.latency_ms)
    return not link.down and link.a != link.b and left > 0 and sane


def _thinned(widths: list[float]) -> tuple[float, ...]:
    """At most `WIDTHS_MAX` of the ascending widths, the narrowest always among them."""
    if len(widths) <= WIDTHS_MAX:
        return tuple(widths)
    step = (len(widths) - 1) / (WIDTHS_MAX - 1)
    return tuple(widths[round(at * step)] for at in range(WIDTHS_MAX))
