"""Rows to bytes and back: JSON by field name, so that rows may gain fields.

A spec is kept as the bytes its client sent. Unknown fields are dropped, missing ones have
their defaults. Job rows are written three or four times in a job's life, so the encoder is
one that reads dataclasses by itself.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import orjson

from broker.core.lifecycle import AttemptState, JobState
from broker.core.rows import (
    Attempt,
    Audit,
    Bundle,
    Commit,
    Dataset,
    Failure,
    Job,
    JoinToken,
    Learned,
    Maintenance,
    NetworkMap,
    PendingJoin,
    Project,
    Replica,
    Row,
    Site,
    Spec,
    Tenant,
    Usage,
    Yielding,
)
from scheduler.model import Basis, Correction, Fetch, Link, NetworkNode, Quota, Score, Slice

ParseSpec = Callable[[str, bytes], Spec]
Convert = Callable[[Any], Any]

KINDS: dict[str, type[Any]] = {
    "job": Job,
    "site": Site,
    "token": JoinToken,
    "join": PendingJoin,
    "tenant": Tenant,
    "usage": Usage,
    "network": NetworkMap,
    "dataset": Dataset,
    "bundle": Bundle,
    "maintenance": Maintenance,
    "audit": Audit,
    "learned": Learned,
}


class UnreadableRow(Exception):
    """A stored row that cannot be understood: the store was damaged or is from the future."""


def encode(row: Row) -> bytes:
    """The row's bytes."""
    if isinstance(row, Spec):
        return row.data
    return orjson.dumps(row, default=_bytes_out)


def decode(key: str, value: bytes, parse_spec: ParseSpec) -> Row:
    """The row of these bytes; `parse_spec` reads a specification.

    Raises UnreadableRow, naming the key.
    """
    kind, _, name = key.partition("/")
    try:
        if kind == "spec":
            return parse_spec(name, value)
        row: Row = _record(KINDS[kind], orjson.loads(value))
        return row
    except Exception as error:
        raise UnreadableRow(f"row {key} cannot be read: {error!r}") from error


def _bytes_out(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value)} cannot be stored")


# --- reading: what each field becomes ---------------------------------------


def _record(kind: type[Any], content: dict[str, Any]) -> Any:
    converts = _FIELDS[kind]
    values = {}
    for name, value in content.items():
        if name in converts:
            convert = converts[name]
            values[name] = convert(value) if convert is not None else value
    return kind(**values)


def _records(kind: type[Any], items: list[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(_record(kind, item) for item in items)


def _pairs(items: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(tuple, items))


def _perhaps(kind: type[Any], content: dict[str, Any] | None) -> Any:
    return None if content is None else _record(kind, content)


# By field, where the JSON value is not the value itself.
_CONVERTS: dict[type[Any], dict[str, Convert]] = {
    Job: {
        "state": JobState,
        "attempts": partial(_records, Attempt),
        "failure": partial(_perhaps, Failure),
        "checkpoint": partial(_perhaps, Commit),
        "outputs": partial(_records, Commit),
    },
    Attempt: {
        "state": AttemptState,
        "slices": partial(_records, Slice),
        "fetches": partial(_records, Fetch),
        "regions": tuple,
        "failure": partial(_perhaps, Failure),
        "score": partial(_perhaps, Score),
        "yielding": partial(_perhaps, Yielding),
    },
    Tenant: {"quotas": partial(_records, Quota), "projects": partial(_records, Project)},
    Project: {"quotas": partial(_records, Quota)},
    Usage: {"mean_cards": _pairs},
    NetworkMap: {
        "nodes": partial(_records, NetworkNode),
        "links": partial(_records, Link),
        "sources": tuple,
    },
    Dataset: {"replicas": partial(_records, Replica), "regions_allowed": tuple},
    PendingJoin: {
        "csr_pem": partial(base64.b64decode, validate=True),
        "certificate_pem": partial(base64.b64decode, validate=True),
    },
    Bundle: {"data": partial(base64.b64decode, validate=True)},
    Score: {"basis": partial(_record, Basis)},
    Learned: {"correction": partial(_record, Correction)},
}
_FIELDS: dict[type[Any], dict[str, Convert | None]] = {
    kind: {item.name: _CONVERTS.get(kind, {}).get(item.name) for item in fields(kind)}
    for kind in (
        *KINDS.values(),
        Attempt,
        Commit,
        Failure,
        Project,
        Quota,
        Yielding,
        Score,
        Basis,
        Correction,
        Slice,
        Fetch,
        NetworkNode,
        Link,
        Replica,
    )
}
