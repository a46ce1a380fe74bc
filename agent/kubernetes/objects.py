"""Nodes and pods as the survey needs them: what there is, and who holds it. Pure.

Read from core/v1 objects by the fields of the API's reference; everything else of an object
is dropped at once, because a large cluster has many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.kubernetes.fields import Json, amount, at, items, moment, table, text, words
from agent.kubernetes.names import RUN, SITE

_MIRROR = "kubernetes.io/config.mirror"  # on the API's image of a static pod
GRACE_SECONDS = 30  # of a pod that names none
_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str
    effect: str  # "NoSchedule" | "PreferNoSchedule" | "NoExecute"

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else self._bare

    @property
    def _bare(self) -> str:
        return f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node. Extended resources only ("vendor/name"), as the device plugins count them."""

    name: str
    address: str  # InternalIP, else the name
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    capacity: Mapping[str, int]
    allocatable: Mapping[str, int]  # less than the capacity by what is unhealthy
    cpus: float  # allocatable
    memory_mib: int  # allocatable
    ready: bool
    cordoned: bool
    taints: tuple[Taint, ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that holds something of a node."""

    node: str
    requests: Mapping[str, int]  # extended resources
    annotations: Mapping[str, str]  # that name devices
    cpus: float = 0.0
    memory_mib: float = 0.0
    is_daemon: bool = False  # of a DaemonSet, or static: it is on the node for good
    site: str = ""  # whose run it is; "": not one of the federation's
    run: str = ""
    ends_at: float | None = None  # wall seconds, by its own deadline; None: it has none
    owner: JobKey | None = None  # the batch/v1 Job whose pod it is, which may have one


@dataclass(frozen=True, slots=True)
class JobKey:
    """Which Job."""

    namespace: str
    name: str


def node_of(document: Json) -> Node | None:
    """None for what has no name."""
    name = text(document, "metadata", "name")
    if not name:
        return None
    allocatable = table(document, "status", "allocatable")
    addresses = {
        text(entry, "type"): text(entry, "address")
        for entry in items(document, "status", "addresses")
    }
    ready = any(
        text(entry, "type") == "Ready" and text(entry, "status") == "True"
        for entry in items(document, "status", "conditions")
    )
    return Node(
        name=name,
        address=addresses.get("InternalIP") or name,
        labels=words(document, "metadata", "labels"),
        annotations=words(document, "metadata", "annotations"),
        capacity=_extended(table(document, "status", "capacity")),
        allocatable=_extended(allocatable),
        cpus=amount(allocatable.get("cpu", 0)),
        memory_mib=int(amount(allocatable.get("memory", 0)) / 2**20),
        ready=ready,
        cordoned=at(document, "spec", "unschedulable") is True,
        taints=tuple(
            Taint(text(taint, "key"), text(taint, "value"), text(taint, "effect"))
            for taint in items(document, "spec", "taints")
        ),
    )


def pod_of(document: Json) -> Pod | None:
    """None for a pod that holds nothing: not on a node, or over."""
    node = text(document, "spec", "nodeName")
    if not node or text(document, "status", "phase") in _OVER:
        return None
    annotations = words(document, "metadata", "annotations")
    extended: dict[str, int] = {}
    cpus = memory = 0.0
    for container in items(document, "spec", "containers"):
        wants = {
            **table(container, "resources", "limits"),
            **table(container, "resources", "requests"),
        }
        for resource, count in _extended(wants).items():
            extended[resource] = extended.get(resource, 0) + count
        cpus += amount(wants.get("cpu", 0))
        memory += amount(wants.get("memory", 0))
    for container in items(document, "spec", "initContainers"):  # they ran before, one by one
        for resource, count in _extended(table(container, "resources", "limits")).items():
            extended[resource] = max(extended.get(resource, 0), count)
    owners = items(document, "metadata", "ownerReferences")
    return Pod(
        node=node,
        requests=extended,
        annotations={key: value for key, value in annotations.items() if key in extended},
        cpus=cpus,
        memory_mib=memory / 2**20,
        is_daemon=_MIRROR in annotations or any(text(o, "kind") == "DaemonSet" for o in owners),
        site=text(document, "metadata", "labels", SITE),
        run=annotations.get(RUN, ""),
        ends_at=_deadline(document),
        owner=next(
            (
                JobKey(text(document, "metadata", "namespace"), text(owner, "name"))
                for owner in owners
                if (text(owner, "apiVersion"), text(owner, "kind")) == ("batch/v1", "Job")
            ),
            None,
        ),
    )


def deadline_of(document: Json) -> tuple[JobKey, float] | None:
    """When Kubernetes ends a Job's pods, in wall seconds; None where it has no deadline."""
    ends_at = _deadline(document)
    key = JobKey(text(document, "metadata", "namespace"), text(document, "metadata", "name"))
    return None if ends_at is None else (key, ends_at)


def _deadline(document: Json) -> float | None:
    """Of a pod or a Job: `activeDeadlineSeconds` counts from its start, and grace follows."""
    started_at = moment(document, "status", "startTime")
    seconds = at(document, "spec", "activeDeadlineSeconds")
    if started_at is None or not isinstance(seconds, int) or seconds < 1:
        return None
    spec = table(document, "spec", "template", "spec") or table(document, "spec")
    grace = at(spec, "terminationGracePeriodSeconds")
    return started_at + seconds + (grace if isinstance(grace, int) else GRACE_SECONDS)


def _extended(found: Json) -> dict[str, int]:
    """Extended resources have a domain; those of Kubernetes itself are none."""
    return {
        name: int(amount(count))
        for name, count in found.items()
        if "/" in name and not name.startswith(("kubernetes.io/", "hugepages-"))
    }
