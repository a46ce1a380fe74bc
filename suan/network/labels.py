"""Where the labels of a schematic stand: beside their node, clear of all else if they can be.

Each label tries a few places around its node and takes the one that covers least, the most
important labels first. Widths of text are estimates. Knows no SVG.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import dist

from suan.network.layout import Curve, Point

LATIN_EM = 0.56  # mean width of a letter, of its size
LINE_EM = 1.25  # line height, of its size
STEP_PIXELS = 6.0  # along a link, between the points that a label should not hide
STEPS_MAX = 200  # along one link
ARRANGED_MAX = 300  # labels; more of them all stand to the right of their node
# What makes a place bad: per square pixel of other labels and nodes, per rank, once.
LABEL_COST, NODE_COST, RANK_COST, OUTSIDE_COST = 12.0, 8.0, 4.0, 4000.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, pixels."""

    left: float
    top: float
    width: float
    height: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        down = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)

    def within(self, other: Box) -> bool:
        return self.overlap(other) > 0.999 * self.width * self.height

    def holds(self, point: Point) -> bool:
        inside = self.left <= point[0] <= self.left + self.width
        return inside and self.top <= point[1] <= self.top + self.height


@dataclass(frozen=True, slots=True)
class Wanted:
    """A label to place: `width` × `height` pixels beside a node of `radius` at `point`."""

    key: str
    point: Point
    radius: float
    width: float
    height: float


def text_width(text: str, size: float) -> float:
    """About how wide `text` is at `size` pixels; Chinese characters are square."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return size * (wide + LATIN_EM * (len(text) - wide))


def arrange(
    wanted: Sequence[Wanted],
    curves: Iterable[tuple[Curve, float]],
    taken: Iterable[Box],
    frame: Box,
) -> dict[str, Box]:
    """A box for each label, in the order of importance given.

    `curves` are the links with what it costs to cover a step of each; `taken` is kept free.
    """
    if len(wanted) > ARRANGED_MAX:
        return {each.key: _places(each)[0] for each in wanted}
    steps = [(point, cost) for curve, cost in curves for point in _steps(curve)]
    nodes = {each.key: _around(each.point, each.radius + 1.5) for each in wanted}
    filled = list(taken)
    placed: dict[str, Box] = {}
    for each in wanted:
        reach = each.width + each.height + each.radius
        near = [step for step in steps if dist(step[0], each.point) < reach]
        others = [box for key, box in nodes.items() if key != each.key]
        costs = [
            RANK_COST * rank
            + LABEL_COST * sum(box.overlap(other) for other in filled)
            + NODE_COST * sum(box.overlap(other) for other in others)
            + sum(cost for point, cost in near if box.holds(point))
            + OUTSIDE_COST * (not box.within(frame))
            for rank, box in enumerate(_places(each))
        ]
        placed[each.key] = _places(each)[costs.index(min(costs))]
        filled.append(placed[each.key])
    return placed


def _places(wanted: Wanted) -> list[Box]:
    """The places that a label may take, the most pleasant first."""
    x, y = wanted.point
    w, h, gap = wanted.width, wanted.height, wanted.radius + 4
    near = gap * 0.72
    corners = [
        (x + gap, y - h / 2),
        (x - gap - w, y - h / 2),
        (x - w / 2, y + gap - 2),
        (x - w / 2, y - gap - h + 2),
        (x + near, y + near - 3),
        (x + near, y - near - h + 3),
        (x - near - w, y + near - 3),
        (x - near - w, y - near - h + 3),
        (x + gap, y - h),
        (x + gap, y),
        (x - gap - w, y - h),
        (x - gap - w, y),
        (x - 0.25 * w, y - gap - h + 2),
        (x - 0.75 * w, y - gap - h + 2),
        (x - 0.25 * w, y + gap - 2),
        (x - 0.75 * w, y + gap - 2),
    ]
    return [Box(left, top, w, h) for left, top in corners]


def _steps(curve: Curve) -> list[Point]:
    count = min(int(dist(curve.start, curve.end) / STEP_PIXELS), STEPS_MAX) + 1
    return [curve.at(step / count) for step in range(count + 1)]


def _around(point: Point, radius: float) -> Box:
    return Box(point[0] - radius, point[1] - radius, 2 * radius, 2 * radius)
