"""Reading a network file: all its faults at once, each with its line and what to do.

The format is described at the head of `deploy/networks/china.yaml`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.model import Link, Network, NetworkNode
from suan.network.file import NetworkFile
from suan.network.graph import ends, unreachable
from suan.network.provenance import KEYS, Bounds, Citations, Figure
from suan.network.reading import Faults, Spot, nearest, read

NODES_MAX = 10_000
LINKS_MAX = 50_000
NAME_CHARACTERS_MAX = 63
BANDWIDTH = Bounds(1e-6, 1e6, "Gb/s")
LATENCY = Bounds(0, 1e4, "ms")
PRICE = Bounds(0, 1e4, "CNY per GB")
KINDS = ("hub", "cluster", "city")

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_UNPRICED = Figure(0.0, "none stated")
_FAULTY = Figure(math.nan, "")


@dataclass(frozen=True, slots=True)
class _Class:
    """What the links of one class have in common; None: each states its own."""

    bandwidth: Figure | None = None
    price: Figure | None = None


def load(text: str | bytes) -> NetworkFile:
    """The network that a file describes, with sources and warnings.

    Raises InvalidSpec with every problem found, in the order of the file.
    """
    faults = Faults()
    result = _Reading(faults).file(read(text))
    faults.raise_if_any()
    return result


class _Reading:
    """One reading: what was declared so far, for what comes later to refer to."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.citations = Citations(faults)
        self.classes: dict[str, _Class] = {}
        self.latency_provenance = ""
        self.nodes: dict[str, NetworkNode] = {}
        self.node_sources: list[str] = []
        self.english: dict[str, str] = {}
        self.hubs_named: list[Spot] = []
        self.links: dict[tuple[str, str], Link] = {}
        self.link_sources: list[str] = []

    def file(self, root: Spot) -> NetworkFile:
        optional = ("apiVersion", "name", "attribution", "sources", "latency", "classes")
        fields = root.fields(self.faults, ("nodes", "links"), optional)
        self._head(fields)
        for spot in self._list(fields, "nodes", NODES_MAX):
            self._node(spot)
        self._check_hubs()
        for spot in self._list(fields, "links", LINKS_MAX):
            self._link(spot)
        self._check_connected(root)
        return NetworkFile(
            network=Network(tuple(self.nodes.values()), tuple(self.links.values())),
            name=self._text(fields, "name"),
            english=tuple(self.english.items()),
            node_sources=tuple(self.node_sources),
            link_sources=tuple(self.link_sources),
            sources=self.citations.sources,
            attribution=self._text(fields, "attribution").strip(),
            warnings=tuple(self.faults.warnings),
        )

    # --- records ------------------------------------------------------------

    def _head(self, fields: Mapping[str, Spot]) -> None:
        if (version := fields.get("apiVersion")) and version.text(self.faults) != "suan/v1":
            self.faults.report(version, "UnknownVersion", "must be suan/v1")
        for name, spot in self._map(fields, "sources"):
            self.citations.declare(name, spot)
        if latency := fields.get("latency"):
            self._latency(latency)
        for name, spot in self._map(fields, "classes"):
            self.classes[name] = self._class(spot)

    def _latency(self, spot: Spot) -> None:
        """The model behind the latencies: only its provenance is kept."""
        numbers = ("base_ms", "detour", "ms_per_km")
        fields = spot.fields(self.faults, numbers, KEYS)
        for name in numbers:
            self._number(fields, name, LATENCY)
        self.latency_provenance = self.citations.of(spot, fields)

    def _class(self, spot: Spot) -> _Class:
        fields = spot.fields(self.faults, (), ("bandwidth_gbps", "yuan_per_gb", *KEYS))
        return self._figures(fields, self.citations.of(spot, fields, required=False))

    def _node(self, spot: Spot) -> None:
        required = ("name", "latitude", "longitude")
        fields = spot.fields(self.faults, required, ("kind", "title", "english", "hub", *KEYS))
        provenance = self.citations.of(spot, fields)
        node = NetworkNode(
            name=self._name(fields),
            kind=self._kind(fields),
            latitude=self._number(fields, "latitude", Bounds(-90, 90, "degrees")),
            longitude=self._number(fields, "longitude", Bounds(-180, 180, "degrees")),
            hub=self._text(fields, "hub"),
            title=self._text(fields, "title"),
        )
        if node.hub:
            self.hubs_named.append(fields["hub"])
        if node.name in self.nodes:
            self.faults.report(spot, "DuplicateNode", f"the node {node.name} stands here twice")
        elif node.name:
            self.nodes[node.name] = node
            self.node_sources.append(provenance)
            if english := self._text(fields, "english"):
                self.english[node.name] = english

    def _link(self, spot: Spot) -> None:
        optional = ("class", "bandwidth_gbps", "yuan_per_gb", "down", *KEYS)
        fields = spot.fields(self.faults, ("a", "b", "latency_ms"), optional)
        provenance = self.citations.of(spot, fields)
        own, common = self._figures(fields, provenance), self._common(fields)
        bandwidth = own.bandwidth or common.bandwidth
        price = own.price or common.price or _UNPRICED
        if bandwidth is None:
            message = "states no bandwidth_gbps, and neither does its class"
            self.faults.report(spot, "MissingKey", message, "give a class or bandwidth_gbps")
        link = Link(
            a=self._end(fields, "a"),
            b=self._end(fields, "b"),
            bandwidth_gbps=(bandwidth or _FAULTY).value,
            latency_ms=self._number(fields, "latency_ms", LATENCY),
            yuan_per_gb=price.value,
            down=self._is_down(fields),
        )
        if link.a and link.b and self._is_new(spot, link):
            self.links[ends(link)] = link
            words = {
                "link": provenance,
                "latency": self.latency_provenance or provenance,
                "bandwidth": (bandwidth or _FAULTY).provenance,
                "price": price.provenance,
            }
            self.link_sources.append(". ".join(f"{key}: {text}" for key, text in words.items()))

    # --- values -------------------------------------------------------------

    def _figures(self, fields: Mapping[str, Spot], provenance: str) -> _Class:
        figure = self.citations.figure
        return _Class(
            figure(fields.get("bandwidth_gbps"), provenance, BANDWIDTH),
            figure(fields.get("yuan_per_gb"), provenance, PRICE),
        )

    def _common(self, fields: Mapping[str, Spot]) -> _Class:
        name = self._text(fields, "class")
        if not name or name in self.classes:
            return self.classes.get(name, _Class())
        self._report_unknown(fields["class"], "UnknownClass", "class", self.classes)
        return _Class(_FAULTY)  # one fault, one problem: its bandwidth is not missing as well

    def _name(self, fields: Mapping[str, Spot]) -> str:
        name = self._text(fields, "name")
        if name and not (len(name) <= NAME_CHARACTERS_MAX and _NAME.fullmatch(name)):
            message = f"{name[:64]!r} is not a name of at most {NAME_CHARACTERS_MAX} characters"
            self.faults.report(fields["name"], "BadName", message, "use a-z, 0-9 and -")
            return ""
        return name

    def _kind(self, fields: Mapping[str, Spot]) -> str:
        kind = self._text(fields, "kind") or "city"
        if kind not in KINDS:
            hint = nearest(kind, KINDS) or f"one of {', '.join(KINDS)}"
            self.faults.report(fields["kind"], "UnknownWord", f"{kind[:64]!r} is no kind", hint)
        return kind

    def _end(self, fields: Mapping[str, Spot], key: str) -> str:
        name = self._text(fields, key)
        if name and self.nodes and name not in self.nodes:
            self._report_unknown(fields[key], "UnknownNode", "node", self.nodes)
        return name

    def _is_down(self, fields: Mapping[str, Spot]) -> bool:
        word = self._text(fields, "down") or "false"
        if word not in ("true", "false"):
            self.faults.report(fields["down"], "UnknownWord", f"{word[:64]!r} is not true or false")
        return word == "true"

    def _text(self, fields: Mapping[str, Spot], key: str) -> str:
        return fields[key].text(self.faults) if key in fields else ""

    def _number(self, fields: Mapping[str, Spot], key: str, bounds: Bounds) -> float:
        if key not in fields:
            return math.nan
        return fields[key].number(self.faults, bounds.least, bounds.most, bounds.unit)

    def _map(self, fields: Mapping[str, Spot], key: str) -> list[tuple[str, Spot]]:
        return list(fields[key].entries(self.faults).items()) if key in fields else []

    def _list(self, fields: Mapping[str, Spot], key: str, most: int) -> list[Spot]:
        spots = fields[key].items(self.faults) if key in fields else []
        if len(spots) > most:
            self.faults.report(fields[key], "ListTooLong", f"has more than {most:,} entries")
        return spots[:most]

    # --- what must hold between records -------------------------------------

    def _is_new(self, spot: Spot, link: Link) -> bool:
        if link.a == link.b:
            self.faults.report(spot, "SelfLink", f"links {link.a} to itself")
        elif ends(link) in self.links:
            message = f"{link.a} and {link.b} are linked already"
            hint = "links work both ways; for a second line, raise the bandwidth of the first"
            self.faults.report(spot, "DuplicateLink", message, hint)
        else:
            return True
        return False

    def _check_hubs(self) -> None:
        hubs = {name: node for name, node in self.nodes.items() if node.kind == "hub"}
        for spot in self.hubs_named:
            if spot.node.value not in hubs:
                self._report_unknown(spot, "UnknownNode", "hub", hubs)

    def _check_connected(self, root: Spot) -> None:
        apart = unreachable(tuple(self.nodes), self.links)
        if apart:
            first = next(iter(self.nodes))
            some = ", ".join(apart[:5]) + (", …" if len(apart) > 5 else "")
            message = f"{len(apart)} of {len(self.nodes)} nodes have no way to {first}: {some}"
            hint = "no data can be staged between them"
            self.faults.warn(root, "Disconnected", message, hint)

    def _report_unknown(
        self, spot: Spot, code: str, what: str, known: Mapping[str, object]
    ) -> None:
        name = str(spot.node.value)[:64]
        hint = nearest(name, known) or "none is near; see those that the file declares"
        self.faults.report(spot, code, f"no {what} is called {name!r}", hint)
