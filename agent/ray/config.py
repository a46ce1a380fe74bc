"""The `ray` record of agent.yaml: how a Ray's nodes become pools of the federation.

One literal table, as in `agent.config.fields`; all but `shared_dir` may be left out, because
Ray itself says the rest. Knows no Ray and asks none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.config.offers import FIGURES, POLL_SECONDS, each_once, mapped
from agent.config.probe import PROBE
from agent.config.values import PLACE, Model, count, number
from agent.config.windows import POLICY_FIELDS, policy_from
from agent.ray.capacity import PoolOffer
from suan.jobspec import limits
from suan.jobspec.limits import TextRule
from suan.jobspec.shapes import Either, Field, ListOf, MapOf, Record, Scalar, text

ADDRESS = TextRule(
    512,
    r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._/-]*)?",
    "a URL, e.g. http://127.0.0.1:8265",
)
RESOURCE = TextRule(128, r"[A-Za-z0-9][A-Za-z0-9._:+-]*", "a resource, e.g. NPU or DCU")
LABEL = TextRule(128, r"[A-Za-z0-9][A-Za-z0-9._/-]*", "a label of nodes, or a resource")
COMMAND = TextRule(4096, r"[^\s\x00-\x1f\x7f]+", "a command without blanks")
POOLS_MAX = 256
NODES_MAX = 100_000
ADDRESS_DEFAULT = "http://127.0.0.1:8265"


@dataclass(frozen=True, slots=True)
class RayConfig:
    """A Ray, as the site's operator declares it."""

    shared_dir: str  # that this machine, the head and all nodes see at the same path
    address: str = ADDRESS_DEFAULT  # of the head's dashboard, which is the job server
    token_file: str = ""  # "": where Ray's own tools look
    python: str = "python3"  # of the cluster, with ray
    pools: tuple[PoolOffer, ...] = ()  # empty: all
    accelerators: Mapping[str, str] = field(default_factory=dict)  # resource -> canonical model
    supernode: str = ""  # the label or resource that tells a node's
    wait_seconds_max: float = 600.0  # for its nodes; then another site may have the job
    poll_seconds: float = 30.0  # between two questions to Ray

    def below(self, base: Path) -> RayConfig:
        """The same, with paths that begin there."""
        token_file = str(base / self.token_file) if self.token_file else ""
        return replace(self, shared_dir=str(base / self.shared_dir), token_file=token_file)


def _offer(resource: str, **values: Any) -> PoolOffer:
    values["linearity"] = tuple(sorted(values.pop("linearity", ())))
    return PoolOffer(resource, **policy_from(values))


def _bare(resource: str) -> PoolOffer:
    RESOURCE.verify(resource)
    return PoolOffer(resource)


def _ray(
    pools: tuple[PoolOffer, ...] = (),
    accelerators: tuple[tuple[str, str], ...] = (),
    **values: Any,
) -> RayConfig:
    """Raises Fault for what stands twice."""
    each_once("resource", [offer.resource for offer in pools])
    each_once("pool", [offer.pool for offer in pools if offer.pool])
    return RayConfig(pools=pools, accelerators=MappingProxyType(dict(accelerators)), **values)


OFFER: Record[PoolOffer] = Record(
    _offer,
    (
        Field(
            "resource",
            text(RESOURCE),
            "whose nodes, e.g. NPU or accelerator_type:Ascend910B3",
            required=True,
            foreign=("name", "accelerator", "type"),
        ),
        Field("pool", text(PLACE), "its name in the federation; default: the resource's"),
        *POLICY_FIELDS,
        Field(
            "supernode_nodes",
            count(1, NODES_MAX, "nodes"),
            "nodes of one supernode, in order of name; default: all are one",
        ),
        *FIGURES,
        PROBE,
    ),
)

RAY: Record[RayConfig] = Record(
    _ray,
    (
        Field(
            "shared_dir",
            text(limits.DIRECTORY),
            "a directory that this machine, the head and all nodes see at the same path",
            required=True,
            foreign=("state_dir", "shared", "directory"),
        ),
        Field(
            "address",
            text(ADDRESS),
            f"of the head's dashboard; default: {ADDRESS_DEFAULT}",
            foreign=("dashboard", "url", "host"),
        ),
        Field(
            "token_file",
            text(limits.DIRECTORY),
            "with Ray's token; default: where Ray's own tools look",
            foreign=("token", "auth_token"),
        ),
        Field("python", text(COMMAND), "of the cluster, with ray; default: python3"),
        Field(
            "pools",
            ListOf(Either(Scalar(_bare, None, {"type": "string"}), OFFER), 1, POOLS_MAX),
            "which resources are offered, and how; default: all",
            foreign=("resources", "partitions"),
        ),
        Field(
            "accelerators",
            MapOf(RESOURCE, Model(), mapped),
            "resource -> model, where the nodes do not say it, e.g. {DCU: hygon-k100}",
            foreign=("names", "cards"),
        ),
        Field(
            "supernode",
            text(LABEL),
            "the label, or resource <supernode>:<name>, that tells a node's supernode",
            foreign=("supernode_label", "topology"),
        ),
        Field(
            "wait_seconds_max",
            number(0, 86_400, "seconds"),
            "for its nodes; then another site may have the job; default: 600",
        ),
        POLL_SECONDS,
    ),
)
