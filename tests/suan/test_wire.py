"""Specs and jobs between the SDK's values and the wire."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suan import models, wire
from suan.errors import InvalidSpec
from suan.jobspec.check import check
from suan.jobspec.limits import SPEC_BYTES_MAX
from suan.models import (
    AcceleratorClass,
    ArrayRange,
    Attempt,
    AttemptState,
    Bundle,
    Failure,
    Input,
    Job,
    JobSpec,
    JobState,
    Launch,
    Lease,
    Output,
    Retry,
    Topology,
    Variant,
    Where,
    Work,
)
from suan.v1 import job_pb2

text = st.text(st.characters(codec="utf-8"), max_size=20)
words = st.lists(text, max_size=3).map(tuple)
count = st.integers(0, 2**32 - 1)
real = st.floats(allow_nan=False)
filled = text.filter(bool)  # where the empty string means the default
specs = st.builds(
    JobSpec,
    variants=st.lists(
        st.builds(
            Variant,
            accelerator=text | st.builds(AcceleratorClass, text, real, real),
            num_nodes=count,
            accelerators_per_node=count,
            cpus_per_node=count,
            memory_gib_per_node=real,
            topology=st.none() | st.builds(Topology, text, count, st.booleans()),
            image=text,
            setup=text,
            run=text,
        ),
        max_size=3,
    ).map(tuple),
    name=text,
    environment=st.dictionaries(text, text, max_size=5).map(lambda d: tuple(sorted(d.items()))),
    secrets=words,
    working_directory=text,
    inputs=st.lists(st.builds(Input, text, text, st.booleans()), max_size=3).map(tuple),
    outputs=st.lists(st.builds(Output, text, text, filled, count), max_size=3).map(tuple),
    work=st.builds(Work, real, text, count, real, text),
    time_limit_seconds=real,
    grace_seconds=real,
    retry=st.builds(Retry, count, words),
    lease=st.builds(Lease, filled, real),
    where=st.builds(Where, words, words, filled, real, words),
    priority=st.integers(-(2**31), 2**31 - 1),
    account=text,
    funding=words,
    array=st.none() | st.builds(ArrayRange, count, count, st.integers(1, 2**32 - 1), count),
    launch=st.sampled_from(Launch),
    bundle=st.none() | st.builds(Bundle, text, count),
)
fuzz = settings(max_examples=120, deadline=None, derandomize=True, database=None)


@fuzz
@given(specs)
def test_specs_come_back_as_they_went(spec: JobSpec) -> None:
    data = wire.spec_bytes(spec)
    assert wire.spec_from_bytes(data) == spec
    assert wire.from_wire(wire.to_wire(spec)) == spec
    check(spec)  # whatever came over the wire can be judged


@fuzz
@given(specs, st.randoms(use_true_random=False))
def test_equal_specs_give_equal_bytes(spec: JobSpec, random: Any) -> None:
    variables = list(spec.environment)
    random.shuffle(variables)
    shuffled = replace(spec, environment=tuple(variables))
    assert wire.spec_bytes(shuffled) == wire.spec_bytes(spec)


@fuzz
@given(st.binary(max_size=200))
def test_bytes_are_a_spec_or_refused(data: bytes) -> None:
    try:
        spec = wire.spec_from_bytes(data)
    except InvalidSpec as error:
        assert error.problems[0].code in ("UnreadableSpec", "UnsupportedSpec")
    else:
        check(spec)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (JobSpec, job_pb2.JobSpec),
        (Variant, job_pb2.Variant),
        (Topology, job_pb2.Topology),
        (Input, job_pb2.Input),
        (Output, job_pb2.Output),
        (Work, job_pb2.Work),
        (Retry, job_pb2.Retry),
        (Lease, job_pb2.Lease),
        (Where, job_pb2.Where),
        (ArrayRange, job_pb2.ArrayRange),
        (Bundle, job_pb2.Bundle),
        (Job, job_pb2.Job),
        (Attempt, job_pb2.Attempt),
        (Failure, job_pb2.Failure),
    ],
)
def test_models_mirror_the_messages(model: Any, message: Any) -> None:
    """A field added to one side and forgotten on the other fails here."""
    assert is_dataclass(model)
    ours = {field.name for field in fields(model)}
    theirs = {field.name for field in message.DESCRIPTOR.fields}
    # `class` is a word of Python; services are reserved; a oneof is one attribute.
    renamed = {"lease_class": "class"}
    assert {renamed.get(name, name) for name in ours} == theirs - {"service", "accelerator_class"}


def test_every_state_of_the_wire_has_a_word() -> None:
    jobs = [job_pb2.Job(state=name) for name in job_pb2.JobState.keys()[1:]]
    assert {wire.job_from_wire(job).state for job in jobs} == set(JobState) - {JobState.UNKNOWN}
    attempts = [job_pb2.Attempt(state=name) for name in job_pb2.AttemptState.keys()[1:]]
    found = {wire.attempt_from_wire(attempt).state for attempt in attempts}
    assert found == set(AttemptState) - {AttemptState.UNKNOWN}


def test_a_state_from_the_future_is_unknown() -> None:
    message = job_pb2.Job.FromString(b"\x30\x63")  # field 6, value 99
    assert wire.job_from_wire(message).state is JobState.UNKNOWN
    assert not JobState.UNKNOWN.terminal


def test_job_with_attempts_and_failure() -> None:
    failure = job_pb2.Failure(category="site", code="NodeFault", message="node 3 fell")
    message = job_pb2.Job(
        id="0192",
        name="sft",
        tenant="t",
        project="p",
        user="u",
        state=job_pb2.JOB_STATE_FAILED,
        submitted_at=1.5,
        finished_at=9.5,
        attempts=[
            job_pb2.Attempt(
                epoch=1,
                state=job_pb2.ATTEMPT_STATE_ENDED,
                site="zhengzhou",
                pool="bw",
                accelerator="hygon-bw1000",
                cards=32,
                num_nodes=4,
                placed_at=2,
                started_at=3,
                ended_at=9,
                outcome="failed",
                exit_code=137,
                failure=failure,
            )
        ],
        failure=failure,
        array_id="a",
        array_index=7,
        revision=12,
        priority=-3,
        spec_sha256="ab",
        exit_code=137,
    )
    expected = Failure("site", "NodeFault", "node 3 fell")
    attempt = Attempt(
        1,
        AttemptState.ENDED,
        "zhengzhou",
        "bw",
        "hygon-bw1000",
        32,
        4,
        2.0,
        3.0,
        9.0,
        "failed",
        137,
        expected,
    )
    job = wire.job_from_wire(message)
    assert job == Job(
        id="0192",
        state=JobState.FAILED,
        name="sft",
        tenant="t",
        project="p",
        user="u",
        submitted_at=1.5,
        finished_at=9.5,
        attempts=(attempt,),
        failure=expected,
        array_id="a",
        array_index=7,
        revision=12,
        priority=-3,
        spec_sha256="ab",
        exit_code=137,
    )
    assert job.state.terminal


def test_empty_messages_mean_the_defaults() -> None:
    message = job_pb2.JobSpec(
        lease=job_pb2.Lease(), where=job_pb2.Where(), array=job_pb2.ArrayRange(last=3)
    )
    spec = wire.from_wire(message)
    assert (spec.lease, spec.where, spec.array) == (Lease(), Where(), ArrayRange(0, 3))
    assert spec.launch is Launch.PER_NODE


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xff\xff", "UnreadableSpec"),
        (
            job_pb2.JobSpec(service=job_pb2.Service(replicas=1)).SerializeToString(),
            "UnsupportedSpec",
        ),
        (job_pb2.JobSpec(launch=9).SerializeToString(), "UnsupportedSpec"),  # type: ignore[arg-type]
        (b"x" * (SPEC_BYTES_MAX + 1), "SpecTooLarge"),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        wire.spec_from_bytes(data)
    assert caught.value.problems[0].code == code


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (JobSpec((Variant("a", num_nodes=2**40, run="x"),)), "UnwritableSpec"),
        (JobSpec((Variant("a", run="\ud800"),)), "UnwritableSpec"),
        (JobSpec((Variant("a", run="x" * SPEC_BYTES_MAX),)), "SpecTooLarge"),
    ],
)
def test_what_cannot_be_sent_is_refused(spec: JobSpec, code: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        wire.spec_bytes(spec)
    assert caught.value.problems[0].code == code


def test_models_cannot_be_changed() -> None:
    spec = JobSpec(())
    with pytest.raises(AttributeError):
        spec.name = "x"  # type: ignore[misc]
    assert models.ArrayRange(0, 9, 3).indexes() == range(0, 10, 3)
