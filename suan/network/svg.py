"""The network as a schematic in SVG: hubs, clusters, cities, their links, the sites on them.

A schematic, not a map: it has no coastline and no boundary, and positions are shifted so
that it can be read. Self-contained: no script, no font, no link to elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from scheduler.model import Link, Network, NetworkNode
from suan.network import draw
from suan.network.file import NetworkFile, as_file
from suan.network.graph import ends
from suan.network.labels import Wanted, arrange
from suan.network.layout import RADIUS, Curve, Frame, Point, place, route

# What the nodes are spread over; the margins are for the title, the foot and labels.
FRAME = Frame(left=80, top=130, right=draw.WIDTH - 110, bottom=draw.HEIGHT - 85)
COVER_COST = {"trunk": 30.0, "line": 4.0, "thread": 2.0}  # of hiding a step of a link


def svg(
    network: Network | NetworkFile,
    sites: Iterable[tuple[str, str]] = (),
    flows: Mapping[tuple[str, str], draw.Flow] = MappingProxyType({}),
) -> str:
    """The schematic as an SVG document, always the same for the same input.

    `sites` are pairs of a site's name and the node that it stands at; `flows` is what went
    over links, by their two ends in order.
    """
    file = as_file(network)
    nodes = file.network.nodes
    known = {node.name for node in nodes}
    links = [link for link in file.network.links if {link.a, link.b} <= known]
    links.sort(key=lambda link: link.bandwidth_gbps)
    hosted = _by_city(sites)
    points = place(nodes, links, FRAME)
    radii = {node.name: RADIUS.get(node.kind, RADIUS["city"]) for node in nodes}
    curves = [route(link, points, radii) for link in links]
    texts = {node.name: draw.label(file, node, hosted.get(node.name, [])) for node in nodes}
    latencies = [
        (link, draw.latency_box(link, curve.at(0.5)))
        for link, curve in zip(links, curves, strict=True)
        if draw.stroke(link).name == "trunk"
    ]
    taken = [draw.LEGEND, draw.TITLE, *(box for _, box in latencies)]
    boxes = arrange(_wanted(nodes, points, texts), _costs(links, curves), taken, draw.CANVAS)
    parts = [
        draw.head(file),
        *(draw.link(file, link, curve) for link, curve in zip(links, curves, strict=True)),
        *(
            draw.flow(flows[ends(link)], link, curve)
            for link, curve in zip(links, curves, strict=True)
            if ends(link) in flows
        ),
        *(draw.latency(link, box) for link, box in latencies),
        *(draw.node(node, points[node.name], hosted.get(node.name, [])) for node in nodes),
        *(texts[node.name].drawn(boxes[node.name], points[node.name]) for node in nodes),
        draw.legend(links, bool(hosted)),
        draw.foot(file),
    ]
    return "\n".join(part for part in parts if part) + "\n</svg>\n"


def _wanted(
    nodes: Sequence[NetworkNode], points: Mapping[str, Point], texts: Mapping[str, draw.Label]
) -> list[Wanted]:
    """The labels to place, hubs first; in one kind, those that host sites first."""
    order = {"hub": 0, "cluster": 1}
    ranked = sorted(nodes, key=lambda node: (order.get(node.kind, 2), -texts[node.name].height))
    return [
        Wanted(
            node.name,
            points[node.name],
            draw.outer_radius(node, bool(texts[node.name].sites)),
            texts[node.name].width,
            texts[node.name].height,
        )
        for node in ranked
    ]


def _costs(links: Sequence[Link], curves: Sequence[Curve]) -> list[tuple[Curve, float]]:
    return [
        (curve, COVER_COST[draw.stroke(link).name])
        for link, curve in zip(links, curves, strict=True)
    ]


def _by_city(sites: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names of the sites at each node, in order."""
    found: dict[str, list[str]] = {}
    for name, city in sites:
        found.setdefault(city, []).append(name)
    return {city: sorted(names) for city, names in found.items()}
