"""The `slurm` record of agent.yaml: how a Slurm's partitions become pools of the federation.

One literal table, as in `agent.config.fields`; all but `shared_dir` may be left out, because
Slurm itself says the rest. Knows no Slurm and asks none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from agent.config.offers import FIGURES, POLL_SECONDS, each_once, mapped
from agent.config.probe import PROBE
from agent.config.values import (
    PLACE,
    TENANT,
    Model,
    count,
    number,
    pair,
)
from agent.config.windows import POLICY_FIELDS, policy_from
from agent.slurm.capacity import PartitionOffer
from suan.jobspec import limits
from suan.jobspec.limits import TextRule
from suan.jobspec.shapes import Either, Field, ListOf, MapOf, Record, Scalar, text

PARTITION = TextRule(128, r"[A-Za-z0-9][A-Za-z0-9._-]*", "a partition of Slurm")
ACCOUNT = TextRule(128, r"[A-Za-z0-9_][A-Za-z0-9._-]*", "an account of Slurm")
GRES = TextRule(128, r"[A-Za-z0-9._-]+(:[A-Za-z0-9._+-]+)?", "a GRES, e.g. npu:910b or dcu")
COMMAND = TextRule(4096, r"[^\s\x00-\x1f\x7f]+", "a command without blanks")
PARTITIONS_MAX = 256
NODES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class SlurmConfig:
    """A Slurm, as the site's operator declares it."""

    shared_dir: str  # that this machine and all nodes see at the same path
    conf: str = ""  # slurm.conf; "": the usual place, or SLURM_CONF
    python: str = "python3"  # on the nodes; 3.8 or later
    partitions: tuple[PartitionOffer, ...] = ()  # empty: all
    accelerators: Mapping[str, str] = field(default_factory=dict)  # GRES -> canonical model
    accounts: Mapping[str, str] = field(default_factory=dict)  # tenant -> Slurm's account
    account: str = ""  # of every other tenant; "": Slurm's default
    wait_seconds_max: float = 600.0  # in Slurm's queue; then another site may have the job
    poll_seconds: float = 30.0  # between two questions to Slurm


def _offer(name: str, **values: Any) -> PartitionOffer:
    values["linearity"] = tuple(sorted(values.pop("linearity", ())))
    return PartitionOffer(name, **policy_from(values))


def _bare(name: str) -> PartitionOffer:
    PARTITION.verify(name)
    return PartitionOffer(name)


def _slurm(
    partitions: tuple[PartitionOffer, ...] = (),
    accelerators: tuple[tuple[str, str], ...] = (),
    accounts: tuple[tuple[str, str], ...] = (),
    **values: Any,
) -> SlurmConfig:
    """Raises Fault for what stands twice."""
    each_once("partition", [offer.partition for offer in partitions])
    each_once("pool", [offer.pool or offer.partition for offer in partitions])
    return SlurmConfig(
        partitions=partitions,
        accelerators=MappingProxyType(dict(accelerators)),
        accounts=MappingProxyType(dict(accounts)),
        **values,
    )


OFFER: Record[PartitionOffer] = Record(
    _offer,
    (
        Field("name", text(PARTITION), "the partition", required=True, foreign=("partition",)),
        Field("pool", text(PLACE), "its name in the federation; default: the partition's"),
        *POLICY_FIELDS,
        Field(
            "supernode_nodes",
            count(1, NODES_MAX, "nodes"),
            "nodes of one supernode, in Slurm's order; default: those of a leaf switch",
        ),
        *FIGURES,
        PROBE,
    ),
)

SLURM: Record[SlurmConfig] = Record(
    _slurm,
    (
        Field(
            "shared_dir",
            text(limits.DIRECTORY),
            "a directory that this machine and all nodes see at the same path",
            required=True,
            foreign=("state_dir", "shared", "directory"),
        ),
        Field("conf", text(limits.DIRECTORY), "slurm.conf; default: Slurm's own place"),
        Field("python", text(COMMAND), "Python 3.8 or later on the nodes; default: python3"),
        Field(
            "partitions",
            ListOf(Either(Scalar(_bare, None, {"type": "string"}), OFFER), 1, PARTITIONS_MAX),
            "which are offered, and how; default: all",
            foreign=("pools", "queues", "partition"),
        ),
        Field(
            "accelerators",
            MapOf(GRES, Model(), mapped),
            "GRES -> model, where the catalogue does not know it, e.g. {dcu: hygon-k100}",
            foreign=("gres", "names", "cards"),
        ),
        Field(
            "accounts",
            MapOf(TENANT, text(ACCOUNT), pair),
            "tenant -> account of Slurm",
            foreign=("account_map", "tenants"),
        ),
        Field("account", text(ACCOUNT), "of every other tenant; default: Slurm's"),
        Field(
            "wait_seconds_max",
            number(0, 86_400, "seconds"),
            "in Slurm's queue; then another site may have the job; default: 600",
        ),
        POLL_SECONDS,
    ),
)
