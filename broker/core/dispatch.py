"""From a round's proposals to grants: each is checked against the present, stale ones dropped."""

from __future__ import annotations

from collections.abc import Iterator

from broker.core.ahead import reachable
from broker.core.datasets import foreign, is_manifest, may_read, regions_of
from broker.core.lifecycle import JobEvent, JobState
from broker.core.messages import (
    PROTOCOL_DATASETS,
    PROTOCOL_MIN,
    PROTOCOL_RESTORES,
    Done,
    Grant,
    Proposals,
    Reply,
)
from broker.core.preempting import preempt
from broker.core.presence import PoolUse, SitePresence
from broker.core.prestaging import send_ahead, settle
from broker.core.quotas import quotas_now
from broker.core.rows import Attempt, Failure, Job
from broker.core.transaction import Transaction
from scheduler.model import Explanation, Fetch, Placement, Verdict
from scheduler.quotas import Quotas

Data = tuple[tuple[str, str], ...]  # (dataset, where to read it)


def on_proposals(tx: Transaction, event: Proposals) -> Reply:
    """Grant what still holds and keep what the round had to say."""
    quotas = quotas_now(tx.state, tx.memory.accelerators)
    granted = sum(1 for placement in event.placements if _grant(tx, placement, quotas))
    tx.memory.rounds.note(len(event.placements), granted, event.gap)
    stopped = sum(1 for proposal in event.preemptions if preempt(tx, proposal, quotas))
    for key, explanation in event.explanations:
        _remember(tx, key, explanation, event.decided_at)
    send_ahead(tx, event.prestagings)
    settle(tx)
    return Done(changed=granted + stopped > 0)


def _grant(tx: Transaction, placement: Placement, quotas: Quotas) -> bool:
    job = tx.state.jobs.get(placement.job_id)
    if job is None or job.state is not JobState.QUEUED:
        return False
    site_name, _, pool_name = placement.pool.partition("/")
    presence = tx.open_site(site_name)
    if presence is None or not _array_has_room(tx, job):
        return False
    data = tuple(_data_for(tx, job, site_name, placement.fetches))
    regions = regions_of(tx, tx.spec_of(job))
    if not _may_have(tx, job, presence, placement, data, regions):
        return False
    pool = presence.pools.get(pool_name)
    if pool is None or not _offered(tx, pool, placement):
        return False
    model = pool.reported.accelerator
    if not _within_quota(tx, job, model, placement, quotas):
        return False
    epoch = job.attempts[-1].epoch + 1 if job.attempts else 1
    if not pool.take((job.id, epoch), presence.grant_seq + 1, placement.slices):
        return False
    presence.grant_seq += 1
    attempt = Attempt(
        epoch=epoch,
        site=site_name,
        pool=placement.pool,
        accelerator=model,
        variant=placement.variant,
        slices=placement.slices,
        placed_at=tx.now.wall,
        score=placement.score,
        fetches=placement.fetches,
        regions=tuple(sorted(regions or ())),
    )
    tx.change(job, JobEvent.PLACE, attempt)
    quotas.give(job.tenant, job.project, model, attempt.cards)
    tx.grant(presence, _grant_message(tx, job, attempt, presence, pool_name, data))
    return True


def _may_have(
    tx: Transaction,
    job: Job,
    presence: SitePresence,
    placement: Placement,
    data: Data,
    regions: frozenset[str] | None,
) -> bool:
    """Whether the job's data may be at the site, and its agent knows what to do with them."""
    if (refusal := foreign(job.tenant, tx.spec_of(job))) is not None:  # it is older than the rule
        tx.change(job, JobEvent.EXPIRE, failure=Failure("user", refusal.code, refusal.message))
        return False
    if regions is not None and presence.facts.profile.region not in regions:
        return False
    if presence.protocol < _protocol_of(tx, job, data):
        tx.hold_off(placement.pool, placement.slices)
        return False
    return True


def _protocol_of(tx: Transaction, job: Job, data: Data) -> int:
    """The lowest version that an agent must speak to run it: another would begin a job anew
    that has a state to go on from, and would not know what it is to read or to write."""
    if tx.spec_of(job).writes or any("@" in name or is_manifest(place) for name, place in data):
        return PROTOCOL_DATASETS
    return PROTOCOL_RESTORES if job.checkpoint is not None else PROTOCOL_MIN


def _offered(tx: Transaction, pool: PoolUse, placement: Placement) -> bool:
    """Leases stay within what the site offers, also while cards that it has freed are leased."""
    wanted = sum(part.nodes * part.cards for part in placement.slices)
    leased = tx.state.cards_leased.get(placement.pool, 0)
    return 0 < wanted <= pool.reported.cards_usable - leased


def _within_quota(
    tx: Transaction, job: Job, model: str, placement: Placement, quotas: Quotas
) -> bool:
    preemptible = tx.spec_of(job).demand.preemptible
    left = quotas.cards_left(job.tenant, job.project, model, preemptible)
    return sum(part.nodes * part.cards for part in placement.slices) <= left


def _grant_message(
    tx: Transaction,
    job: Job,
    attempt: Attempt,
    presence: SitePresence,
    pool_name: str,
    data: Data,
) -> Grant:
    spec = tx.spec_of(job)
    return Grant(
        job_id=job.id,
        epoch=attempt.epoch,
        grant_seq=presence.grant_seq,
        anchor_seq=presence.heartbeat_seq,
        pool=pool_name,
        slices=attempt.slices,
        variant=attempt.variant,
        tenant=job.tenant,
        project=job.project,
        user=job.user,
        name=job.name,
        spec_sha256=job.spec_sha256,
        lease_class=spec.lease_class,
        lease_seconds=spec.lease_seconds,
        array_id=job.array_id,
        array_index=job.array_index,
        preempted_count=sum(1 for a in job.attempts if a.outcome == "preempted"),
        data=data,
        restore=job.checkpoint,
    )


def _data_for(
    tx: Transaction, job: Job, site: str, fetches: tuple[Fetch, ...]
) -> Iterator[tuple[str, str]]:
    """Where each dataset can be read: a copy at the site; else what its cache has, or is being
    sent; else one that others can reach, of these the one that is nearest by time."""
    sources, ahead = {fetch.dataset: fetch.source for fetch in fetches}, tx.memory.ahead
    for name in tx.spec_of(job).demand.inputs:
        dataset = tx.state.datasets.get(name)
        if dataset is None or not may_read(job.tenant, name):
            continue
        here = [each.path for each in dataset.replicas if each.site == site]
        copies = tuple(reachable(dataset))
        held = [path for _, path in copies if ahead.holds(site, path)]
        sent = [each.location for each in (ahead.at(site).get(name),) if each is not None]
        near = [path for at, path in copies if at == sources.get(name)]
        for path in (*here, *held, *sent, *near, *(path for _, path in copies))[:1]:
            yield name, path


def _array_has_room(tx: Transaction, job: Job) -> bool:
    if not job.array_id:
        return True
    parallel_max = tx.spec_of(job).parallel_max
    return not parallel_max or tx.state.array_live.get(job.array_id, 0) < parallel_max


def _remember(tx: Transaction, key: str, explanation: Explanation, decided_at: float) -> None:
    """Keep the newest word on a class, the oldest classes forgotten first."""
    kept = tx.memory.explanations
    kept[key] = explanation, decided_at
    kept.move_to_end(key)
    while len(kept) > tx.limits.explanations_max:
        kept.popitem(last=False)
    if explanation.verdict is Verdict.NEVER:
        tx.memory.never_since.setdefault(key, tx.now.elapsed)
    else:
        tx.memory.never_since.pop(key, None)
