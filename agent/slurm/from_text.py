"""What Slurm says of its nodes, partitions, jobs and rules, in one shape for every version. Pure.

Reads the text of `scontrol show … -o` and `squeue -o`, which every version prints alike; the
small languages inside it are `slurm_notation`'s, and JSON is read by `slurm_json` into the same
values. Knows nothing of catalogues, pools or runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.slurm.notation import (
    NOTHING,
    Gres,
    SlurmUnreadable,
    hosts,
    parse_duration,
    parse_gres,
    parse_states,
)

NODES_ARGUMENTS = ("scontrol", "show", "node", "-o", "-d")
PARTITIONS_ARGUMENTS = ("scontrol", "show", "partition", "-o")
CONFIGURATION_ARGUMENTS = ("scontrol", "show", "config")
TOPOLOGY_ARGUMENTS = ("scontrol", "show", "topology")
QOS_ARGUMENTS = ("scontrol", "show", "assoc_mgr", "flags=qos")
# All jobs that Slurm remembers: it is asked once for those that hold cards, and for ours. The
# name comes last: it may hold anything. Times are seconds by SLURM_TIME_FORMAT=%s.
JOBS_ARGUMENTS = ("squeue", "-h", "-a", "-t", "all", "-o", "%A|%T|%r|%N|%b|%e|%j")

# States of a node that may take work, with the flags that change nothing about that. Every
# other word, known or new, keeps new work away.
USABLE_STATES = frozenset(
    {
        "ALLOCATED",
        "CLOUD",
        "COMPLETING",
        "DYNAMIC_NORM",
        "IDLE",
        "MIXED",
        "PLANNED",
    }
)
# States of a job that is over. Every other one, known or new, counts as living: an end must be
# proven.
OVER_STATES = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
# Over by Slurm's books, although the node may only be out of its reach.
UNPROVEN_STATES = frozenset({"NODE_FAIL", "BOOT_FAIL"})
_WAITING_STATES = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
)
_KEY = re.compile(r"[A-Za-z][\w:/.]*")
_QOS = re.compile(r"^\s*QOS=([^(\s]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SlurmNode:
    name: str
    address: str
    states: frozenset[str]
    partitions: tuple[str, ...]
    cpus: int
    memory_mib: int
    gres: tuple[Gres, ...]
    gres_used: tuple[Gres, ...] = ()
    gres_drained: tuple[Gres, ...] = ()
    reason: str = ""  # the operator's or Slurm's own words

    @property
    def usable(self) -> bool:
        """May new work be placed on it."""
        return bool(self.states) and self.states <= USABLE_STATES


@dataclass(frozen=True, slots=True)
class SlurmPartition:
    """A partition and its rules; None: no limit."""

    name: str
    up: bool
    nodes: tuple[str, ...]
    seconds_max: float | None = None  # of a job
    nodes_max: int | None = None  # of a job
    memory_mib_per_cpu_max: int | None = None
    accounts_allowed: tuple[str, ...] = ()  # empty: all
    accounts_denied: tuple[str, ...] = ()
    qos: str = ""  # whose rules hold in it; "": none


@dataclass(frozen=True, slots=True)
class SlurmQos:
    """The rules of a quality of service that bind each job; None: no limit."""

    name: str
    seconds_max: float | None = None
    gres_min: tuple[Gres, ...] = ()  # of a whole job


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """A job that Slurm knows: waiting, running, or over a moment ago."""

    id: int
    name: str
    state: str
    nodes: tuple[str, ...] = ()
    gres_per_node: tuple[Gres, ...] = ()
    ends_at: float | None = None  # wall seconds by its time limit; None: unlimited or unknown
    reason: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in OVER_STATES

    @property
    def is_proof(self) -> bool:
        """Whether Slurm has seen every process of it end."""
        return self.is_over and self.state not in UNPROVEN_STATES

    @property
    def holds_nodes(self) -> bool:
        return bool(self.nodes) and not self.is_over and self.state not in _WAITING_STATES


@dataclass(frozen=True, slots=True)
class SlurmFrame:
    """What of a Slurm changes with its configuration alone."""

    version: tuple[int, ...]  # (23, 2) for 23.02.x
    leaf_switches: Mapping[str, str]  # by node
    memory_mib_per_cpu_max: int | None = None  # of the whole site; None: no limit
    qos: tuple[SlurmQos, ...] = ()


@dataclass(frozen=True, slots=True)
class SlurmView:
    """All that was read of one Slurm at about one time."""

    frame: SlurmFrame
    nodes: tuple[SlurmNode, ...]
    partitions: tuple[SlurmPartition, ...]
    jobs: tuple[SlurmJob, ...]


# --- text of the commands -------------------------------------------------------


def parse_nodes(text: str) -> tuple[SlurmNode, ...]:
    """`scontrol show node -o -d`. Raises SlurmUnreadable."""
    return tuple(_node(fields) for fields in _records(text, "NodeName"))


def parse_partitions(text: str) -> tuple[SlurmPartition, ...]:
    """`scontrol show partition -o`. Raises SlurmUnreadable."""
    return tuple(_partition(fields) for fields in _records(text, "PartitionName"))


def parse_jobs(text: str) -> tuple[SlurmJob, ...]:
    """`squeue` with JOBS_ARGUMENTS. Raises SlurmUnreadable."""
    jobs = []
    for line in filter(None, text.splitlines()):
        cells = line.split("|", 6)
        if len(cells) != 7 or not cells[0].isdecimal():
            raise SlurmUnreadable(line[:200])
        number, state, reason, nodes, gres, ends_at, name = cells
        jobs.append(
            SlurmJob(
                id=int(number),
                name=name,
                state=state,
                nodes=tuple(hosts(nodes)),
                gres_per_node=parse_gres(gres),
                ends_at=float(ends_at) if ends_at.isdecimal() and int(ends_at) else None,
                reason="" if reason in NOTHING else reason,
            )
        )
    return tuple(jobs)


def parse_memory_per_cpu_max(text: str) -> int | None:
    """MaxMemPerCPU of the whole site by `scontrol show config`, MiB; None: no limit."""
    found = re.search(r"^MaxMemPerCPU\s*=\s*(\d+)\s*$", text, re.MULTILINE)
    return int(found[1]) if found and int(found[1]) else None


def parse_qos(text: str) -> tuple[SlurmQos, ...]:
    """`scontrol show assoc_mgr flags=qos`; empty where Slurm keeps no accounts.

    MaxWallPJ is in minutes. The names of the fields are from memory: no site's output was seen.
    """
    _, *records = _QOS.split(text)
    found = []
    for name, body in zip(records[::2], records[1::2], strict=True):
        minutes = re.search(r"\bMaxWallPJ=(\d+)", body)
        least = re.search(r"\bMinTRESPJ=(\S+)", body)
        parts = (part for part in (least[1] if least else "").split(",") if "gres/" in part)
        seconds_max = 60.0 * int(minutes[1]) if minutes else None
        found.append(SlurmQos(name, seconds_max, parse_gres(",".join(parts))))
    return tuple(found)


def parse_topology(text: str) -> dict[str, str]:
    """`scontrol show topology`: the leaf switch of each node; empty where there is none."""
    leaves = {}
    for line in text.splitlines():
        fields = _fields(line)
        if fields.get("SwitchName") and fields.get("Level") == "0":
            for node in hosts(fields.get("Nodes", "")):
                leaves[node] = fields["SwitchName"]
    return leaves


def _node(fields: dict[str, str]) -> SlurmNode:
    return SlurmNode(
        name=fields["NodeName"],
        address=fields.get("NodeAddr", fields["NodeName"]),
        states=parse_states(fields.get("State", "")),
        partitions=_words(fields.get("Partitions", "")),
        cpus=_integer(fields.get("CPUEfctv", fields.get("CPUTot", ""))),
        memory_mib=_integer(fields.get("RealMemory", "")),
        gres=parse_gres(fields.get("Gres", "")),
        gres_used=parse_gres(fields.get("GresUsed", "")),
        gres_drained=parse_gres(fields.get("GresDrain", "")),
        reason=fields.get("Reason", ""),
    )


def _partition(fields: dict[str, str]) -> SlurmPartition:
    memory = fields.get("MaxMemPerCPU", "")
    nodes = fields.get("MaxNodes", "")
    allowed = fields.get("AllowAccounts", "ALL")
    return SlurmPartition(
        name=fields["PartitionName"],
        up=fields.get("State", "") == "UP",
        nodes=tuple(hosts(fields.get("Nodes", ""))),
        seconds_max=parse_duration(fields.get("MaxTime", "")),
        nodes_max=int(nodes) if nodes.isdecimal() else None,
        memory_mib_per_cpu_max=int(memory) if memory.isdecimal() else None,
        accounts_allowed=() if allowed == "ALL" else _words(allowed),
        accounts_denied=_words(fields.get("DenyAccounts", "")),
        qos="".join(_words(fields.get("QoS", ""))),
    )


def _records(text: str, key: str) -> Iterator[dict[str, str]]:
    """One record a line. Nothing at all is none; any line that is no record is unreadable."""
    for line in filter(None, map(str.strip, text.splitlines())):
        fields = _fields(line)
        if key not in fields:
            if line.startswith("No ") and line.endswith("in the system"):
                continue
            raise SlurmUnreadable(line[:200])
        yield fields


def _fields(line: str) -> dict[str, str]:
    """Values may hold blanks, so each runs to the next key; the first of two keys stands."""
    fields: dict[str, str] = {}
    key = ""
    for word in line.split(" "):
        name, equals, value = word.partition("=")
        if equals and _KEY.fullmatch(name):
            key = "" if name in fields else name
            if key:
                fields[key] = value
        elif key and word:
            fields[key] += f" {word}"
    return fields


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word not in NOTHING)


def _integer(text: str) -> int:
    return int(text) if text.isdecimal() else 0
