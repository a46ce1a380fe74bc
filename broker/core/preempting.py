"""From proposals to stop attempts to the stops: each is checked against the present.

An attempt that must make room is marked in its job's row before its site hears of it, so that
every later leader goes on asking. Its end is the site's to tell: only then is the job queued
again, with the next epoch. All victims of a proposal yield or none; the caps are on how many
attempts, and how much work, others may cost in an hour, and on how often one job may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from broker.core.lifecycle import AttemptState, JobState
from broker.core.messages import Report, Stops
from broker.core.presence import SitePresence
from broker.core.queue import class_key
from broker.core.quotas import entitlements
from broker.core.rows import Attempt, Failure, Job, Spec, Yielding
from broker.core.state import State
from broker.core.transaction import Memory, Transaction
from scheduler.model import Preemption, PreemptionReason, QueueClass, Running, SiteState, Victim
from scheduler.preemption import outranks, reclaims
from scheduler.priority import PriorityClass
from scheduler.quotas import Quotas

CAP_SECONDS = 3_600.0
STOPS_PER_HEARTBEAT_MAX = 1_000
STOP_REASON = "Preempted"


def preempt(tx: Transaction, proposal: Preemption, quotas: Quotas) -> bool:
    """Ask the victims of a proposal to stop, if everything still holds; True when it did."""
    job = tx.state.jobs.get(proposal.job_id)
    site, _, _ = proposal.pool.partition("/")
    presence = tx.memory.presence.get(site)
    row = tx.state.sites.get(site)
    if job is None or job.state is not JobState.QUEUED or presence is None or row is None:
        return False
    if presence.state(row.draining) is not SiteState.OPEN or _has_room_coming(tx.state, site, job):
        return False
    victims = [_victim(tx, proposal, victim) for victim in proposal.victims]
    found = [each for each in victims if each is not None]
    if not found or len(found) < len(victims) or not _under_caps(tx, proposal):
        return False
    if not _lawful(tx, proposal, job, found, quotas):
        return False
    for (other, attempt), victim in zip(found, proposal.victims, strict=True):
        yields = Yielding(
            tx.now.wall, job.id, job.tenant, proposal.reason.value, victim.lost_card_seconds
        )
        tx.update_attempt(other, replace(attempt, yielding=yields))
    named = ", ".join(f"{victim.job_id}/{victim.epoch}" for victim in proposal.victims[:10])
    detail = f"{len(found)} attempts at {proposal.pool} ({proposal.reason}): {named}"
    tx.audit("broker", "preempt", job.key, detail)
    tx.send(presence, Stops(tuple((o.id, attempt.epoch, STOP_REASON) for o, attempt in found)))
    return True


def _has_room_coming(state: State, site: str, job: Job) -> bool:
    """Whether attempts at this site are being stopped for this job already."""
    held = state.attempts.get(site)
    for job_id in held.yielding if held else ():
        attempt = state.jobs[job_id].live_attempt
        if attempt is not None and attempt.yielding and attempt.yielding.job_id == job.id:
            return True
    return False


def _victim(tx: Transaction, proposal: Preemption, victim: Victim) -> tuple[Job, Attempt] | None:
    """The job and attempt of a victim, if it is what the round took it for."""
    job = tx.state.jobs.get(victim.job_id)
    attempt = job.live_attempt if job else None
    if job is None or attempt is None or attempt.epoch != victim.epoch:
        return None
    if attempt.pool != proposal.pool or not may_yield(tx.memory, job, attempt):
        return None
    return job, attempt


def may_yield(memory: Memory, job: Job, attempt: Attempt) -> bool:
    """Whether an attempt may be asked to stop for another job."""
    spec = memory.state.specs[job.spec_sha256]
    stopped = sum(1 for each in job.attempts if each.yielding is not None)
    return (
        job.state is JobState.RUNNING
        and attempt.state is AttemptState.RUNNING
        and attempt.yielding is None
        and attempt.holds_cards
        and spec.demand.preemptible
        and stopped < memory.limits.preempted_per_job_max
        and len(job.attempts) < memory.limits.attempts_max  # else its job would fail
    )


def spent(state: State, limit: int, wall: float) -> tuple[int, float]:
    """(attempts stopped for others, card-seconds lost with them) in the last hour; at most `limit`
    of the latest are counted."""
    latest = islice(reversed(state.yielded.values()), limit)
    recent = [each.lost_card_seconds for each in latest if wall - each.at < CAP_SECONDS]
    return len(recent), sum(recent)


def _under_caps(tx: Transaction, proposal: Preemption) -> bool:
    limits = tx.limits
    count, lost = spent(tx.state, int(limits.preempted_per_hour_max), tx.now.wall)
    return (
        count + len(proposal.victims) <= limits.preempted_per_hour_max
        and lost + proposal.lost_card_seconds <= limits.preempted_card_hours_max * CAP_SECONDS
    )


def _lawful(
    tx: Transaction,
    proposal: Preemption,
    job: Job,
    victims: list[tuple[Job, Attempt]],
    quotas: Quotas,
) -> bool:
    """Whether the reason still holds for each victim when those before it are stopped."""
    spec = tx.spec_of(job)
    if not 0 <= proposal.variant < len(spec.demand.variants):
        return False
    queued = _as_class(job, spec)
    cards = spec.demand.variants[proposal.variant].cards
    given: list[Running] = []
    for other, attempt in victims:
        running = as_running(tx.memory, other, attempt, tx.now.wall)
        if proposal.reason is PreemptionReason.PRIORITY:
            holds = outranks(queued, running)
        else:
            holds = reclaims(quotas, queued, attempt.accelerator, cards, running)
        if not holds:
            break
        quotas.give(other.tenant, other.project, attempt.accelerator, -attempt.cards)
        given.append(running)
    if len(given) == len(victims):
        return True
    for running, (_, attempt) in zip(given, victims, strict=False):
        quotas.give(running.tenant, running.project, attempt.accelerator, attempt.cards)
    return False


def _as_class(job: Job, spec: Spec) -> QueueClass:
    return QueueClass(class_key(job, spec), spec.demand, job.tenant, job.project, job.priority)


def may_preempt(state: State, queue: Iterable[QueueClass]) -> bool:
    """Whether anybody who waits could be entitled to another's cards at all."""
    if any(each.guaranteed > 0 for row in entitlements(state) for each in row.quotas):
        return True
    below = min((own for own, count in state.live_classes.items() if count), default=None)
    return below is not None and any(PriorityClass.of(each.priority) > below for each in queue)


def held_cards(_job: Job, attempt: Attempt) -> Running:
    """A live attempt of which no more matters than its cards and its end."""
    score = attempt.score
    if score is None:
        return Running(attempt.pool, attempt.cards, 0.0)
    begins_at = attempt.started_at or attempt.placed_at + score.stage_seconds
    return Running(attempt.pool, attempt.cards, begins_at + score.run_seconds)


def as_running(memory: Memory, job: Job, attempt: Attempt, wall: float) -> Running:
    """A live attempt as the scheduler sees it: its cards, its end, and what its stop would lose."""
    demand = memory.state.specs[job.spec_sha256].demand
    done = max(0.0, wall - (attempt.started_at or attempt.placed_at))
    every = demand.checkpoint.every_seconds
    return replace(
        held_cards(job, attempt),
        job_id=job.id,
        epoch=attempt.epoch,
        tenant=job.tenant,
        project=job.project,
        priority=job.priority,
        slices=attempt.slices,
        lost_seconds=done % every if every > 0 else done,
        preemptible=may_yield(memory, job, attempt),
        stopping=attempt.yielding is not None,
    )


def press_yielding(tx: Transaction, presence: SitePresence) -> None:
    """Ask again, at each heartbeat, until the site has told of the end."""
    held = tx.state.attempts.get(presence.site)
    if held and held.yielding:
        asked = islice(held.yielding.items(), STOPS_PER_HEARTBEAT_MAX)
        stops = tuple((job_id, epoch, STOP_REASON) for job_id, epoch in asked)
        tx.send(presence, Stops(stops))


def told(job: Job, attempt: Attempt, report: Report) -> Report:
    """The report of an end that we asked for, with what it was for."""
    yields = attempt.yielding
    if yields is None or report.outcome != "preempted":
        return report
    return replace(report, failure=Failure("broker", STOP_REASON, " ".join(_why(job, yields))))


def _why(job: Job, yields: Yielding) -> Iterator[str]:
    """Of another tenant's jobs no more is said than that there is one."""
    if yields.tenant != job.tenant:
        yield f"stopped for a job of {yields.tenant}, whose guaranteed cards it had borrowed;"
    elif yields.reason == PreemptionReason.RECLAIM:
        yield f"stopped for {yields.job_id}, whose project's guaranteed cards it had borrowed;"
    else:
        yield f"stopped for {yields.job_id}, which has a higher priority class;"
    yield f"{yields.lost_card_seconds / 3600.0:.1f} card-hours of work since its last checkpoint"
