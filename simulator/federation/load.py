"""Reading a federation file: all its faults at once, each with its line and what to do.

The format is described at the head of `examples/federations/three-sites.yaml`. Keys of
sites and pools are those of agent.yaml.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scheduler.model import Accelerator, Dataset, Link, Network, NetworkNode, Pool, Site
from simulator.federation.model import (
    CARDS_PER_NODE_MAX,
    NODES_PER_POOL_MAX,
    Cut,
    Federation,
    Outage,
    empty_supernodes,
)
from simulator.federation.values import Values
from suan.catalogue import load as load_catalogue
from suan.errors import InvalidRequest, InvalidSpec
from suan.network import load as load_network
from suan.network.graph import ends, unreachable
from suan.network.provenance import Bounds
from suan.network.reading import Faults, Spot, read

SITES_MAX = 10_000
POOLS_MAX = 50_000
LIST_MAX = 100_000
NODES = Bounds(1, NODES_PER_POOL_MAX, "nodes")
CARDS = Bounds(1, CARDS_PER_NODE_MAX, "cards")
HOURS = Bounds(0, 1e6, "hours")
SIZE = Bounds(0, 1e9, "GB")
WEIGHT = Bounds(1e-6, 1e6, "")
BANDWIDTH = Bounds(1e-6, 1e6, "Gb/s")
LATENCY = Bounds(0, 1e4, "ms")

_SITE_NUMBERS = {
    "pue": Bounds(1, 10, ""),
    "grid_kg_per_kwh": Bounds(0, 10, "kg per kWh"),
    "failures_per_card_day": Bounds(0, 1, "per card and day"),
    "restart_seconds": Bounds(0, 1e6, "s"),
    "time_limit_seconds_max": Bounds(0, 1e9, "s"),
}
_POOL_NUMBERS = {
    "memory_gib_per_node": Bounds(0, 1e6, "GiB"),
    "yuan_per_card_hour": Bounds(0, 1e6, "CNY per card-hour"),
    "utilisation": Bounds(0.01, 1, "of peak"),
}
_LINK_NUMBERS = {
    "bandwidth_gbps": BANDWIDTH,
    "latency_ms": LATENCY,
    "yuan_per_gb": Bounds(0, 1e4, "CNY per GB"),
}


def load_federation(path: Path) -> Federation:
    """The federation that a file describes; `network:` in it counts from the file's folder.

    Raises InvalidSpec with every problem found, InvalidRequest when it cannot be read.
    """
    faults = Faults()
    result = _Reading(faults, path.parent).file(read(_text(path)))
    faults.raise_if_any()
    return replace(result, warnings=tuple(faults.warnings))


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise InvalidRequest(message, "name a federation file", code="FileUnreadable") from None


class _Reading(Values):
    """One reading: what was declared so far, for what comes later to refer to."""

    def __init__(self, faults: Faults, folder: Path) -> None:
        super().__init__(faults)
        self.folder = folder
        self.catalogue = load_catalogue()
        self.nodes: dict[str, NetworkNode] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.sites: dict[str, Site] = {}
        self.pools: dict[str, Pool] = {}
        self.models: dict[str, Accelerator] = {}
        self.datasets: dict[str, Dataset] = {}
        self.outages: list[Outage] = []
        self.cuts: list[Cut] = []

    def file(self, root: Spot) -> Federation:
        optional = ("apiVersion", "name", "network", "links", "datasets", "tenants", "failures")
        fields = root.fields(self.faults, ("sites",), optional)
        if (version := fields.get("apiVersion")) and version.text(self.faults) != "suan/v1":
            self.faults.report(version, "UnknownVersion", "must be suan/v1")
        if "network" in fields:
            self._network(fields["network"])
        for spot in self.list(fields, "links", LIST_MAX):
            self._link(spot)
        for spot in self.list(fields, "sites", SITES_MAX):
            self._site(spot)
        self._check_connected(root)
        for spot in self.list(fields, "datasets", LIST_MAX):
            self._dataset(spot)
        for spot in self.list(fields, "failures", LIST_MAX):
            self._failure(spot)
        weights = fields["tenants"].entries(self.faults) if "tenants" in fields else {}
        return Federation(
            name=self.text(fields, "name"),
            sites=tuple(self.sites.values()),
            pools=tuple(self.pools.values()),
            accelerators=tuple(self.models.values()),
            network=Network(tuple(self.nodes.values()), tuple(self.links.values())),
            datasets=tuple(self.datasets.values()),
            weights=tuple((name, self.bounded(spot, WEIGHT)) for name, spot in weights.items()),
            outages=tuple(self.outages),
            cuts=tuple(self.cuts),
        )

    # --- records ------------------------------------------------------------

    def _network(self, spot: Spot) -> None:
        """The network file that this one names, with its problems told as this one's."""
        name = spot.text(self.faults)
        if not name:
            return
        try:
            file = load_network((self.folder / name).read_bytes())
        except OSError as error:
            message = f"cannot read {name}: {error.strerror or error}"
            hint = "paths count from the folder of this file"
            self.faults.report(spot, "FileUnreadable", message, hint)
            return
        except InvalidSpec as bad:
            for problem in bad.problems:
                self.faults.report(spot, problem.code, f"{name}: {problem}")
            return
        self.faults.warnings.extend(file.warnings)
        self.nodes = {node.name: node for node in file.network.nodes}
        self.links = {ends(link): link for link in file.network.links}

    def _link(self, spot: Spot) -> None:
        """A link of its own, or other figures for one of the network file."""
        required = ("a", "b", "bandwidth_gbps", "latency_ms")
        fields = spot.fields(self.faults, required, ("yuan_per_gb",))
        a, b = self.text(fields, "a"), self.text(fields, "b")
        numbers = self.numbers(fields, _LINK_NUMBERS)
        if not a or not b or {"bandwidth_gbps", "latency_ms"} - numbers.keys():
            return
        if a == b:
            self.faults.report(spot, "SelfLink", f"links {a} to itself")
            return
        for end in (a, b):
            self.nodes.setdefault(end, NetworkNode(end))
        price = numbers.get("yuan_per_gb", 0.0)
        link = Link(a, b, numbers["bandwidth_gbps"], numbers["latency_ms"], price)
        self.links[ends(link)] = link

    def _site(self, spot: Spot) -> None:
        optional = ("city", "region", "tenants", *_SITE_NUMBERS)
        fields = spot.fields(self.faults, ("name", "pools"), optional)
        name = self.text(fields, "name")
        tenants: dict[str, Spot] = {}
        if "tenants" in fields:
            tenants = fields["tenants"].fields(self.faults, (), ("allow", "deny"))
        plain = Site(
            name=name,
            city=self._city(fields),
            region=self.text(fields, "region"),
            tenants_allowed=self.names(tenants, "allow"),
            tenants_denied=self.names(tenants, "deny"),
        )
        numbers: Any = self.numbers(fields, _SITE_NUMBERS)
        site = replace(plain, **numbers)
        if name in self.sites:
            self.faults.report(spot, "DuplicateSite", f"the site {name} stands here twice")
        elif name:
            self.sites[name] = site
        pools = self.list(fields, "pools", POOLS_MAX)
        if "pools" in fields and fields["pools"].is_list and not pools:
            self.faults.report(fields["pools"], "NoPools", "the site has no pool")
        for each in pools:
            self._pool(each, name)

    def _city(self, fields: Mapping[str, Spot]) -> str:
        """The site's node in the network; without `city`, that of its own name."""
        key = "city" if "city" in fields else "name"
        city = self.text(fields, key)
        if city and self.nodes and city not in self.nodes:
            self.unknown(fields[key], "UnknownNode", "node of the network", self.nodes)
        return city

    def _pool(self, spot: Spot, site: str) -> None:
        required = ("name", "accelerator", "nodes", "cards_per_node")
        optional = ("supernode_nodes", "cpus_per_node", "linearity", *_POOL_NUMBERS)
        fields = spot.fields(self.faults, required, optional)
        accelerator = self._accelerator(fields)
        nodes = self.whole(fields, "nodes", NODES)
        cards = self.whole(fields, "cards_per_node", CARDS)
        together = self.whole(fields, "supernode_nodes", NODES)
        cpus = self.whole(fields, "cpus_per_node", Bounds(0, 1e5, "CPUs"))
        numbers: Any = self.numbers(fields, _POOL_NUMBERS)
        name = self.text(fields, "name")
        if not (name and site and accelerator and nodes and cards):
            return
        together = together or max(1, accelerator.supernode_cards // cards)
        pool = Pool(
            site=site,
            name=name,
            accelerator=accelerator.model,
            cards_per_node=cards,
            cards_total=nodes * cards,
            cards_usable=nodes * cards,
            supernodes=empty_supernodes(nodes, cards, together),
            cpus_per_node=cpus,
            linearity=self._linearity(fields),
            **numbers,
        )
        if pool.key in self.pools:
            self.faults.report(spot, "DuplicatePool", f"the pool {pool.key} stands here twice")
        self.pools[pool.key] = pool

    def _accelerator(self, fields: Mapping[str, Spot]) -> Accelerator | None:
        name = self.text(fields, "accelerator")
        model = self.catalogue.resolve(name) if name else None
        if name and model is None:
            near = self.catalogue.suggest(name)
            hint = f"did you mean {' or '.join(near)}?" if near else "see `suan accelerators`"
            message = f"no accelerator is called {name[:64]!r}"
            self.faults.report(fields["accelerator"], "UnknownAccelerator", message, hint)
        if model is None:
            return None
        return self.models.setdefault(model, self.catalogue.get(model))

    def _linearity(self, fields: Mapping[str, Spot]) -> tuple[tuple[int, float], ...]:
        if "linearity" not in fields:
            return ()
        points = {}
        for cards, spot in fields["linearity"].entries(self.faults).items():
            if not cards.isdecimal() or not 1 <= int(cards) <= 10**7:
                self.faults.report(spot, "WrongType", f"{cards[:64]!r} is no number of cards")
                continue
            points[int(cards)] = self.bounded(spot, Bounds(0.01, 1, "of linear"))
        return tuple(sorted(points.items()))

    def _dataset(self, spot: Spot) -> None:
        required = ("name", "size_gb", "replicas")
        fields = spot.fields(self.faults, required, ("regions_allowed",))
        numbers = self.numbers(fields, {"size_gb": SIZE})
        name, replicas = self.text(fields, "name"), self.names(fields, "replicas", self.sites)
        if name in self.datasets:
            self.faults.report(spot, "DuplicateDataset", f"the dataset {name} stands here twice")
        size = numbers.get("size_gb", math.nan)
        if name and math.isfinite(size):
            regions = self.names(fields, "regions_allowed")
            self.datasets[name] = Dataset(name, int(size * 1e9), replicas, regions)

    def _failure(self, spot: Spot) -> None:
        """A site or a link that is away for a while."""
        fields = spot.fields(self.faults, ("from_hours", "until_hours"), ("site", "link"))
        hours = self.numbers(fields, {"from_hours": HOURS, "until_hours": HOURS})
        if ("site" in fields) == ("link" in fields):
            self.faults.report(spot, "Contradiction", "must name either a site or a link")
            return
        if len(hours) < 2:
            return
        begin, end = hours["from_hours"] * 3600, hours["until_hours"] * 3600
        if end <= begin:
            self.faults.report(spot, "OutOfRange", "ends before it begins")
        elif "site" in fields:
            if name := "".join(self.known(fields["site"], "site", self.sites)):
                self.outages.append(Outage(name, begin, end))
        else:
            self._cut(fields["link"], begin, end)

    def _cut(self, spot: Spot, begin: float, end: float) -> None:
        names = [each.text(self.faults) for each in spot.items(self.faults)]
        if len(names) != 2 or tuple(sorted(names)) not in self.links:
            message = "must be the two ends of a link of the network"
            self.faults.report(spot, "UnknownLink", message, "e.g. [guizhou, greater-bay]")
            return
        self.cuts.append(Cut(names[0], names[1], begin, end))

    # --- what must hold between records -------------------------------------

    def _check_connected(self, root: Spot) -> None:
        """Sites that no data can reach: told, not refused."""
        cities = list(dict.fromkeys(site.city for site in self.sites.values() if site.city))
        nodes = [*cities, *(name for name in self.nodes if name not in cities)]
        apart = [city for city in unreachable(nodes, self.links) if city in cities]
        if apart:
            message = f"no data can be staged between {cities[0]} and {', '.join(apart[:5])}"
            hint = "link them, or keep what their jobs read at both"
            self.faults.warn(root, "Disconnected", message, hint)
