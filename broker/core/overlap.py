"""Class `overlap`: replaced on suspicion, while the older copy may be alive.

The attempt at the silent site stays in the job's row as ORPHANED, a *copy*, until its death
is proved; as long as too many copies of a job are unproved, no other is made. So a job never
has more than `1 + overlap_extra` executions, also when site after site falls silent. The
rule of reconciling is keep-new: once the next epoch is granted, a copy that comes back is
told to stop; before that it is the job's attempt again. Epochs only ever increase.
"""

from __future__ import annotations

from dataclasses import replace

from broker.core.lifecycle import (
    AttemptEvent,
    AttemptState,
    JobEvent,
    JobState,
    next_attempt_state,
)
from broker.core.rows import Attempt, Failure, Job
from broker.core.transaction import Transaction


def may_replace(tx: Transaction, job: Job) -> bool:
    """Whether another copy may be made of a job whose site is silent."""
    return (
        tx.spec_of(job).lease_class == "overlap"
        and job.state in (JobState.PLACED, JobState.RUNNING)
        and len(job.copies) < tx.limits.overlap_extra
        and len(job.attempts) < tx.limits.attempts_max
    )


def replace_attempt(tx: Transaction, job: Job, attempt: Attempt) -> None:
    """Queue the job for another copy; this one is an orphan until something is heard of it."""
    if attempt.state is not AttemptState.ORPHANED:
        state = next_attempt_state(attempt.state, AttemptEvent.ORPHAN, job)
        attempt = replace(attempt, state=state)
    message = f"{attempt.site} fell silent; another copy is started elsewhere"
    tx.change(job, JobEvent.REQUEUE, attempt, Failure("site", "SiteSuspect", message))


def take_back(tx: Transaction, job: Job, attempt: Attempt) -> Job:
    """The newest copy of a queued job speaks again: nothing needs to replace it."""
    running = attempt.started_at > 0
    event = AttemptEvent.RETURN_RUNNING if running else AttemptEvent.RETURN_OFFERED
    state = next_attempt_state(attempt.state, event, job)
    job_event = JobEvent.RETURN_RUNNING if running else JobEvent.RETURN_OFFERED
    return tx.change(job, job_event, replace(attempt, state=state))


def end_copy(tx: Transaction, job: Job, copy: Attempt, outcome: str, at: float) -> None:
    """A copy is proved dead: it counts no more. The job goes on as it is."""
    state = next_attempt_state(copy.state, AttemptEvent.END, job)
    tx.update_attempt(job, replace(copy, state=state, ended_at=at, outcome=outcome))
