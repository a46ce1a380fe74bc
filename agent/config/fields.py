"""agent.yaml as one literal table: each key, its shape, its meaning. There is no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agent.config.jobs import ACCOUNTS, CONTAINERS
from agent.config.offers import FIGURES
from agent.config.probe import EXPORTER
from agent.config.ranktables import RANKTABLE
from agent.config.values import (
    ADDRESS,
    BROKER,
    ENDPOINT,
    NODE_NAME,
    PLACE,
    RAW_NAME,
    TENANT,
    Model,
    count,
    number,
    pair,
)
from agent.config.windows import POLICY_FIELDS, TIME_ZONE, policy_from
from agent.kubernetes.config import KUBERNETES
from agent.policy import EVERYTHING, PoolPolicy
from agent.probes.exporters import EXPORTERS
from agent.probes.reading import ExporterProbe
from agent.ray.config import RAY
from agent.slurm.config import SLURM
from scheduler.model import Accelerator
from suan.identity.address import ADDRESSES_MAX
from suan.jobspec import limits, units
from suan.jobspec.limits import Fault, Range
from suan.jobspec.shapes import (
    Choice,
    Either,
    Field,
    ListOf,
    MapOf,
    Record,
    Scalar,
    text,
)

BACKENDS = ("process", "slurm", "ray", "kubernetes", "noop")
# Probe -> kinds of accelerator that it reads.
PROBE_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "nvidia-smi": ("gpu",),
        "npu-smi": ("npu",),
        "hy-smi": ("dcu",),
        "rocm-smi": ("dcu", "gpu"),
    }
)
EXPORTER_KINDS = {name: exporter.kinds for name, exporter in EXPORTERS.items()}
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
    software: tuple[str, ...] = ()
    probe: str | ExporterProbe = ""
    policy: PoolPolicy = EVERYTHING

    @property
    def node_names(self) -> tuple[str, ...]:
        if isinstance(self.nodes, int):
            return tuple(f"{self.name}-n{number}" for number in range(self.nodes))
        return self.nodes


def _pool(**values: Any) -> PoolDraft:
    """A pool whose values agree with each other. Raises Fault."""
    draft = PoolDraft(**policy_from(values))
    names = draft.node_names
    if len(set(names)) < len(names):
        raise Fault("DuplicateName", "names a node twice")
    if not draft.probe:
        return draft
    kind, probe = draft.accelerator.kind, draft.probe
    exporter = isinstance(probe, ExporterProbe)
    name = probe.exporter if isinstance(probe, ExporterProbe) else probe
    known = EXPORTER_KINDS if exporter else PROBE_KINDS
    if kind not in known[name]:
        wanted = " or ".join(each for each, kinds in known.items() if kind in kinds)
        message = f"{name} does not read a {kind} such as {draft.accelerator.model}"
        raise Fault("WrongProbe", message, f"use {wanted}")
    if len(names) > 1 and not exporter:
        message = f"a tool reads this machine alone, but the pool has {len(names)} nodes"
        hint = "probe: {exporter: …, url: …} reads every node; without, all cards count as healthy"
        raise Fault("WrongProbe", message, hint)
    return draft


def _words(*words: str) -> Choice:
    return Choice({word: word for word in words})


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
        Field("cards_per_node", count(1, 1024, "cards"), "physical cards, not dies", required=True),
        Field(
            "supernode_nodes",
            count(1, NODES_MAX, "nodes"),
            "nodes of one supernode; default: by the model",
        ),
        Field("cpus_per_node", count(1, 4096, "CPUs"), "CPUs of a node", foreign=("cpus",)),
        Field(
            "memory_gib_per_node",
            number(1, 65_536, "GiB"),
            "main memory of a node, GiB",
            foreign=("memory",),
        ),
        *FIGURES,
        Field(
            "probe",
            Either(_words(*PROBE_KINDS), EXPORTER),
            "tool that reads this machine's cards, or an exporter on its nodes; default: none",
        ),
        *POLICY_FIELDS,
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
        Field("data_gib_max", number(1, 1e9, "GiB"), "of downloaded inputs kept; default: 100"),
        Field(
            "data_hosts",
            ListOf(text(ADDRESS)),
            "servers with private addresses that inputs may come from; default: none",
        ),
        Field(
            "data_s3_endpoint", text(ENDPOINT), "S3-compatible store, https://host; default: none"
        ),
        Field("data_s3_region", text(RAW_NAME), "its region, where it has any"),
        Field("data_s3_credentials", text(limits.DIRECTORY), "file of the site's account there"),
        Field("data_sftp_user", text(RAW_NAME), "the site's account at SFTP servers"),
        Field("data_sftp_key", text(limits.DIRECTORY), "file of its private key"),
        Field(
            "data_sftp_known_hosts",
            text(limits.DIRECTORY),
            "file of the host keys of the servers that may be asked, as of ssh",
        ),
        Field(
            "store",
            text(limits.DIRECTORY),
            "where checkpoints and outputs are published: s3://bucket/prefix, sftp://host/dir, "
            "or a directory that other sites see too; default: they stay here",
        ),
        Field(
            "store_destinations",
            ListOf(text(limits.DIRECTORY)),
            "URLs below which jobs may publish outputs too; default: none",
        ),
        Field("city", text(PLACE), "the site's place in the national network; default: site"),
        Field("region", text(RAW_NAME), "for rules of data residency"),
        Field("backend", _words(*BACKENDS), "the site's cluster manager; default: process"),
        Field("pools", ListOf(POOL, 1, POOLS_MAX), "the site's accelerators; not with a cluster"),
        Field("slurm", SLURM, "how Slurm is used; with backend slurm only"),
        Field("ray", RAY, "how a Ray is used; with backend ray only"),
        Field("kubernetes", KUBERNETES, "how a cluster is used; with backend kubernetes only"),
        Field("node_address", text(ADDRESS), "where ranks reach each other; default: 127.0.0.1"),
        Field(
            "grace_seconds",
            number(1, 3600, "seconds"),
            "between SIGTERM and SIGKILL; default: 30",
            foreign=("grace",),
        ),
        Field("time_limit_seconds_max", number(1, 1e9, "seconds"), "longest job; default: any"),
        Field("probe_seconds", number(1, 86_400, "seconds"), "between readings; default: 30"),
        Field("time_zone", TIME_ZONE, "of the pools' windows, e.g. Asia/Shanghai; default: UTC"),
        Field("internet", _words("none", "outbound"), "what the nodes reach; default: not stated"),
        Field(
            "exec",
            _words("allowed", "denied"),
            "`suan exec`: users' commands beside their own jobs; default: denied",
        ),
        Field("pue", number(1.0, 5.0), "power usage effectiveness; default: 1.3"),
        Field("grid_kg_per_kwh", number(0, 5), "kg of CO2 per kWh; default: 0.5703"),
        Field("failures_per_card_day", number(0, 1), "as measured; default: 0"),
        Field("restart_seconds", number(0, 86_400, "seconds"), "to start anew; default: 120"),
        Field(
            "egress_yuan_per_gb",
            number(0, 1e4, "CNY per GB"),
            "asked for data that leaves the site; default: 0",
        ),
        Field(
            "checkpoint_gb_per_second",
            number(0.001, 1e6, "GB/s"),
            "that one gang can write to shared storage; default: not stated",
        ),
        Field("tenants", TENANTS, "who may use the site", foreign=("allow", "deny")),
        Field(
            "accounts",
            ACCOUNTS,
            "tenant -> {user: …} under whom its jobs run; default: all as the agent",
            foreign=("users", "account_map", "identity_mapping"),
        ),
        Field(
            "containers",
            CONTAINERS,
            "in which images jobs may run; default: in none",
            foreign=("images", "singularity", "apptainer"),
        ),
        Field(
            "environment",
            MapOf(limits.VARIABLE, Scalar(str, limits.VARIABLE_VALUE, {"type": "string"}), pair),
            "variables for every job of this site",
            foreign=("env", "envs"),
        ),
        Field("ranktable", RANKTABLE, "what HCCL must know of Ascend nodes; default: nothing"),
        Field(
            "names",
            MapOf(RAW_NAME, Model(), pair),
            "what this site's tools print -> model",
        ),
    ),
)
