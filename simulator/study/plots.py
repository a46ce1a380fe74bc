"""Lines over two axes, as inline SVG. Knows numbers, times and colours only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from simulator.replay.instance import Floats

WIDTH, HEIGHT = 1100.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 170.0, 14.0, 48.0
STEPS = 6  # marks on an axis, about
# Marks of a logarithmic axis of seconds.
TIMES = {
    1.0: "1 s", 10.0: "10 s", 60.0: "1 min", 600.0: "10 min", 3_600.0: "1 h", 36_000.0: "10 h",
    345_600.0: "4 d", 3_456_000.0: "40 d", 34_560_000.0: "400 d",
}  # fmt: skip
# Okabe and Ito's colours, which most people with colour blindness can tell apart, then dashes.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("", "7 4", "2 3")


@dataclass(frozen=True, slots=True)
class Line:
    """One named series; `down` is a share, from 0."""

    name: str
    along: Floats
    up: Floats


def plot(lines: Sequence[Line], along: str, up: str, logarithmic: bool = False) -> str:
    """All lines over common axes, with a legend; a sentence when there is nothing to show."""
    drawn = [line for line in lines if len(line.along)]
    if not drawn:
        return '<p class="faint">No job has ended.</p>'
    low = min(float(line.along.min()) for line in drawn) if logarithmic else 0.0
    high = max(float(line.along.max()) for line in drawn)
    axis = _Axis(low, max(high, low * 1.001, 1e-9), logarithmic)
    top = max(0.05, *(float(line.up.max()) for line in drawn))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" '
        f'width="{WIDTH:g}" height="{HEIGHT:g}" role="img" font-size="12">',
        f"<title>{escape(up)} by {escape(along)}</title>",
        *_grid(axis, top),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 8:g}" text-anchor="middle" '
        f'fill="#5d6c82">{escape(along)}</text>',
        *(_drawn(line, at, axis, top) for at, line in enumerate(drawn)),
        "</svg>",
    ]
    return f'<p class="faint">{escape(up.capitalize())}</p>' + "".join(parts)


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    logarithmic: bool

    def at(self, values: Floats) -> Floats:
        if self.logarithmic:
            share = np.log(values / self.low) / math.log(self.high / self.low)
        else:
            share = (values - self.low) / (self.high - self.low)
        return np.asarray(LEFT + share * (WIDTH - LEFT - RIGHT), np.float64)

    def marks(self) -> list[float]:
        if self.logarithmic:
            return [seconds for seconds in TIMES if self.low <= seconds <= self.high]
        return steps(self.high)


def steps(high: float) -> list[float]:
    """Round marks from 0 up to `high`."""
    raw = high / STEPS
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= raw)
    return [at * step for at in range(int(high / step + 1e-9) + 1)]


def _grid(axis: _Axis, top: float) -> list[str]:
    base, parts = HEIGHT - BOTTOM, []
    marks = axis.marks()
    for mark, x in zip(marks, axis.at(np.array(marks)).tolist(), strict=True):
        parts.append(f'<path d="M{x:.1f} {TOP:g}V{base:g}" stroke="#e1e7ef"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{base + 17:g}" text-anchor="middle" fill="#5d6c82">'
            f"{TIMES.get(mark) if axis.logarithmic else format(mark, 'g')}</text>"
        )
    for mark in steps(top):
        y = _height(mark, top)
        parts.append(f'<path d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}" stroke="#e1e7ef"/>')
        parts.append(
            f'<text x="{LEFT - 8:g}" y="{y + 4:.1f}" text-anchor="end" fill="#5d6c82">'
            f"{mark:.0%}</text>"
        )
    return parts


def _drawn(line: Line, at: int, axis: _Axis, top: float) -> str:
    """The line and its entry in the legend."""
    colour = COLOURS[at % len(COLOURS)]
    dash = DASHES[at // len(COLOURS) % len(DASHES)]
    style = f'fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}"'
    points = " ".join(
        f"{x:.1f},{_height(share, top):.1f}"
        for x, share in zip(axis.at(line.along).tolist(), line.up.tolist(), strict=True)
    )
    left, y = WIDTH - RIGHT + 14, TOP + 12 + 20 * at
    return (
        f'<polyline {style} points="{points}"><title>{escape(line.name)}</title></polyline>'
        f'<path {style} d="M{left:g} {y:g}h24"/>'
        f'<text x="{left + 30:g}" y="{y + 4:g}" fill="#1b2a41">{escape(line.name)}</text>'
    )


def _height(share: float, top: float) -> float:
    return HEIGHT - BOTTOM - share / top * (HEIGHT - BOTTOM - TOP)
