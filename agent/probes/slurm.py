"""What Slurm says of its nodes, partitions and jobs, in one shape for every version. Pure.

Reads the text of `scontrol show … -o` and `squeue -o`, which every version prints alike, and
the small languages inside it: lists of hosts, generic resources, times, states. JSON is read
by `slurm_json` into the same values. Knows nothing of catalogues, pools or runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

HOSTS_MAX = 100_000  # of one list
SHAPES_MAX = 4096  # different words that are remembered: thousands of nodes are alike
NODES_ARGUMENTS = ("scontrol", "show", "node", "-o", "-d")
PARTITIONS_ARGUMENTS = ("scontrol", "show", "partition", "-o")
CONFIGURATION_ARGUMENTS = ("scontrol", "show", "config")
TOPOLOGY_ARGUMENTS = ("scontrol", "show", "topology")
# The name comes last: it may hold anything. Times are seconds by SLURM_TIME_FORMAT=%s.
JOBS_ARGUMENTS = ("squeue", "-h", "-a", "-r", "-t", "R,CG,S,CF", "-o", "%A|%T|%r|%N|%b|%e|%j")

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
_MARKS = {"*": "NOT_RESPONDING", "-": "PLANNED"}  # stuck to a state's word; others mean no good
_KEY = re.compile(r"[A-Za-z][\w:/.]*")
_GRES = re.compile(
    r"(?:gres[:/])?([^:(=,]+)(?::([^:(=,]*[^:(=,\d][^:(=,]*|\d+(?=[:=])))?[:=]?(\d+)?"
)
_IDX = re.compile(r"IDX:([\d,-]+)")
_BRACKET = re.compile(r"\[([^\]]*)\]")
_NOTHING = frozenset({"", "(null)", "N/A", "NONE", "None"})


class SlurmUnreadable(Exception):
    """What a command of Slurm printed is not what it should print; the text's beginning."""


@dataclass(frozen=True, slots=True)
class Gres:
    """Generic resources of one name and type on one node."""

    name: str  # "npu", "dcu", "gpu", …
    model: str  # the site's type; "": none
    count: int
    indices: frozenset[int] = frozenset()  # which of them, where Slurm tells


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


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """A job that holds nodes now."""

    id: int
    name: str
    state: str
    nodes: tuple[str, ...]
    gres_per_node: tuple[Gres, ...]
    ends_at: float | None  # wall seconds by its time limit; None: unlimited or unknown
    reason: str = ""


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
                reason="" if reason in _NOTHING else reason,
            )
        )
    return tuple(jobs)


def parse_memory_per_cpu_max(text: str) -> int | None:
    """MaxMemPerCPU of the whole site by `scontrol show config`, MiB; None: no limit."""
    found = re.search(r"^MaxMemPerCPU\s*=\s*(\d+)\s*$", text, re.MULTILINE)
    return int(found[1]) if found and int(found[1]) else None


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


# --- the languages inside -------------------------------------------------------


@lru_cache(maxsize=SHAPES_MAX)
def parse_gres(text: str) -> tuple[Gres, ...]:
    """`gpu:h100:4(S:0-1),npu:8`, `gres/npu:910b:3`, `gpu:a100:1(IDX:0)`; N/A is nothing."""
    if text.strip() in _NOTHING:
        return ()
    found = []
    for part in re.split(r",(?![^(]*\))", text.strip()):
        match = _GRES.match(part)
        if match is None:
            continue
        name, model, count = match[1], match[2] or "", match[3]
        indices = _IDX.search(part)
        numbers = frozenset(_numbers(indices[1])) if indices else frozenset()
        found.append(Gres(name, model, int(count) if count else 1, numbers))
    return tuple(found)


@lru_cache(maxsize=SHAPES_MAX)
def parse_states(text: str) -> frozenset[str]:
    """`IDLE+DRAIN`, `DOWN*`, `MIXED-`: the words, marks spelt out."""
    words = set()
    for part in filter(None, text.upper().split("+")):
        word = part.rstrip("*~#!%$@^-")
        words.add(word)
        words.update(_MARKS.get(mark, "MARKED " + mark) for mark in part[len(word) :])
    return frozenset(words)


def parse_duration(text: str) -> float | None:
    """`3-00:00:00`, `12:00:00`, `30:00`, `45`, in seconds; None for UNLIMITED and the like."""
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in parts) or (dash and not days.isdecimal()):
        return None
    numbers = [int(part) for part in parts]
    if dash:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 1:
        hours, minutes, seconds = 0, numbers[0], 0
    else:
        hours, minutes, seconds = (0, *numbers)[-3:]
    return float(int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds)


def hosts(text: str) -> list[str]:
    """The names of `n[1-3,07],gpu2,r[1-2]n[1-2]`. Raises SlurmUnreadable for too many."""
    names: list[str] = []
    if text.strip() in _NOTHING:
        return names
    for part in re.split(r",(?![^\[]*\])", text.strip()):
        names += _expanded(part)
        if len(names) > HOSTS_MAX:
            raise SlurmUnreadable(f"more than {HOSTS_MAX} hosts: {text[:100]}")
    return names


def _expanded(text: str) -> list[str]:
    match = _BRACKET.search(text)
    if match is None:
        return [text]
    head, tails = text[: match.start()], _expanded(text[match.end() :])
    numbers: list[str] = []
    for piece in match[1].split(","):
        first, _, last = piece.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal()) or int(last) - int(first) > HOSTS_MAX:
            raise SlurmUnreadable(f"no list of hosts: {text[:100]}")
        numbers += [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    return [f"{head}{number}{tail}" for number in numbers for tail in tails]


def _numbers(text: str) -> Iterator[int]:
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word not in _NOTHING)


def _integer(text: str) -> int:
    return int(text) if text.isdecimal() else 0
