"""Paths in a graph of links: shortest-path trees and the k shortest simple paths.

Nodes are numbers; a link is known by its place in the network it came from. Knows no names,
no sizes and no transfers.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats, Ints


@dataclass(frozen=True, slots=True)
class Edge:
    """One direction of a link, as seen from the node where it begins."""

    to: int
    link: int
    bytes_per_second: float
    seconds: float
    yuan_per_gb: float


Edges = Sequence[Sequence[Edge]]  # by the node where they begin


@dataclass(frozen=True, slots=True)
class Tree:
    """Shortest paths from one node over links of at least one width; arrays over nodes."""

    latency_seconds: Floats
    bytes_per_second: Floats  # of the narrowest link on the path
    yuan_per_gb: Floats
    previous: Ints  # -1: the source itself, or unreachable
    arrived_by: Ints  # the last link of the path: its place in the network's links; -1: none
    rings: tuple[Ints, ...]  # the nodes that are reached, by how many links away

    def links_to(self, node: int) -> tuple[int, ...]:
        """The links of the path to `node`, from its source on."""
        found: list[int] = []
        while self.previous[node] >= 0:
            found.append(int(self.arrived_by[node]))
            node = int(self.previous[node])
        return tuple(reversed(found))


def grow(
    edges: Edges,
    source: int,
    width: float,
    closed: frozenset[int] = frozenset(),
    avoided: frozenset[int] = frozenset(),
) -> Tree:
    """Dijkstra by latency over the links at least `width` bytes/s wide.

    `closed` links do not lead out of the source, `avoided` nodes lead nowhere.
    """
    count = len(edges)
    latency, narrowest, price = [math.inf] * count, [0.0] * count, [0.0] * count
    previous, arrived_by = [-1] * count, [-1] * count
    settled: dict[int, None] = {}
    latency[source], narrowest[source] = 0.0, math.inf
    queue = [(0.0, source)]
    while queue:
        seconds, at = heapq.heappop(queue)
        if at in settled:
            continue
        settled[at] = None
        for edge in edges[at]:
            arrived = seconds + edge.seconds
            if edge.bytes_per_second < width or arrived >= latency[edge.to]:
                continue
            if edge.to in avoided or (at == source and edge.link in closed):
                continue
            latency[edge.to] = arrived
            narrowest[edge.to] = min(narrowest[at], edge.bytes_per_second)
            price[edge.to] = price[at] + edge.yuan_per_gb
            previous[edge.to], arrived_by[edge.to] = at, edge.link
            heapq.heappush(queue, (arrived, edge.to))
    return Tree(
        latency_seconds=np.array(latency),
        bytes_per_second=np.maximum(np.array(narrowest), 1e-9),  # unreachable: inf latency
        yuan_per_gb=np.array(price),
        previous=np.array(previous, np.int64),
        arrived_by=np.array(arrived_by, np.int64),
        rings=_rings(settled, previous),
    )


def _rings(settled: Iterable[int], previous: Sequence[int]) -> tuple[Ints, ...]:
    """The nodes by how many links their path has; `settled`: each after the one before it."""
    links: dict[int, int] = {-1: -1}  # before the source there is none
    rings: list[list[int]] = []
    for node in settled:
        links[node] = at = links[previous[node]] + 1
        if at == len(rings):
            rings.append([])
        rings[at].append(node)
    return tuple(np.array(ring, np.int64) for ring in rings)


def shortest(edges: Edges, source: int, target: int, count: int) -> list[tuple[int, ...]]:
    """The `count` simple paths of least latency (Yen 1971), as links."""
    found: list[tuple[int, ...]] = []
    shortest = _detour(edges, source, target, (), frozenset())
    waiting = [shortest] if shortest else []
    known = set(waiting)
    while waiting and len(found) < count:
        _, links = heapq.heappop(waiting)
        found.append(links)
        for bend in range(len(links)):
            root = links[:bend]
            closed = frozenset(way[bend] for way in found if way[:bend] == root)
            detour = _detour(edges, source, target, root, closed)
            if detour and detour not in known:
                known.add(detour)
                heapq.heappush(waiting, detour)
    return found


def _detour(
    edges: Edges, source: int, target: int, root: tuple[int, ...], closed: frozenset[int]
) -> tuple[float, tuple[int, ...]] | None:
    """The shortest simple path that begins with the links of `root` and goes on by none of
    `closed`; its latency and links."""
    at, seconds, behind = source, 0.0, {source}
    for link in root:
        edge = next(edge for edge in edges[at] if edge.link == link)
        at, seconds = edge.to, seconds + edge.seconds
        behind.add(at)
    tree = grow(edges, at, 0.0, closed, frozenset(behind - {at}))
    if not math.isfinite(tree.latency_seconds[target]):
        return None
    return seconds + float(tree.latency_seconds[target]), root + tree.links_to(target)
