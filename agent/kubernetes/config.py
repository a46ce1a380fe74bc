"""The `kubernetes` record of agent.yaml: how a cluster's nodes become pools of the federation.

One literal table, as in `agent.config.fields`. Knows no cluster and asks none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.cards.ranktable import VERSIONS
from agent.config.jobs import IMAGES_ALLOWED
from agent.config.offers import FIGURES, each_once, mapped
from agent.config.probe import PROBE
from agent.config.values import PLACE, TENANT, Model, count, number, pair
from agent.config.windows import POLICY_FIELDS, policy_from
from agent.kubernetes.capacity import PoolOffer
from agent.kubernetes.usage import Toleration
from suan.jobspec import limits
from suan.jobspec.limits import Fault, TextRule
from suan.jobspec.shapes import Choice, Field, ListOf, MapOf, Record, Scalar, Truth, text

NAMESPACE = TextRule(63, r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "a namespace")
OBJECT_NAME = TextRule(253, r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", "a name of Kubernetes")
LABEL_KEY = TextRule(317, r"([a-z0-9.-]+/)?[A-Za-z0-9][A-Za-z0-9._-]*", "a label")
LABEL_VALUE = TextRule(63, r"([A-Za-z0-9][A-Za-z0-9._-]*)?", "a label's value")
CARD = TextRule(253, r"[A-Za-z0-9][A-Za-z0-9._/= -]*", "a resource, e.g. hygon.com/dcu, or a chip")
TAINT = TextRule(
    400,
    r"[A-Za-z0-9][A-Za-z0-9._/-]*(=[A-Za-z0-9._-]*)?(:(NoSchedule|NoExecute|PreferNoSchedule))?",
    "a taint, e.g. dedicated=ai:NoSchedule",
)
COMMAND = TextRule(4096, r"[^\s\x00-\x1f\x7f]+", "a command without blanks")
NODES_MAX, POOLS_MAX = 100_000, 256


@dataclass(frozen=True, slots=True)
class TenantPlace:
    """Where a tenant's jobs run; "": as everybody's."""

    namespace: str = ""
    service_account: str = ""
    image: str = ""
    claim: str = ""
    queue: str = ""


@dataclass(frozen=True, slots=True)
class KubernetesConfig:
    """A cluster, as the site's operator declares it."""

    shared_dir: str  # where this machine sees the volume that all pods of runs mount
    image: str  # in which jobs run: bash or sh, and Python 3.8 or later
    claim: str = ""  # a PersistentVolumeClaim of that volume, in each namespace …
    host_path: str = ""  # … or where the nodes see it; both "": at shared_dir
    kubeconfig: str = ""  # "": in a pod its service account, else the usual place
    context: str = ""  # of the kubeconfig; "": its current one
    namespace: str = "default"
    service_account: str = ""
    queue: str = ""  # of Volcano; "": its default
    scheduler: str = "auto"  # "kubernetes", "volcano"; "auto": Volcano where it is
    highest_tier: int = 0  # of HyperNodes that a gang may span, with Volcano; 0: any
    host_network: bool = True  # ranks reach each other at the nodes' addresses
    ranktable: str = ""  # its version: one for Ascend jobs, by the device plugin's annotations
    images_allowed: tuple[str, ...] = ()  # patterns of what jobs may bring; empty: nothing
    python: str = "python3"  # in the image
    tenants: Mapping[str, TenantPlace] = field(default_factory=dict)
    pools: tuple[PoolOffer, ...] = ()  # empty: all nodes
    accelerators: Mapping[str, str] = field(default_factory=dict)  # resource -> canonical model
    tolerations: tuple[Toleration, ...] = ()
    wait_seconds_max: float = 600.0  # for a node; then another site may have the job
    poll_seconds: float = 30.0  # between two readings of what is not watched
    sub_path: str = ""  # of the volume at which shared_dir lies; preflight's own

    def below(self, base: Path) -> KubernetesConfig:
        """With its relative paths counted from there."""
        kubeconfig = str(base / self.kubeconfig) if self.kubeconfig else ""
        return replace(self, shared_dir=str(base / self.shared_dir), kubeconfig=kubeconfig)


def _offer(name: str, **values: Any) -> PoolOffer:
    values["linearity"] = tuple(sorted(values.pop("linearity", ())))
    values["labels"] = MappingProxyType(dict(values.pop("labels", ())))
    return PoolOffer(name, **policy_from(values))


def toleration_of(written: str) -> Toleration:
    """ "key=value:Effect", where value and effect may be left out."""
    TAINT.verify(written)
    rest, _, effect = written.partition(":")
    key, _, value = rest.partition("=")
    return Toleration(key, value, effect)


def _kubernetes(
    pools: tuple[PoolOffer, ...] = (),
    tenants: tuple[tuple[str, TenantPlace], ...] = (),
    accelerators: tuple[tuple[str, str], ...] = (),
    **values: Any,
) -> KubernetesConfig:
    """Raises Fault for what stands twice or does not go together."""
    each_once("pool", [offer.name for offer in pools])
    if values.get("claim") and values.get("host_path"):
        message = "says both claim and host_path"
        raise Fault("WrongKey", message, "the shared volume is one of the two")
    return KubernetesConfig(
        pools=pools,
        tenants=MappingProxyType(dict(tenants)),
        accelerators=MappingProxyType(dict(accelerators)),
        **values,
    )


_PLACE_FIELDS = (
    Field("namespace", text(NAMESPACE), "in which jobs run; default: default"),
    Field("service_account", text(OBJECT_NAME), "of jobs; default: the namespace's"),
    Field("image", text(limits.IMAGE), "container image of jobs; with Python 3.8 or later"),
    Field("claim", text(OBJECT_NAME), "a PersistentVolumeClaim of the shared volume"),
    Field("queue", text(OBJECT_NAME), "of Volcano; default: its own"),
)

TENANT_PLACE: Record[TenantPlace] = Record(TenantPlace, _PLACE_FIELDS)

OFFER: Record[PoolOffer] = Record(
    _offer,
    (
        Field("name", text(PLACE), "the pool's name in the federation", required=True),
        Field(
            "labels",
            MapOf(LABEL_KEY, text(LABEL_VALUE), pair),
            "of its nodes; default: all nodes that no pool before it has",
            foreign=("node_selector", "nodeSelector", "selector", "nodes"),
        ),
        Field("image", text(limits.IMAGE), "container image of its jobs; default: the site's"),
        *POLICY_FIELDS,
        Field(
            "supernode_nodes",
            count(1, NODES_MAX, "nodes"),
            "nodes of one supernode, by name; default: by SuperPoD or HyperNode",
        ),
        *FIGURES,
        PROBE,
    ),
)

KUBERNETES: Record[KubernetesConfig] = Record(
    _kubernetes,
    (
        Field(
            "shared_dir",
            text(limits.DIRECTORY),
            "where this machine sees the volume that the jobs' pods mount",
            required=True,
            foreign=("state_dir", "shared", "directory", "mount_path"),
        ),
        Field(
            "host_path",
            text(limits.DIRECTORY),
            "where the nodes see that volume; default: at shared_dir",
            foreign=("hostPath",),
        ),
        Field("kubeconfig", text(limits.DIRECTORY), "default: the pod's account, or ~/.kube"),
        Field("context", text(TextRule(253, r"[!-~]+", "a context")), "of the kubeconfig"),
        *(replace(each, required=each.name == "image") for each in _PLACE_FIELDS),
        Field(
            "scheduler",
            Choice({word: word for word in ("auto", "kubernetes", "volcano")}),
            "who starts the gangs; default: Volcano where it is installed",
        ),
        Field("highest_tier", count(1, 100, "tiers"), "of HyperNodes that a gang may span"),
        Field("host_network", Truth(), "jobs use the nodes' addresses; default: true"),
        Field(
            "ranktable",
            Choice({"true": "1.0", "false": "", **{v: v for v in VERSIONS}}),
            "write hccl.json for Ascend jobs, in this version (true: 1.0); default: false",
        ),
        Field(
            "images_allowed",
            IMAGES_ALLOWED,
            "patterns of images that jobs may bring, with Python too; default: none",
            foreign=("images", "allowed_images"),
        ),
        Field("python", text(COMMAND), "Python 3.8 or later in the image; default: python3"),
        Field(
            "tenants",
            MapOf(TENANT, TENANT_PLACE, pair),
            "tenant -> its namespace, account, image, claim and queue",
            foreign=("namespaces", "accounts"),
        ),
        Field("pools", ListOf(OFFER, 1, POOLS_MAX), "which nodes are offered; default: all"),
        Field(
            "accelerators",
            MapOf(CARD, Model(), mapped),
            "resource, resource=chip or chip -> model, e.g. {hygon.com/dcu: hygon-k100}",
            foreign=("resources", "names", "cards"),
        ),
        Field(
            "tolerations",
            ListOf(Scalar(toleration_of, None, {"type": "string"}, "a taint")),
            "taints that do not keep jobs away, e.g. [dedicated=ai:NoSchedule]",
            foreign=("taints",),
        ),
        Field(
            "wait_seconds_max",
            number(0, 86_400, "seconds"),
            "for a node; then another site may have the job; default: 600",
        ),
        Field(
            "poll_seconds",
            number(0.2, 3_600, "seconds"),
            "between two readings of what is not watched; default: 30",
            foreign=("query_seconds", "interval"),
        ),
    ),
)
