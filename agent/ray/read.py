"""What a Ray says, as values: its nodes, what of them is in use, its submissions. Pure.

Fields that are not there are passed over where they can be; a document of another shape raises
RayUnreadable. The shapes are those of Ray 2.60.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

OVER = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
REASON_CHARACTERS_MAX = 300
_VERSION = re.compile(r"(\d+)\.(\d+)")
# "2.0/8.0 NPU (1.0 used of 2.0 reserved in placement groups)"
_LINE = re.compile(
    r"([\d.]+)/[\d.]+ (\S+)(?: \(([\d.]+) used of ([\d.]+) reserved in placement groups\))?"
)
Usage = Mapping[str, Mapping[str, float]]  # by node id and resource: how much is taken


class RayUnreadable(ValueError):
    """Ray said something that is not understood."""


@dataclass(frozen=True, slots=True)
class RayVersion:
    text: str
    number: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RayNode:
    """A node that lives."""

    name: str  # unique in its cluster, and the same when its raylet is started again
    id: str
    address: str
    resources: Mapping[str, float]  # by name: how much there is
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RayUsage:
    """What is taken of the nodes that Ray knows the use of, by placement groups too."""

    taken: Usage
    measured_at: float = float("inf")  # Ray's wall seconds; inf: not told


@dataclass(frozen=True, slots=True)
class RayJob:
    """A submission."""

    name: str
    state: str  # "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"
    message: str = ""
    error: str = ""  # its kind
    exit_code: int | None = None  # of what was submitted
    ended_at: float = 0.0  # Ray's wall seconds; 0.0: it has not
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def reason(self) -> str:
        """The last line of what Ray says, which is where the cause stands."""
        lines = [line.strip() for line in self.message.splitlines() if line.strip()]
        return lines[-1][:REASON_CHARACTERS_MAX] if lines else ""


@dataclass(frozen=True, slots=True)
class RayView:
    """All that one look at a Ray says."""

    version: RayVersion
    nodes: tuple[RayNode, ...]
    usage: RayUsage
    jobs: tuple[RayJob, ...]


def parse_version(document: Any) -> RayVersion:
    """Of /api/version."""
    text = str(_map(document, "the version").get("ray_version", ""))
    match = _VERSION.match(text)
    if match is None:
        raise RayUnreadable(f"{text[:50]!r} is no version of Ray")
    return RayVersion(text, (int(match[1]), int(match[2])))


def parse_nodes(document: Any) -> tuple[RayNode, ...]:
    """Of /api/v0/nodes: those that live, by name."""
    data = _map(_map(document, "nodes").get("data"), "nodes: data")
    found = _map(data.get("result"), "nodes: result").get("result")
    living = [node for node in _maps(found, "nodes") if node.get("state") == "ALIVE"]
    names = [str(node.get("node_name") or node.get("node_ip")) for node in living]
    times = Counter(names)
    nodes = []
    for node, name in zip(living, names, strict=True):
        number = str(node.get("node_id", ""))
        nodes.append(
            RayNode(
                # Many of one machine, or without names of their own: told apart by their ids.
                name=name if times[name] == 1 else f"{name}-{number[:8]}",
                id=number,
                address=str(node.get("node_ip", "")),
                resources=_amounts(node.get("resources_total") or {}),
                labels={
                    str(k): str(v) for k, v in _map(node.get("labels") or {}, "labels").items()
                },
            )
        )
    return tuple(sorted(nodes, key=lambda node: node.name))


def parse_status(document: Any, nodes: Iterable[RayNode]) -> RayUsage | None:
    """Of /api/cluster_status; None where this Ray does not say it there (autoscaler v2)."""
    data = _map(_map(document, "status").get("data"), "status: data")
    status = data.get("clusterStatus")
    report = status.get("loadMetricsReport") if isinstance(status, dict) else None
    if not isinstance(status, dict) or not isinstance(report, dict):
        return None
    by_node = _map(report.get("usageByNode") or {}, "usageByNode")
    taken: dict[str, dict[str, float]] = {}
    for node in nodes:
        said = by_node.get(node.id)
        if isinstance(said, dict):
            taken[node.id] = {
                name: _first(said.get(_google_style(name))) for name in node.resources
            }
    return RayUsage(taken, _number(status.get("time"), float("inf")))


def parse_summary(document: Any, nodes: Iterable[RayNode]) -> RayUsage:
    """Of /nodes?view=summary, which says it in words for people."""
    data = _map(_map(document, "summary").get("data"), "summary: data")
    by_node = _map(data.get("nodeLogicalResources") or {}, "nodeLogicalResources")
    taken: dict[str, dict[str, float]] = {}
    for node in nodes:
        if isinstance(said := by_node.get(node.id), str):
            found = {}
            for used, name, in_groups, reserved in _LINE.findall(said):
                # What a group reserves is taken, whether or not it is in use.
                more = float(reserved) - float(in_groups) if reserved else 0.0
                found[name] = float(used) + more
            taken[node.id] = {name: found.get(name, 0.0) for name in node.resources}
    return RayUsage(taken)


def parse_jobs(document: Any) -> tuple[RayJob, ...]:
    """Of /api/jobs/: the submissions; drivers that nobody submitted are passed over."""
    jobs = []
    for job in _maps(document, "jobs"):
        if name := job.get("submission_id"):
            metadata = job.get("metadata") or {}
            code = job.get("driver_exit_code")
            jobs.append(
                RayJob(
                    name=str(name),
                    state=str(job.get("status", "")),
                    message=str(job.get("message") or ""),
                    error=str(job.get("error_type") or ""),
                    exit_code=code if isinstance(code, int) else None,
                    ended_at=_number(job.get("end_time"), 0.0) / 1000,
                    metadata={str(k): str(v) for k, v in _map(metadata, "metadata").items()},
                )
            )
    return tuple(jobs)


def _google_style(name: str) -> str:
    """How the dashboard writes the names of its JSON: "a_b" is "aB"."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _map(document: Any, what: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise RayUnreadable(f"{what}: {str(document)[:100]!r}")
    return document


def _maps(documents: Any, what: str) -> list[dict[str, Any]]:
    if not isinstance(documents, list):
        raise RayUnreadable(f"{what}: {str(documents)[:100]!r}")
    return [document for document in documents if isinstance(document, dict)]


def _amounts(document: Any) -> dict[str, float]:
    return {str(name): _number(value, 0.0) for name, value in _map(document, "resources").items()}


def _first(pair: Any) -> float:
    return _number(pair[0], 0.0) if isinstance(pair, list) and pair else 0.0


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise
