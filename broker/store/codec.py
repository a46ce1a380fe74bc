"""Rows to bytes and back: JSON by field name, so that rows may gain fields.

Job rows are written three or four times in a job's life, so they have a form of their
own; a spec is kept as the bytes its client sent. Unknown fields are dropped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from broker.core.lifecycle import AttemptState, JobState
from broker.core.rows import (
    Attempt,
    Audit,
    Bundle,
    Dataset,
    Failure,
    Job,
    JoinToken,
    NetworkMap,
    PendingJoin,
    Replica,
    Row,
    Site,
    Spec,
    Tenant,
)
from scheduler.model import Link, NetworkNode, Score, Slice

ParseSpec = Callable[[str, bytes], Spec]

_KINDS: dict[str, type[Any]] = {
    "site": Site,
    "token": JoinToken,
    "join": PendingJoin,
    "tenant": Tenant,
    "network": NetworkMap,
    "dataset": Dataset,
    "bundle": Bundle,
    "audit": Audit,
}
_ITEMS: dict[tuple[type[Any], str], type[Any]] = {
    (NetworkMap, "nodes"): NetworkNode,
    (NetworkMap, "links"): Link,
    (Dataset, "replicas"): Replica,
}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class UnreadableRow(Exception):
    """A stored row that cannot be understood: the store was damaged or is from the future."""


def encode(row: Row) -> bytes:
    """The row's bytes."""
    if isinstance(row, Job):
        return _dumps(_job_out(row)).encode()
    if isinstance(row, Spec):
        return row.data
    return _dumps(_out(row)).encode()


def decode(key: str, value: bytes, parse_spec: ParseSpec) -> Row:
    """The row of these bytes; `parse_spec` reads a specification.

    Raises UnreadableRow, naming the key.
    """
    kind, _, name = key.partition("/")
    try:
        if kind == "spec":
            return parse_spec(name, value)
        content = json.loads(value)
        if kind == "job":
            return _job_in(content)
        row: Row = _in(_KINDS[kind], content)
        return row
    except Exception as error:
        raise UnreadableRow(f"row {key} cannot be read: {error!r}") from error


# --- jobs -------------------------------------------------------------------


def _job_out(job: Job) -> dict[str, Any]:
    content: dict[str, Any] = {
        "id": job.id,
        "tenant": job.tenant,
        "user": job.user,
        "name": job.name,
        "spec_sha256": job.spec_sha256,
        "submitted_at": job.submitted_at,
        "state": job.state.value,
        "revision": job.revision,
    }
    if job.attempts:
        content["attempts"] = [_attempt_out(attempt) for attempt in job.attempts]
    for name in ("project", "priority", "array_id", "array_index", "finished_at"):
        value = getattr(job, name)
        if value:
            content[name] = value
    if job.failure:
        content["failure"] = _failure_out(job.failure)
    return content


def _failure_out(failure: Failure) -> list[str]:
    return [failure.category, failure.code, failure.message]


def _attempt_out(attempt: Attempt) -> dict[str, Any]:
    content: dict[str, Any] = {
        "epoch": attempt.epoch,
        "site": attempt.site,
        "pool": attempt.pool,
        "accelerator": attempt.accelerator,
        "variant": attempt.variant,
        "slices": [[part.supernode, part.nodes, part.cards] for part in attempt.slices],
        "placed_at": attempt.placed_at,
        "state": attempt.state.value,
    }
    for name in ("started_at", "ended_at", "outcome", "exit_code"):
        value = getattr(attempt, name)
        if value:
            content[name] = value
    if attempt.failure:
        content["failure"] = _failure_out(attempt.failure)
    score = attempt.score
    if score:
        content["score"] = [
            score.wait_seconds,
            score.stage_seconds,
            score.run_seconds,
            score.yuan,
            score.kwh,
            score.fragmentation_seconds,
        ]
    return content


def _job_in(content: dict[str, Any]) -> Job:
    attempts = tuple(_attempt_in(item) for item in content.pop("attempts", ()))
    failure = content.pop("failure", None)
    return Job(
        **_known(Job, content | {"state": JobState(content["state"])}, {"project": ""}),
        attempts=attempts,
        failure=_failure_in(failure),
    )


def _attempt_in(content: dict[str, Any]) -> Attempt:
    failure, score = content.pop("failure", None), content.pop("score", None)
    slices = tuple(Slice(*part[:3]) for part in content.pop("slices"))
    return Attempt(
        **_known(Attempt, content | {"state": AttemptState(content["state"])}, {}),
        slices=slices,
        failure=_failure_in(failure),
        score=Score(*score[:6]) if score else None,
    )


def _failure_in(parts: list[str] | None) -> Failure | None:
    return Failure(*parts[:3]) if parts else None


# --- the rest ----------------------------------------------------------------


def _out(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple):
        return [_out(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {item.name: _out(getattr(value, item.name)) for item in fields(value)}
    return value


def _in(kind: type[Any], content: dict[str, Any]) -> Any:
    values: dict[str, Any] = {}
    for item in fields(kind):
        if item.name not in content:
            continue
        value = content[item.name]
        of = _ITEMS.get((kind, item.name))
        if of is not None:
            value = tuple(_in(of, part) for part in value)
        elif isinstance(value, list):
            value = tuple(value)
        elif item.type == "bytes":
            value = base64.b64decode(value, validate=True)
        values[item.name] = value
    return kind(**values)


_FIELDS: dict[type[Any], frozenset[str]] = {
    kind: frozenset(item.name for item in fields(kind)) for kind in (Job, Attempt)
}


def _known(kind: type[Any], content: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    names = _FIELDS[kind]
    return base | {name: value for name, value in content.items() if name in names}
