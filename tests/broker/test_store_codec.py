"""Rows to bytes and back: every kind, every field, and fields of versions to come."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_core import parse_spec, spec_of

from broker.core.lifecycle import AttemptState, JobState
from broker.core.rows import Attempt, Failure, Job, Row, Spec
from broker.store.codec import decode, encode
from scheduler.model import Score, Slice

KINDS = get_args(Row)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    if isinstance(kind, UnionType):
        return st.one_of(*(values_of(part) for part in get_args(kind)))
    if get_origin(kind) is tuple:
        return st.lists(values_of(get_args(kind)[0]), max_size=3).map(tuple)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{item.name: values_of(hints[item.name]) for item in fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    simple = {
        str: TEXT,
        bytes: st.binary(max_size=12),
        bool: st.booleans(),
        int: st.integers(-(2**63), 2**63),
        float: st.floats(allow_nan=False, allow_infinity=False),
        type(None): st.none(),
    }
    return simple[kind]


SPECS = st.builds(
    spec_of,
    name=TEXT,
    cards=st.integers(1, 8),
    nodes=st.integers(1, 99),
    retry_max=st.integers(0, 9),
    retry_on=st.lists(TEXT, max_size=2).map(tuple),
    lease_class=st.sampled_from(["restart", "proof", "overlap"]),
    parallel_max=st.integers(0, 99),
    priority=st.integers(-9, 9),
)
ROWS = st.one_of(*(SPECS if kind is Spec else values_of(kind) for kind in KINDS))


def back(row: Row) -> Row:
    return decode(row.key, encode(row), parse_spec)


@given(ROWS)
def test_every_row_comes_back_as_it_was(row: Row) -> None:
    assert back(row) == row


@given(ROWS, st.dictionaries(TEXT.map(lambda name: f"x_{name}"), st.integers(), max_size=3))
def test_fields_of_a_version_to_come_are_let_go(row: Row, extra: dict[str, int]) -> None:
    if isinstance(row, Spec):
        return  # its bytes are the client's own
    content = json.loads(encode(row))
    for attempt in content.get("attempts", ()):
        attempt.update(extra)
        for part in attempt["slices"]:
            part.update(extra)
    assert decode(row.key, json.dumps({**content, **extra}).encode(), parse_spec) == row


FULL = Job(
    id="j",
    tenant="lab",
    project="vision",
    user="li",
    name="train",
    spec_sha256="sha",
    submitted_at=1.5,
    state=JobState.FAILED,
    attempts=(
        Attempt(
            epoch=3,
            site="east",
            pool="east/main",
            accelerator="ascend-910b",
            variant=1,
            slices=(Slice("s0", 2, 8),),
            placed_at=2.5,
            state=AttemptState.ENDED,
            failure=Failure("user", "NonZeroExit", "exit code 1"),
            score=Score(1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        ),
    ),
    failure=Failure("user", "NonZeroExit", "exit code 1"),
)


def test_fields_of_a_version_past_have_their_defaults() -> None:
    content = json.loads(encode(FULL))
    for name in ("priority", "array_id", "failure"):
        del content[name]
    past = json.dumps(content).encode()
    assert decode("job/j", past, parse_spec) == replace(FULL, failure=None)


def test_a_spec_is_kept_as_the_bytes_that_came() -> None:
    spec = spec_of("训练")
    assert encode(spec) == spec.data


@pytest.mark.parametrize("state", JobState)
def test_a_job_row_is_small(state: JobState) -> None:
    """A queued job must cost little: there may be a million of them."""
    queued = replace(
        FULL, state=state, attempts=(), failure=None, id="0" * 36, spec_sha256="f" * 64
    )
    assert len(encode(queued)) < 400
