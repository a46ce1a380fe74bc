"""What clients ask of the core: submit, cancel, keep a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from broker.core.datasets import crowded, foreign
from broker.core.lifecycle import JobEvent, JobState
from broker.core.messages import (
    Accepted,
    Cancel,
    Done,
    PutBundle,
    Refusal,
    Refused,
    Reply,
    Results,
    Stops,
    Submission,
    Submit,
)
from broker.core.rows import Failure, Job, Spec
from broker.core.transaction import Transaction


def on_submit(tx: Transaction, event: Submit) -> Reply:
    """Queue each job of the batch, or say why not; each stands for itself."""
    if len(event.jobs) > tx.limits.jobs_per_submit_max:
        return Refusal(
            "BatchTooLarge",
            f"{len(event.jobs)} jobs in one request; at most {tx.limits.jobs_per_submit_max}",
            "INVALID_ARGUMENT",
            "send them in several requests",
        )
    specs = {spec.sha256: spec for spec in event.specs}
    results: list[Accepted | Refused] = []
    for item in event.jobs:
        known = tx.state.jobs.get(item.job_id)
        if known is not None:
            results.append(_again(known, item, event.tenant))
            continue
        spec = specs[item.spec_sha256]
        refusal = (
            _room(tx, event.tenant)
            or _short_lease(tx, spec)
            or foreign(event.tenant, spec)
            or crowded(tx, event.tenant, spec)
        )
        if refusal is not None:
            results.append(Refused(item.job_id, refusal))
            continue
        if item.spec_sha256 not in tx.state.specs:
            tx.put(spec)
        tx.put(
            Job(
                id=item.job_id,
                tenant=event.tenant,
                project=event.project,
                user=event.user,
                name=spec.name,
                spec_sha256=item.spec_sha256,
                submitted_at=tx.now.wall,
                priority=spec.priority,
                array_id=item.array_id,
                array_index=item.array_index,
                revision=tx.state.revision + 1,
            )
        )
        results.append(Accepted(item.job_id))
    return Results(tuple(results))


def _again(known: Job, item: Submission, tenant: str) -> Accepted | Refused:
    same = (known.tenant, known.spec_sha256, known.array_id, known.array_index)
    if same == (tenant, item.spec_sha256, item.array_id, item.array_index):
        return Accepted(known.id, existed=True)
    refusal = Refusal(
        "JobIdTaken",
        f"job id {item.job_id} was already used for a different submission",
        "ALREADY_EXISTS",
        "send the same specification again to get the same job, or mint a new id",
    )
    return Refused(item.job_id, refusal)


def _room(tx: Transaction, tenant: str) -> Refusal | None:
    row = tx.state.tenants.get(tenant)
    if row is not None and row.suspended:
        return Refusal(
            "TenantSuspended",
            f"tenant {tenant} is suspended",
            "PERMISSION_DENIED",
            "ask a federation administrator",
        )
    allowed = (row.queued_jobs_max if row else 0) or tx.limits.queued_jobs_per_tenant_max
    if tx.state.queued_of(tenant) >= allowed:
        return Refusal(
            "QueueFull",
            f"tenant {tenant} has {allowed} jobs queued, its limit",
            "RESOURCE_EXHAUSTED",
            "wait until some have run, or ask for a higher limit",
        )
    if len(tx.state.jobs) >= tx.limits.jobs_max:
        return Refusal(
            "FederationFull",
            f"the broker keeps {tx.limits.jobs_max} jobs, its limit",
            "RESOURCE_EXHAUSTED",
            "submit again later",
        )
    return None


def _short_lease(tx: Transaction, spec: Spec) -> Refusal | None:
    floor = tx.limits.lease_seconds_min
    if spec.lease_class != "restart" or spec.lease_seconds >= floor:
        return None
    return Refusal(
        "LeaseBelowFloor",
        f"a lease of {spec.lease_seconds:g} s is shorter than this federation's {floor:g} s",
        "INVALID_ARGUMENT",
        "raise `lease.seconds`, or leave it out for the default of 600 s",
    )


def on_cancel(tx: Transaction, event: Cancel) -> Reply:
    """Cancel jobs or whole arrays. A running attempt is stopped; its end is the proof."""
    results: list[Accepted | Refused] = []
    stops: dict[str, list[tuple[str, int, str]]] = {}
    for wanted in event.ids:
        jobs = list(_jobs_named(tx, wanted, event.tenant))
        if not jobs:
            refusal = Refusal("JobNotFound", f"no job {wanted}", "NOT_FOUND", "see `suan ps`")
            results.append(Refused(wanted, refusal))
        results.extend(_cancel(tx, job, event, stops) for job in jobs)
    for site, listed in stops.items():
        presence = tx.memory.presence.get(site)
        if presence is not None and presence.connected:
            tx.send(presence, Stops(tuple(listed)))
    return Results(tuple(results))


def _jobs_named(tx: Transaction, wanted: str, tenant: str) -> Iterator[Job]:
    ids = tx.state.arrays.get(wanted) or ([wanted] if wanted in tx.state.jobs else [])
    for job_id in tuple(ids):
        job = tx.state.jobs[job_id]
        if not tenant or job.tenant == tenant:
            yield job


def _cancel(
    tx: Transaction, job: Job, event: Cancel, stops: dict[str, list[tuple[str, int, str]]]
) -> Accepted | Refused:
    if job.terminal:
        refusal = Refusal(
            "AlreadyEnded", f"job {job.id} has already {job.state}", "FAILED_PRECONDITION"
        )
        return Refused(job.id, refusal)
    if job.state is JobState.CANCELLING:
        return Accepted(job.id, existed=True)
    if not event.tenant:
        tx.audit(event.actor, "job.cancel", job.key, event.reason)
    by = f"cancelled by {event.actor}" + (f": {event.reason}" if event.reason else "")
    attempt = job.live_attempt
    tx.change(job, JobEvent.CANCEL, failure=Failure("user", "Cancelled", by))
    if attempt is not None:
        stops.setdefault(attempt.site, []).append((job.id, attempt.epoch, "Cancelled"))
    return Accepted(job.id)


def on_put_bundle(tx: Transaction, event: PutBundle) -> Reply:
    """Keep a user's archive; the same content again only keeps it longer."""
    bundle = replace(event.bundle, put_at=tx.now.wall)
    known = tx.state.bundles.get(bundle.sha256)
    if known is not None:
        if tx.now.wall - known.put_at > tx.limits.bundle_unused_seconds / 2:
            tx.put(replace(known, put_at=tx.now.wall))
        return Done(changed=False)
    room = tx.limits.bundles_bytes_max - len(bundle.data)
    if tx.state.bundle_bytes > room:
        _forget_unused_bundles(tx)
    if tx.state.bundle_bytes > room:
        return Refusal(
            "BundlesFull",
            f"the broker keeps at most {tx.limits.bundles_bytes_max >> 20} MiB of bundles",
            "RESOURCE_EXHAUSTED",
            "name a dataset instead, or submit again when other jobs have ended",
        )
    tx.put(bundle)
    return Done()


def _forget_unused_bundles(tx: Transaction) -> None:
    """Archives that no kept job names make room, but for those that were just put."""
    state, before = tx.state, tx.now.wall - tx.limits.bundle_unused_seconds
    for bundle in list(state.bundles.values()):
        if not state.bundle_uses.get(bundle.sha256) and bundle.put_at < before:
            tx.delete(bundle.key)
