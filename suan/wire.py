"""Between the SDK's values (`suan.models`) and the messages of `suan.v1.job`.

A spec is kept and signed as the bytes that were transmitted, so `spec_bytes` is
deterministic: equal specs give equal bytes. Decoding judges the form only; whether the
content makes sense is for `suan.jobspec.check`.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from scheduler.model import Pool
from suan.errors import InvalidSpec, Problem
from suan.jobspec.limits import SPEC_BYTES_MAX
from suan.models import (
    AcceleratorClass,
    ArrayRange,
    Attempt,
    AttemptState,
    Bundle,
    Checkpoint,
    Commit,
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
from suan.v1 import accelerator_pb2, job_pb2, site_pb2

_LAUNCH_TO_WIRE = {
    Launch.PER_NODE: job_pb2.LAUNCH_PER_NODE,
    Launch.PER_CARD: job_pb2.LAUNCH_PER_CARD,
}
_LAUNCH_FROM_WIRE = {
    job_pb2.LAUNCH_UNSPECIFIED: Launch.PER_NODE,
    **{number: launch for launch, number in _LAUNCH_TO_WIRE.items()},
}
_JOB_STATES = {
    number: JobState(name.removeprefix("JOB_STATE_"))
    for name, number in job_pb2.JobState.items()
    if number
}
_ATTEMPT_STATES = {
    number: AttemptState(name.removeprefix("ATTEMPT_STATE_"))
    for name, number in job_pb2.AttemptState.items()
    if number
}


def spec_bytes(spec: JobSpec) -> bytes:
    """The bytes to submit. Raises InvalidSpec when they are too many or cannot be written."""
    try:
        data = to_wire(spec).SerializeToString(deterministic=True)
    except (ValueError, TypeError) as error:
        message = f"the spec has a value that cannot be sent: {error}"
        raise _invalid("UnwritableSpec", message) from None
    _verify_size(data)
    return data


def spec_from_bytes(data: bytes) -> JobSpec:
    """The spec that `data` holds. Raises InvalidSpec when it is too large or not a spec."""
    _verify_size(data)
    try:
        message = job_pb2.JobSpec.FromString(data)
    except DecodeError:
        raise _invalid("UnreadableSpec", "the bytes are not a job spec") from None
    return from_wire(message)


def to_wire(spec: JobSpec) -> job_pb2.JobSpec:
    """What has its default is left out. Raises ValueError or TypeError for values that no
    message can hold."""
    message = job_pb2.JobSpec(
        name=spec.name,
        variants=[_variant_to_wire(variant) for variant in spec.variants],
        environment=dict(spec.environment),
        secrets=spec.secrets,
        working_directory=spec.working_directory,
        inputs=[
            job_pb2.Input(path=item.path, source=item.source, writable=item.writable)
            for item in spec.inputs
        ],
        outputs=[
            job_pb2.Output(
                path=item.path,
                destination=item.destination,
                when=item.when,
                size_bytes=item.size_bytes,
            )
            for item in spec.outputs
        ],
        time_limit_seconds=spec.time_limit_seconds,
        grace_seconds=spec.grace_seconds,
        priority=spec.priority,
        deadline_at=spec.deadline_at,
        preemptible=None if spec.preemptible else False,
        account=spec.account,
        funding=spec.funding,
        launch=_LAUNCH_TO_WIRE[spec.launch],
    )
    _add_parts(message, spec)
    return message


def from_wire(message: job_pb2.JobSpec) -> JobSpec:
    """Raises InvalidSpec for what this version has no word for."""
    if message.HasField("service"):
        raise _invalid("UnsupportedSpec", "inference services are not supported yet")
    if message.launch not in _LAUNCH_FROM_WIRE:
        raise _invalid("UnsupportedSpec", f"launch {message.launch} is not known here")
    array, bundle = message.array, message.bundle
    return JobSpec(
        variants=tuple(_variant_from_wire(variant) for variant in message.variants),
        name=message.name,
        environment=tuple(sorted(message.environment.items())),
        secrets=tuple(message.secrets),
        working_directory=message.working_directory,
        inputs=tuple(Input(item.path, item.source, item.writable) for item in message.inputs),
        outputs=tuple(
            Output(item.path, item.destination, item.when or "success", item.size_bytes)
            for item in message.outputs
        ),
        work=_work_from_wire(message.work) if message.HasField("work") else Work(),
        time_limit_seconds=message.time_limit_seconds,
        grace_seconds=message.grace_seconds,
        retry=_retry_from_wire(message.retry) if message.HasField("retry") else Retry(),
        lease=_lease_from_wire(message.lease) if message.HasField("lease") else Lease(),
        where=_where_from_wire(message.where) if message.HasField("where") else Where(),
        priority=message.priority,
        deadline_at=message.deadline_at,
        preemptible=message.preemptible or not message.HasField("preemptible"),
        account=message.account,
        funding=tuple(message.funding),
        array=ArrayRange(array.first, array.last, array.step or 1, array.parallel_max)
        if message.HasField("array")
        else None,
        launch=_LAUNCH_FROM_WIRE[message.launch],
        bundle=Bundle(bundle.sha256, bundle.size_bytes) if message.HasField("bundle") else None,
        checkpoint=Checkpoint(message.checkpoint.size_bytes, message.checkpoint.every_seconds),
    )


def job_from_wire(message: job_pb2.Job) -> Job:
    """The job as the broker told it; a state newer than this version reads UNKNOWN."""
    return Job(
        id=message.id,
        state=_JOB_STATES.get(message.state, JobState.UNKNOWN),
        name=message.name,
        tenant=message.tenant,
        project=message.project,
        user=message.user,
        submitted_at=message.submitted_at,
        finished_at=message.finished_at,
        attempts=tuple(attempt_from_wire(attempt) for attempt in message.attempts),
        failure=failure_from_wire(message.failure) if message.HasField("failure") else None,
        array_id=message.array_id,
        array_index=message.array_index,
        revision=message.revision,
        priority=message.priority,
        spec_sha256=message.spec_sha256,
        exit_code=message.exit_code,
        condition=message.condition,
        checkpoint=commit_from_wire(message.checkpoint) if message.HasField("checkpoint") else None,
        outputs=tuple(commit_from_wire(commit) for commit in message.outputs),
    )


def commit_from_wire(message: job_pb2.Commit) -> Commit:
    return Commit(
        kind=message.kind,
        epoch=message.epoch,
        number=message.number,
        url=message.url,
        sha256=message.sha256,
        size_bytes=message.size_bytes,
        files=message.files,
        site=message.site,
        at=message.at,
        path=message.path,
        dataset=message.dataset,
    )


def attempt_from_wire(message: job_pb2.Attempt) -> Attempt:
    return Attempt(
        epoch=message.epoch,
        state=_ATTEMPT_STATES.get(message.state, AttemptState.UNKNOWN),
        site=message.site,
        pool=message.pool,
        accelerator=message.accelerator,
        cards=message.cards,
        num_nodes=message.num_nodes,
        placed_at=message.placed_at,
        started_at=message.started_at,
        ended_at=message.ended_at,
        outcome=message.outcome,
        exit_code=message.exit_code,
        failure=failure_from_wire(message.failure) if message.HasField("failure") else None,
        staged_bytes=message.staged_bytes,
        staging_bytes=message.staging_bytes,
        released_at=message.released_at,
    )


def failure_from_wire(message: job_pb2.Failure) -> Failure:
    return Failure(message.category, message.code, message.message)


def _add_parts(message: job_pb2.JobSpec, spec: JobSpec) -> None:
    """The parts that are messages of their own, where they say something."""
    work, retry, lease, where = spec.work, spec.retry, spec.lease, spec.where
    if work != Work():
        message.work.CopyFrom(
            job_pb2.Work(
                seconds=work.seconds,
                accelerator=work.accelerator,
                cards=work.cards,
                flops=work.flops,
                precision=work.precision,
                fallbacks=work.fallbacks,
                tokens=work.tokens,
                parameters=work.parameters,
                family=work.family,
            )
        )
    if (checkpoint := spec.checkpoint) != Checkpoint():
        message.checkpoint.size_bytes = checkpoint.size_bytes
        message.checkpoint.every_seconds = checkpoint.every_seconds
    if retry != Retry():
        message.retry.CopyFrom(job_pb2.Retry(max=retry.max, on=retry.on))
    if lease != Lease():
        # `class` is a word of Python, so it cannot be written as an argument.
        part = job_pb2.Lease(seconds=lease.seconds, **{"class": lease.lease_class})
        message.lease.CopyFrom(part)
    if where != Where():
        message.where.CopyFrom(
            job_pb2.Where(
                sites_allowed=where.sites_allowed,
                sites_denied=where.sites_denied,
                span=where.span,
                yuan_max=where.yuan_max,
                prefer=where.prefer,
                users_at=where.users_at,
                latency_ms_max=where.latency_ms_max,
            )
        )
    if (array := spec.array) is not None:
        message.array.CopyFrom(
            job_pb2.ArrayRange(
                first=array.first,
                last=array.last,
                step=array.step,
                parallel_max=array.parallel_max,
            )
        )
    if (bundle := spec.bundle) is not None:
        message.bundle.CopyFrom(job_pb2.Bundle(sha256=bundle.sha256, size_bytes=bundle.size_bytes))


def _variant_to_wire(variant: Variant) -> job_pb2.Variant:
    message = job_pb2.Variant(
        num_nodes=variant.num_nodes,
        accelerators_per_node=variant.accelerators_per_node,
        cpus_per_node=variant.cpus_per_node,
        memory_gib_per_node=variant.memory_gib_per_node,
        image=variant.image,
        setup=variant.setup,
        run=variant.run,
        software=variant.software,
    )
    want, topology = variant.accelerator, variant.topology
    if isinstance(want, AcceleratorClass):
        message.accelerator_class.CopyFrom(
            accelerator_pb2.AcceleratorClass(
                precision=want.precision,
                tflops_min=want.tflops_min,
                memory_gib_min=want.memory_gib_min,
            )
        )
    else:
        message.accelerator = want
    if topology is not None:
        message.topology.CopyFrom(
            job_pb2.Topology(
                scope=topology.scope, num_nodes=topology.num_nodes, required=topology.required
            )
        )
    return message


def _variant_from_wire(message: job_pb2.Variant) -> Variant:
    want: str | AcceleratorClass = message.accelerator
    if message.HasField("accelerator_class"):
        figures = message.accelerator_class
        want = AcceleratorClass(figures.precision, figures.tflops_min, figures.memory_gib_min)
    topology = message.topology
    return Variant(
        accelerator=want,
        num_nodes=message.num_nodes,
        accelerators_per_node=message.accelerators_per_node,
        cpus_per_node=message.cpus_per_node,
        memory_gib_per_node=message.memory_gib_per_node,
        topology=Topology(topology.scope, topology.num_nodes, topology.required)
        if message.HasField("topology")
        else None,
        image=message.image,
        setup=message.setup,
        run=message.run,
        software=message.software,
    )


def _work_from_wire(message: job_pb2.Work) -> Work:
    return Work(
        message.seconds,
        message.accelerator,
        message.cards,
        message.flops,
        message.precision,
        tuple(message.fallbacks),
        message.tokens,
        message.parameters,
        message.family,
    )


def _retry_from_wire(message: job_pb2.Retry) -> Retry:
    return Retry(message.max, tuple(message.on))


def _lease_from_wire(message: job_pb2.Lease) -> Lease:
    return Lease(getattr(message, "class") or "restart", message.seconds)


def _where_from_wire(message: job_pb2.Where) -> Where:
    return Where(
        sites_allowed=tuple(message.sites_allowed),
        sites_denied=tuple(message.sites_denied),
        span=message.span or "single-site",
        yuan_max=message.yuan_max,
        prefer=tuple(message.prefer),
        users_at=message.users_at,
        latency_ms_max=message.latency_ms_max,
    )


def _verify_size(data: bytes) -> None:
    if len(data) > SPEC_BYTES_MAX:
        message = f"the spec has {len(data):,} bytes, at most {SPEC_BYTES_MAX:,} are allowed"
        raise _invalid("SpecTooLarge", message, "put long scripts into files under `workdir`")


def _invalid(code: str, message: str, hint: str = "") -> InvalidSpec:
    return InvalidSpec(problems=(Problem(code, 0, 0, "", message, hint),))


def pool_to_wire(pool: Pool) -> site_pb2.Pool:
    """A pool as agent and broker both tell it."""
    return site_pb2.Pool(
        name=pool.name,
        accelerator=pool.accelerator,
        cards_per_node=pool.cards_per_node,
        cards_total=pool.cards_total,
        cards_usable=pool.cards_usable,
        supernodes=[
            site_pb2.Supernode(name=node.name, nodes_by_free=node.nodes_by_free)
            for node in pool.supernodes
        ],
        cpus_per_node=pool.cpus_per_node,
        memory_gib_per_node=pool.memory_gib_per_node,
        yuan_per_card_hour=pool.yuan_per_card_hour,
        utilisation=pool.utilisation,
        linearity=dict(pool.linearity),
        software=pool.software,
        time_limit_seconds_max=pool.time_limit_seconds_max,
        releases=[site_pb2.Release(cards=r.cards, ends_at=r.ends_at) for r in pool.releases],
    )
