"""The national network, the data that lie in it, and the transfers that fill it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """An undirected link of the national network."""

    a: str
    b: str
    bandwidth_gbps: float
    latency_ms: float  # one way
    yuan_per_gb: float = 0.0
    booked_gbps: float = 0.0  # of the bandwidth, kept for others at all times
    down: bool = False  # out of service: nothing goes this way


@dataclass(frozen=True, slots=True)
class NetworkNode:
    """A hub, a cluster city or a plain city; sites sit at nodes."""

    name: str
    kind: str = "city"  # "hub" | "cluster" | "city"
    latitude: float = 0.0
    longitude: float = 0.0
    hub: str = ""  # the hub it belongs to, if any
    title: str = ""  # the name in Chinese


@dataclass(frozen=True, slots=True)
class Network:
    """The national network model: a graph of hubs and cities."""

    nodes: tuple[NetworkNode, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named body of data and the sites that hold a whole copy."""

    name: str
    size_bytes: int
    replicas: tuple[str, ...]  # site names
    regions_allowed: tuple[str, ...] = ()  # residency; empty: anywhere
    cached: tuple[str, ...] = ()  # sites whose caches hold it: there, but not to be sent on


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes on their way over links of the network, or booked to be.

    `links` are places in the network's links, in order; empty: within a city.
    """

    key: str
    links: tuple[int, ...]
    size_bytes: float  # what is left of it
    begins_at: float = 0.0  # wall seconds; in the past: under way


@dataclass(frozen=True, slots=True)
class Fetch:
    """An input that must come to a placement from another site."""

    dataset: str
    source: str  # the site whose copy is nearest by time
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Prestaging:
    """An input worth sending to a pool's site while a job that will go there still waits."""

    pool: str  # pool key
    fetch: Fetch
