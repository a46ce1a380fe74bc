"""What Slurm says in JSON, of any version, brought to the values of `slurm`. Pure.

Versions differ: a state is a word with a list of flags beside it, or one list; a number is
plain, null, or `{"set", "infinite", "number"}`; a list of hosts is text; 23.02 called
`gres_used` what it still does. So every field is read by what it looks like, never by version,
and a document without its list is unreadable rather than empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from agent.slurm.from_text import SlurmJob, SlurmNode
from agent.slurm.notation import SlurmUnreadable, hosts, parse_gres, parse_states

NODES_ARGUMENTS = ("scontrol", "show", "nodes", "--json")  # since 23.02
JOBS_ARGUMENTS = ("squeue", "-a", "-t", "all", "--json")
SINCE = (23, 2)


def parse_nodes(text: str) -> tuple[SlurmNode, ...]:
    """`scontrol show nodes --json`, and `sinfo --json` of 22.05. Raises SlurmUnreadable."""
    return tuple(_node(entry) for entry in _entries(text, "nodes"))


def parse_jobs(text: str) -> tuple[SlurmJob, ...]:
    """`squeue --json`. Raises SlurmUnreadable."""
    return tuple(_job(entry) for entry in _entries(text, "jobs"))


def _node(entry: dict[str, Any]) -> SlurmNode:
    name = _text(entry, "name", "hostname")
    return SlurmNode(
        name=name,
        address=_text(entry, "address") or name,
        states=_states(entry, "state", "state_flags"),
        partitions=tuple(_list(entry.get("partitions"))),
        cpus=round(_number(entry.get("effective_cpus")) or _number(entry.get("cpus")) or 0),
        memory_mib=round(_number(entry.get("real_memory")) or 0),
        gres=parse_gres(_text(entry, "gres")),
        gres_used=parse_gres(_text(entry, "gres_used")),
        gres_drained=parse_gres(_text(entry, "gres_drained")),
        reason=_text(entry, "reason"),
    )


def _job(entry: dict[str, Any]) -> SlurmJob:
    number, ends_at = _number(entry.get("job_id")), _number(entry.get("end_time"))
    if number is None:
        raise SlurmUnreadable("a job without job_id")
    # One word of the list is the state, the others are flags of it.
    states = _list(entry.get("job_state")) or ["UNKNOWN"]
    reason = _text(entry, "state_reason")
    return SlurmJob(
        id=int(number),
        name=_text(entry, "name"),
        state=str(states[0]).upper(),
        nodes=tuple(hosts(_text(entry, "nodes"))),
        gres_per_node=parse_gres(_text(entry, "tres_per_node")),
        ends_at=ends_at or None,
        reason="" if reason == "None" else reason,
    )


def _entries(text: str, key: str) -> Iterable[dict[str, Any]]:
    try:
        document = json.loads(text)
        entries = document[key]
    except (ValueError, KeyError, TypeError) as error:
        raise SlurmUnreadable(f"{error!r}: {text.strip()[:200]}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SlurmUnreadable(f"{key} is not a list of objects")
    return entries


def _states(entry: dict[str, Any], *keys: str) -> frozenset[str]:
    words = [str(word) for key in keys for word in _list(entry.get(key))]
    return frozenset().union(*(parse_states(word) for word in words)) if words else frozenset()


def _list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [part for part in value.split(",") if part] if isinstance(value, str) else []


def _text(entry: dict[str, Any], *keys: str) -> str:
    """The first of these fields that is text."""
    found = (entry.get(key) for key in keys)
    return next((value for value in found if isinstance(value, str) and value), "")


def _number(value: Any) -> float | None:
    """A number, plain or wrapped; None where it is not set or infinite."""
    if isinstance(value, dict):
        if not value.get("set", False) or value.get("infinite", False):
            return None
        value = value.get("number")
    return float(value) if isinstance(value, (int, float)) else None
