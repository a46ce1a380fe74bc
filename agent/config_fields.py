"""agent.yaml as one literal table: each key, its shape, its meaning. There is no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml

from scheduler.model import Accelerator
from suan.identity.address import ADDRESSES_MAX
from suan.jobspec import limits, units
from suan.jobspec.limits import Fault, Range, TextRule, quoted
from suan.jobspec.reader import Reader
from suan.jobspec.shapes import (
    Choice,
    Either,
    Field,
    Integer,
    Json,
    ListOf,
    MapOf,
    Record,
    Scalar,
    text,
    text_schema,
)

BACKENDS = ("process", "noop")
# Probe -> kinds of accelerator that it reads.
PROBE_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "nvidia-smi": ("gpu",),
        "npu-smi": ("npu",),
        "hy-smi": ("dcu",),
        "rocm-smi": ("dcu", "gpu"),
    }
)
NODE_NAME = TextRule(128, r"[A-Za-z0-9][A-Za-z0-9._-]*", "a node name")
ADDRESS = TextRule(255, r"[A-Za-z0-9.:_-]+", "a host name or an address")
BROKER = TextRule(261, r"[A-Za-z0-9.:\[\]_-]+:[0-9]{1,5}", "host:port, e.g. broker.example.cn:443")
PLACE = TextRule(63, r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a name (a-z, 0-9 and -)")
TENANT = TextRule(128, r"[A-Za-z0-9][A-Za-z0-9._/-]*", "a tenant")
CARD_COUNT = TextRule(7, r"[1-9][0-9]*", "a number of cards")
RAW_NAME = TextRule(128, r"[^\x00-\x1f\x7f]+", "a name on one line")
NODES_MAX = 100_000
POOLS_MAX = 256


@dataclass(frozen=True, slots=True)
class PoolDraft:
    """One pool as it stands in the file; 0 and "" where the default stands."""

    name: str
    accelerator: Accelerator
    nodes: tuple[str, ...] | int
    cards_per_node: int
    supernode_nodes: int = 0
    cpus_per_node: int = 0
    memory_gib_per_node: float = 0.0
    yuan_per_card_hour: float = 0.0
    utilisation: float = 0.4
    linearity: tuple[tuple[int, float], ...] = ()
    probe: str = ""

    @property
    def node_names(self) -> tuple[str, ...]:
        if isinstance(self.nodes, int):
            return tuple(f"{self.name}-n{number}" for number in range(self.nodes))
        return self.nodes


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue, by any of its names."""

    def read(self, node: yaml.Node, path: str, reader: Reader) -> Accelerator | None:
        name = text(limits.NAME).read(node, path, reader)
        if name is None:
            return None
        canonical = reader.catalogue.resolve(name)
        if canonical is not None:
            return reader.catalogue.get(canonical)
        near = reader.catalogue.suggest(name)
        hint = f"did you mean {' or '.join(near)}?" if near else "see `suan accelerators`"
        message = f"no accelerator is called {quoted(name)}"
        reader.report(path, Fault("UnknownAccelerator", message, hint))
        return None

    def schema(self) -> Json:
        return text_schema(limits.MODEL)


def _pool(**values: Any) -> PoolDraft:
    """A pool whose values agree with each other. Raises Fault."""
    draft = PoolDraft(**values)
    names = draft.node_names
    if len(set(names)) < len(names):
        raise Fault("DuplicateName", "names a node twice")
    if not draft.probe:
        return draft
    kind = draft.accelerator.kind
    if kind not in PROBE_KINDS[draft.probe]:
        wanted = " or ".join(tool for tool, kinds in PROBE_KINDS.items() if kind in kinds)
        message = f"{draft.probe} does not read a {kind} such as {draft.accelerator.model}"
        raise Fault("WrongProbe", message, f"use {wanted}")
    if len(names) > 1:
        message = f"a probe reads this machine alone, but the pool has {len(names)} nodes"
        raise Fault("WrongProbe", message, "without a probe the declared cards count as healthy")
    return draft


def _number(least: float, most: float, unit: str = "") -> Scalar[float]:
    rule = Range(least, most, unit)
    json: dict[str, object] = {"type": "number", "minimum": least, "maximum": most}
    return Scalar(units.number, rule, json, "a number")


def _count(least: int, most: int, unit: str) -> Integer:
    return Integer(Range(least, most, unit), least, most)


def _words(*words: str) -> Choice:
    return Choice({word: word for word in words})


def _pair(key: str, value: Any) -> tuple[str, Any]:
    return key, value


def _measured(cards: str, fraction: float) -> tuple[int, float]:
    return int(cards), fraction


def _node_count(text: str) -> int:
    return units.integer(text)


POOL: Record[PoolDraft] = Record(
    _pool,
    (
        Field("name", text(PLACE), "unique within the site", required=True),
        Field(
            "accelerator",
            Model(),
            "model, e.g. ascend-910b; see `suan accelerators`",
            required=True,
            foreign=("model", "type", "gpu"),
        ),
        Field(
            "nodes",
            Either(
                Scalar(_node_count, Range(1, NODES_MAX, "nodes"), {"type": "integer"}, "a number"),
                ListOf(text(NODE_NAME), 1),
            ),
            "how many nodes, or a list of their names",
            required=True,
            foreign=("count", "num_nodes"),
        ),
        Field(
            "cards_per_node", _count(1, 1024, "cards"), "physical cards, not dies", required=True
        ),
        Field(
            "supernode_nodes",
            _count(1, NODES_MAX, "nodes"),
            "nodes of one supernode; default: by the model",
        ),
        Field("cpus_per_node", _count(1, 4096, "CPUs"), "CPUs of a node", foreign=("cpus",)),
        Field(
            "memory_gib_per_node",
            _number(1, 65_536, "GiB"),
            "main memory of a node, GiB",
            foreign=("memory",),
        ),
        Field("yuan_per_card_hour", _number(0, 1e6, "CNY"), "price", foreign=("price", "max_cost")),
        Field("utilisation", _number(0.01, 1.0), "share of peak that real work reaches"),
        Field(
            "linearity",
            MapOf(CARD_COUNT, _number(0.01, 1.0), _measured),
            "measured: cards -> fraction of linear speed-up, e.g. {1024: 0.93}",
        ),
        Field("probe", _words(*PROBE_KINDS), "tool that reads this machine's cards; default: none"),
    ),
)

TENANTS: Record[dict[str, Any]] = Record(
    dict,
    (
        Field("allow", ListOf(text(TENANT)), "only these; default: all", attribute="allowed"),
        Field("deny", ListOf(text(TENANT)), "never these", attribute="denied"),
    ),
)

AGENT_FILE: Record[dict[str, Any]] = Record(
    dict,
    (
        Field("site", text(limits.SITE), "the site's name in the federation", required=True),
        Field(
            "broker",
            Either(text(BROKER), ListOf(text(BROKER), 1, ADDRESSES_MAX)),
            "host:port of the broker, or a list of all that may lead",
            required=True,
            foreign=("address", "server", "broker_address"),
        ),
        Field("state_dir", text(limits.DIRECTORY), "on a local disk", required=True),
        Field("identity_dir", text(limits.DIRECTORY), "default: identity in state_dir"),
        Field(
            "data_roots",
            ListOf(text(limits.DIRECTORY)),
            "directories whose datasets jobs may read; default: none",
        ),
        Field("data_gib_max", _number(1, 1e9, "GiB"), "of downloaded inputs kept; default: 100"),
        Field(
            "data_hosts",
            ListOf(text(ADDRESS)),
            "servers with private addresses that inputs may come from; default: none",
        ),
        Field("city", text(PLACE), "the site's place in the national network; default: site"),
        Field("region", text(RAW_NAME), "for rules of data residency"),
        Field("backend", _words(*BACKENDS), "the site's cluster manager; default: process"),
        Field("pools", ListOf(POOL, 1, POOLS_MAX), "the site's accelerators", required=True),
        Field("node_address", text(ADDRESS), "where ranks reach each other; default: 127.0.0.1"),
        Field(
            "grace_seconds",
            _number(1, 3600, "seconds"),
            "between SIGTERM and SIGKILL; default: 30",
            foreign=("grace",),
        ),
        Field("time_limit_seconds_max", _number(1, 1e9, "seconds"), "longest job; default: any"),
        Field("probe_seconds", _number(1, 86_400, "seconds"), "between readings; default: 30"),
        Field("pue", _number(1.0, 5.0), "power usage effectiveness; default: 1.3"),
        Field("grid_kg_per_kwh", _number(0, 5), "kg of CO2 per kWh; default: 0.5703"),
        Field("failures_per_card_day", _number(0, 1), "as measured; default: 0"),
        Field("restart_seconds", _number(0, 86_400, "seconds"), "to start anew; default: 120"),
        Field("tenants", TENANTS, "who may use the site", foreign=("allow", "deny")),
        Field(
            "environment",
            MapOf(limits.VARIABLE, Scalar(str, limits.VARIABLE_VALUE, {"type": "string"}), _pair),
            "variables for every job of this site",
            foreign=("env", "envs"),
        ),
        Field(
            "names",
            MapOf(RAW_NAME, Model(), _pair),
            "what this site's tools print -> model",
        ),
    ),
)
