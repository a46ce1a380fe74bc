"""The parts of a schematic as SVG text: links, nodes, labels, legend. Colours and sizes.

Every text goes through `escape`. Knows how things look, not where they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from scheduler.model import Link, NetworkNode
from suan.network.file import NetworkFile
from suan.network.labels import LINE_EM, Box, text_width
from suan.network.layout import RADIUS, Curve, Point

WIDTH, HEIGHT = 1500, 1100
CANVAS = Box(12, 12, WIDTH - 24, HEIGHT - 24)
TITLE = Box(40, 24, 560, 74)
LEGEND = Box(40, HEIGHT - 290, 268, 214)
RING = 4.5  # a ring around a node shows that sites stand there
FLOW_WIDTHS = 2.0, 14.0  # of the least and of the most that goes over a link
SITES_NAMED_MAX = 3  # at one city; the rest as a count
TITLE_SIZE = {"hub": 15.0, "cluster": 12.5, "city": 11.5}

_FONTS = (
    "'Noto Sans','Helvetica Neue',Arial,"
    "'Noto Sans CJK SC','PingFang SC','Microsoft YaHei',sans-serif"
)
_STYLE = f"""<style>
text{{font-family:{_FONTS};fill:#1b2a41}}
.n{{paint-order:stroke;stroke:#fbfcfe;stroke-width:3px;stroke-linejoin:round}}
.zh,.faint{{fill:#5d6c82}}.site{{fill:#0a7a4b;font-weight:600}}
path{{fill:none;stroke-linecap:round}}
.trunk{{stroke:#2f6db5;stroke-width:5}}
.line{{stroke:#a3c3e2;stroke-width:1.8}}
.thread{{stroke:#c9d0da;stroke-width:1.1}}
.hub{{fill:#17406d;stroke:#fff;stroke-width:3}}
.cluster{{fill:#e8842c;stroke:#fff;stroke-width:2}}
.city{{fill:#5d6c82;stroke:#fff;stroke-width:1.5}}
.at{{fill:none;stroke:#0a9d5f;stroke-width:3}}
.on{{fill:#fff;font-weight:700}}.ms{{font-size:11px;font-weight:600;fill:#2f6db5}}
.flow{{stroke:#e0533d;stroke-opacity:.75}}
.pill{{fill:#fbfcfe;stroke:#c9dcef;stroke-width:1}}
</style>"""


@dataclass(frozen=True, slots=True)
class Stroke:
    """How links of at least `gbps_min` are drawn."""

    name: str  # also the class of the style
    gbps_min: float
    words: str


STROKES = (
    Stroke("trunk", 80.0, "80 Gb/s and more"),
    Stroke("line", 20.0, "20 to 80 Gb/s"),
    Stroke("thread", 0.0, "under 20 Gb/s"),
)


def stroke(link: Link) -> Stroke:
    return next(each for each in STROKES if link.bandwidth_gbps >= each.gbps_min)


@dataclass(frozen=True, slots=True)
class Flow:
    """What went over a link: a share of the most that went over any, and in words."""

    share: float
    words: str


@dataclass(frozen=True, slots=True)
class Label:
    """A node's name in English and Chinese, and below it the sites that stand there."""

    english: str
    chinese: str
    sites: str
    size: float

    @property
    def width(self) -> float:
        first = f"{self.english} {self.chinese}".strip()
        return max(text_width(first, self.size), text_width(self.sites, self.size)) + 2

    @property
    def height(self) -> float:
        return self.size * LINE_EM * (2 if self.sites else 1)

    def drawn(self, box: Box, point: Point) -> str:
        """The label in `box`, aligned towards its node at `point`."""
        middle = box.left + box.width / 2
        if abs(middle - point[0]) < box.width * 0.3:
            anchor, x = "middle", middle
        elif middle > point[0]:
            anchor, x = "start", box.left
        else:
            anchor, x = "end", box.left + box.width
        weight = ' font-weight="600"' if self.size > TITLE_SIZE["city"] else ""
        chinese = f' <tspan class="zh">{escape(self.chinese)}</tspan>' if self.chinese else ""
        y = box.top + self.size
        start = f'<text class="n" x="{x:.1f}" y="{y:.1f}" font-size="{self.size:g}"'
        first = f'{start} text-anchor="{anchor}"{weight}>{escape(self.english)}{chinese}'
        below = f'<tspan class="site" x="{x:.1f}" dy="{LINE_EM}em">{escape(self.sites)}</tspan>'
        return f"{first}{below if self.sites else ''}</text>"


def label(file: NetworkFile, node: NetworkNode, sites: Sequence[str]) -> Label:
    size = TITLE_SIZE.get(node.kind, TITLE_SIZE["city"])
    named = ", ".join(sites[:SITES_NAMED_MAX])
    more = f" +{len(sites) - SITES_NAMED_MAX}" if len(sites) > SITES_NAMED_MAX else ""
    # A hub's Chinese name stands in its circle.
    chinese = "" if node.kind == "hub" else node.title
    return Label(file.label(node), chinese, f"▪ {named}{more}" if sites else "", size)


def head(file: NetworkFile) -> str:
    kinds = [node.kind for node in file.network.nodes]
    counts = (
        f"{kinds.count('hub')} hubs · {kinds.count('cluster')} clusters · "
        f"{kinds.count('city')} cities · {len(file.network.links)} links"
    )
    title = file.name or "Computing network"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<desc>Schematic of {counts}; not a map.</desc>",
            _STYLE,
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfcfe"/>',
            f'<text x="40" y="58" font-size="27" font-weight="700">{escape(title)}</text>',
            f'<text class="faint" x="40" y="84" font-size="14">{counts}</text>',
        )
    )


def link(file: NetworkFile, line: Link, curve: Curve) -> str:
    (ax, ay), (cx, cy), (bx, by) = curve.start, curve.control, curve.end
    words = (
        f"{line.a} – {line.b}: {line.bandwidth_gbps:g} Gb/s, {line.latency_ms:g} ms one way, "
        f"{line.yuan_per_gb:g} CNY/GB"
    )
    path = f"M{ax:.1f} {ay:.1f}Q{cx:.1f} {cy:.1f} {bx:.1f} {by:.1f}"
    return f'<path class="{stroke(line).name}" d="{path}"><title>{escape(words)}</title></path>'


def flow(its: Flow, line: Link, curve: Curve) -> str:
    """As wide as much went over the link; its words appear on pointing at it."""
    (ax, ay), (cx, cy), (bx, by) = curve.start, curve.control, curve.end
    path = f"M{ax:.1f} {ay:.1f}Q{cx:.1f} {cy:.1f} {bx:.1f} {by:.1f}"
    words = escape(f"{line.a} – {line.b}: {its.words}")
    width = FLOW_WIDTHS[0] + its.share * (FLOW_WIDTHS[1] - FLOW_WIDTHS[0])
    return (
        f'<path class="flow" d="{path}" style="stroke-width:{width:.1f}">'
        f"<title>{words}</title></path>"
    )


def latency_box(line: Link, point: Point) -> Box:
    width = text_width(_latency(line), 11) + 9
    return Box(point[0] - width / 2, point[1] - 8, width, 16)


def latency(line: Link, box: Box) -> str:
    middle, base = box.left + box.width / 2, box.top + box.height - 4
    return (
        f'<rect class="pill" x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:g}" rx="8"/><text class="ms" x="{middle:.1f}" y="{base:.1f}" '
        f'text-anchor="middle">{_latency(line)}</text>'
    )


def outer_radius(place: NetworkNode, hosts: bool) -> float:
    """A node's radius with the ring around it that shows sites."""
    return RADIUS.get(place.kind, RADIUS["city"]) + (RING if hosts else 0)


def node(place: NetworkNode, point: Point, sites: Sequence[str]) -> str:
    kind = place.kind if place.kind in RADIUS else "city"
    (x, y), radius = point, RADIUS[kind]
    parts = [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>']
    if sites:
        parts.append(f'<circle class="at" cx="{x:.1f}" cy="{y:.1f}" r="{radius + RING:g}"/>')
    if kind == "hub" and place.title:
        size = min(16.0, 1.7 * radius / len(place.title))
        parts.append(
            f'<text class="on" x="{x:.1f}" y="{y + 0.36 * size:.1f}" font-size="{size:.1f}" '
            f'text-anchor="middle">{escape(place.title)}</text>'
        )
    return "".join(parts)


def legend(links: Sequence[Link], with_sites: bool) -> str:
    x, y = LEGEND.left, LEGEND.top
    rows = [
        ('<circle class="hub" cx="{x}" cy="{y}" r="11"/>', "hub 枢纽"),
        ('<circle class="cluster" cx="{x}" cy="{y}" r="8"/>', "data-centre cluster 集群"),
        ('<circle class="city" cx="{x}" cy="{y}" r="5"/>', "city 城市"),
    ]
    if with_sites:
        rows.append(('<circle class="at" cx="{x}" cy="{y}" r="8"/>', "a site of the federation"))
    for each in STROKES:
        rates = sorted({line.bandwidth_gbps for line in links if stroke(line) is each})
        if rates:
            words = " / ".join(f"{rate:g}" for rate in rates[:3]) + " Gb/s per flow"
            rows.append((f'<path class="{each.name}" d="M{{left}} {{y}}H{{right}}"/>', words))
    pill = '<rect class="pill" x="{left}" y="{top}" width="40" height="16" rx="8"/>'
    number = '<text class="ms" x="{x}" y="{base}" text-anchor="middle">9.7</text>'
    rows.append((pill + number, "latency, ms one way"))
    parts = []
    for index, (mark, words) in enumerate(rows):
        line = y + 26 * index + 14
        where = {"x": x + 20, "y": line, "left": x, "right": x + 40}
        parts.append(mark.format(**where, top=line - 8, base=line + 4))
        parts.append(f'<text x="{x + 54}" y="{line + 4.5}" font-size="13">{escape(words)}</text>')
    return "".join(parts)


def foot(file: NetworkFile) -> str:
    words = "Schematic, not a map: positions are shifted for legibility."
    lines = [f"{words} {file.attribution}".strip()]
    return "".join(
        f'<text class="faint" x="40" y="{HEIGHT - 28}" font-size="11">{escape(text)}</text>'
        for text in lines
    )


def _latency(line: Link) -> str:
    return f"{line.latency_ms:.1f}" if line.latency_ms >= 0.95 else f"{line.latency_ms:.2g}"
