"""Where the nodes and links of a schematic stand, in pixels.

Not a map: crowded parts are stretched, empty ones compressed, and nodes pushed apart until
each has room for its label; only who is north, south, east and west of whom stays nearly
true. The same network always gives the same picture. Knows no SVG.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scheduler.model import Link, NetworkNode

Point = tuple[float, float]

CROWD = 0.62  # how much of a position is rank among its likes, how much is true distance
RADIUS = {"hub": 25.0, "cluster": 9.0, "city": 4.5}
# Room around a node for its label, pixels.
ROOM = {"hub": 40.0, "cluster": 27.0, "city": 25.0}
WEIGHT = {"hub": 6.0, "cluster": 2.0, "city": 1.0}  # the heavier moves less
ROUNDS = 240
BENDS = (0.0, 0.06, -0.06, 0.12, -0.12, 0.2, -0.2, 0.28, -0.28)
CLEARANCE = 15.0  # that a link keeps from nodes it does not end at, pixels
SAMPLES = 14  # points along a link at which it is kept clear of nodes
TRUNK_ROOM = 30.0  # that nodes keep from the straight line between two hubs, pixels
TRUNKS_MAX = 60  # links between hubs that nodes keep off
DETAIL_NODES_MAX = 120  # beyond this nodes stay where they fall and links are straight


@dataclass(frozen=True, slots=True)
class Frame:
    """The rectangle that the nodes are spread over, pixels."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A link as a quadratic curve."""

    start: Point
    control: Point
    end: Point

    def at(self, share: float) -> Point:
        """The point after `share` of the way, 0 to 1."""
        a, b, c = (1 - share) ** 2, 2 * share * (1 - share), share**2
        return (
            a * self.start[0] + b * self.control[0] + c * self.end[0],
            a * self.start[1] + b * self.control[1] + c * self.end[1],
        )


def place(nodes: Sequence[NetworkNode], links: Sequence[Link], frame: Frame) -> dict[str, Point]:
    """A point for each node, within `frame`."""
    across = _spread([node.longitude for node in nodes], frame.left, frame.right)
    down = _spread([-node.latitude for node in nodes], frame.top, frame.bottom)
    points = [
        # Nodes of one place start on a small spiral, so that they can be told apart.
        (x + 0.1 * i * math.cos(2.4 * i), y + 0.1 * i * math.sin(2.4 * i))
        for i, (x, y) in enumerate(zip(across, down, strict=True))
    ]
    if len(nodes) <= DETAIL_NODES_MAX:
        points = _relax(nodes, _trunks(nodes, links), points, frame)
    return {node.name: point for node, point in zip(nodes, points, strict=True)}


def route(link: Link, points: Mapping[str, Point], radii: Mapping[str, float]) -> Curve:
    """The straightest curve of a few that keeps clear of the nodes it does not end at."""
    start, end = points[link.a], points[link.b]
    if len(points) > DETAIL_NODES_MAX:
        return _curve(start, end, 0.0)
    others = [
        (point, radii[name]) for name, point in points.items() if name not in (link.a, link.b)
    ]
    curves = [_curve(start, end, bend) for bend in BENDS]
    costs = [60 * abs(bend) + _nearness(c, others) for bend, c in zip(BENDS, curves, strict=True)]
    return curves[costs.index(min(costs))]


def _spread(values: Sequence[float], low: float, high: float) -> list[float]:
    """`values` over low…high: partly by size, partly by rank, so that crowds are stretched."""
    distinct = sorted(set(values))
    if len(distinct) < 2:
        return [(low + high) / 2] * len(values)
    rank = {value: index / (len(distinct) - 1) for index, value in enumerate(distinct)}
    span = distinct[-1] - distinct[0]
    shares = ((1 - CROWD) * (v - distinct[0]) / span + CROWD * rank[v] for v in values)
    return [low + share * (high - low) for share in shares]


def _trunks(nodes: Sequence[NetworkNode], links: Sequence[Link]) -> list[tuple[int, int]]:
    """The links between hubs, as indices of their ends: other nodes keep off them."""
    hubs = {node.name: index for index, node in enumerate(nodes) if node.kind == "hub"}
    joined = [(hubs[link.a], hubs[link.b]) for link in links if {link.a, link.b} <= hubs.keys()]
    return joined[:TRUNKS_MAX]


def _relax(
    nodes: Sequence[NetworkNode],
    trunks: Sequence[tuple[int, int]],
    points: Sequence[Point],
    frame: Frame,
) -> list[Point]:
    """Pushes nodes apart until each has its room, while a weak spring holds it in place."""
    rooms = [ROOM.get(node.kind, ROOM["city"]) for node in nodes]
    weights = [WEIGHT.get(node.kind, 1.0) for node in nodes]
    light = [index for index, node in enumerate(nodes) if node.kind != "hub"]
    now = list(points)
    for turn in range(ROUNDS):
        for i, home in enumerate(points):
            for j in range(i):
                _part(now, i, j, rooms[i] + rooms[j], weights[i] / (weights[i] + weights[j]))
            pull = 0.02 * (1 - turn / ROUNDS)  # the last rounds only part
            x = now[i][0] + pull * (home[0] - now[i][0])
            y = now[i][1] + pull * (home[1] - now[i][1])
            now[i] = (_within(x, frame.left, frame.right), _within(y, frame.top, frame.bottom))
        for a, b in trunks:
            for i in light:
                now[i] = _off_line(now[i], now[a], now[b])
    return now


def _off_line(point: Point, start: Point, end: Point) -> Point:
    """`point` a step further off the line from start to end, when it is too near."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    if length < 1.0:
        return point
    along = ((point[0] - start[0]) * dx + (point[1] - start[1]) * dy) / length
    aside = ((point[0] - start[0]) * dy - (point[1] - start[1]) * dx) / length
    if not 0 < along < length or abs(aside) >= TRUNK_ROOM:
        return point
    push = math.copysign(0.3 * (TRUNK_ROOM - abs(aside)), aside)
    return point[0] + push * dy / length, point[1] - push * dx / length


def _part(now: list[Point], i: int, j: int, room: float, share: float) -> None:
    """Moves i and j apart along their line, `share` of the way by j, when they are too near."""
    (ax, ay), (bx, by) = now[i], now[j]
    # Labels are wide and low: sideways counts for less than up and down.
    dx, dy = (ax - bx) * 0.62, ay - by
    distance = math.hypot(dx, dy)
    if distance >= room:
        return
    if distance == 0.0:
        dx, dy, distance = 1.0, 0.0, 1.0
    push = 0.3 * (room - distance) / distance
    now[i] = (ax + push * dx * (1 - share), ay + push * dy * (1 - share))
    now[j] = (bx - push * dx * share, by - push * dy * share)


def _curve(start: Point, end: Point, bend: float) -> Curve:
    dx, dy = end[0] - start[0], end[1] - start[1]
    middle = ((start[0] + end[0]) / 2 - bend * dy, (start[1] + end[1]) / 2 + bend * dx)
    return Curve(start, middle, end)


def _nearness(curve: Curve, others: Iterable[tuple[Point, float]]) -> float:
    """How much of the curve runs over or close by other nodes."""
    path = [curve.at(step / SAMPLES) for step in range(1, SAMPLES)]
    cost = 0.0
    for (x, y), radius in others:
        gap = min(math.hypot(x - px, y - py) for px, py in path) - radius
        cost += max(0.0, (CLEARANCE - gap) / 4) ** 2
    return cost


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
