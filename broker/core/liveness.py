"""Silence: suspect, then lost, then each attempt waits for its lease to run out.

What time does not end is not taken back by time: class `proof` waits for a word of its site
or of an operator, class `overlap` is replaced on suspicion (see `overlap`).

The broker's own outage must not read as the loss of every site: after a start every
lease runs its full length again, and while most sites are silent nothing expires: what
they did not say then is not held against them. Wall time, which may jump, ends no lease.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from broker.core.lifecycle import (
    AttemptEvent,
    AttemptState,
    JobEvent,
    next_attempt_state,
)
from broker.core.maintenance import end_maintenance, holds_leases
from broker.core.messages import Tick
from broker.core.overlap import may_replace, replace_attempt
from broker.core.prestaging import settle
from broker.core.reconcile import suspect_seconds
from broker.core.reports import lose_attempt
from broker.core.rows import Failure
from broker.core.transaction import Transaction
from broker.core.usage import forget_faded
from scheduler.model import SiteState

CHANGES_PER_TICK_MAX = 1_000  # of one kind, and of one site
WALL_JUMP_SECONDS = 60.0  # of the wall clock against the elapsed one, between two ticks


def on_tick(tx: Transaction, _event: Tick) -> None:
    """Look at every site's silence and at what has waited for too long."""
    silent = _judge_silence(tx)
    if _fault_is_ours(tx, silent):
        tx.memory.excused_seconds += tx.now.elapsed - tx.memory.ticked_elapsed
    else:
        for site in silent:
            _lose_attempts(tx, site)
    tx.memory.ticked_elapsed = tx.now.elapsed
    end_maintenance(tx)
    settle(tx)
    _forget_holds(tx)
    _expire_unplaceable(tx)
    forget_faded(tx)
    if _wall_is_steady(tx):
        _forget_finished(tx)
        _expire_late(tx)


def silence_seconds(tx: Transaction, site: str) -> float:
    """How long a site has been silent by the broker's clock, and not through our fault."""
    presence = tx.memory.presence.get(site)
    return tx.lease_clock - (presence.heard_at_clock if presence else tx.memory.started_elapsed)


def _judge_silence(tx: Transaction) -> list[str]:
    """Mark suspect and lost sites; the names of all sites that are silent."""
    suspect_after = suspect_seconds(tx)
    silent: list[str] = []
    for site in tx.state.sites:
        silence = silence_seconds(tx, site)
        if silence <= suspect_after:
            continue
        presence = tx.memory.presence.get(site)
        if presence is not None and silence <= suspect_seconds(tx, presence):
            continue
        silent.append(site)
        if presence is not None:
            lost = silence > tx.limits.lost_seconds
            presence.silence = SiteState.LOST if lost else SiteState.SUSPECT
    return silent


def _fault_is_ours(tx: Transaction, silent: list[str]) -> bool:
    """Most of several sites are silent at once, and from none has come a word."""
    known = len(tx.state.sites)
    quiet = tx.now.elapsed - tx.memory.heard_elapsed
    return known > 1 and len(silent) * 2 > known and quiet > suspect_seconds(tx)


def _lose_attempts(tx: Transaction, site: str) -> None:
    """Orphan a lost site's attempts; end those whose lease is over there too, come what may."""
    silence = silence_seconds(tx, site)
    is_lost = silence > tx.limits.lost_seconds
    # A site not heard since this leader began may only be slow to find it.
    suspected = is_lost or site in tx.memory.presence
    held = holds_leases(tx)
    changes_left = CHANGES_PER_TICK_MAX
    for job, attempt in tx.state.live_at(site):
        spec = tx.spec_of(job)
        if not changes_left:
            return
        over = spec.ended_by_time and silence > tx.limits.takeback_seconds(spec.lease_seconds)
        if over and not held:
            message = f"{site} was silent for {silence:.0f} s, longer than the lease"
            lose_attempt(tx, job, attempt, "SiteLost", message)
        elif suspected and may_replace(tx, job):
            replace_attempt(tx, job, attempt)
        elif is_lost and attempt.state is not AttemptState.ORPHANED:
            state = next_attempt_state(attempt.state, AttemptEvent.ORPHAN, job)
            tx.update_attempt(job, replace(attempt, state=state))
        else:
            continue
        changes_left -= 1


def _forget_holds(tx: Transaction) -> None:
    holds = tx.memory.holds
    for key in [key for key, until in holds.items() if until <= tx.now.elapsed]:
        del holds[key]


def _expire_unplaceable(tx: Transaction) -> None:
    """Fail the jobs that waited all the time while nothing could ever run their class."""
    since = tx.memory.never_since
    if not since:
        return
    patience = tx.limits.unplaceable_seconds
    queued = tx.state.queue.by_key
    for key in [key for key in since if key not in queued]:
        del since[key]
    failure = Failure("policy", "NeverPlaceable", "no site could ever run this job")
    for key in [key for key, began in since.items() if tx.now.elapsed - began > patience]:
        for job_id in list(islice(queued[key].ids(), CHANGES_PER_TICK_MAX)):
            job = tx.state.jobs[job_id]
            if tx.now.wall - job.submitted_at > patience:
                tx.change(job, JobEvent.EXPIRE, failure=failure)


def _expire_late(tx: Transaction) -> None:
    """Fail the queued jobs whose deadline has passed."""
    failure = Failure("user", "DeadlinePassed", "its deadline passed before it could start")
    for job_id in list(islice(tx.state.queue.late(tx.now.wall), CHANGES_PER_TICK_MAX)):
        tx.change(tx.state.jobs[job_id], JobEvent.EXPIRE, failure=failure)


def _wall_is_steady(tx: Transaction) -> bool:
    """Whether ages by wall time can be believed. After a jump by years a job that ended a
    moment ago looks old, and its submission, said again late, would be taken for a new one."""
    memory, ahead = tx.memory, tx.now.wall - tx.now.elapsed
    if abs(ahead - memory.wall_ahead) > WALL_JUMP_SECONDS:
        memory.wall_steady_since = tx.now.elapsed
    memory.wall_ahead = ahead
    return tx.now.elapsed - memory.wall_steady_since > tx.limits.settle_seconds


def _forget_finished(tx: Transaction) -> None:
    """Drop jobs that ended longer ago than the retention, and specs nobody uses."""
    for job_id in list(islice(tx.state.finished, CHANGES_PER_TICK_MAX)):
        job = tx.state.jobs[job_id]
        if tx.now.wall - job.finished_at <= tx.limits.retention_seconds:
            break
        tx.delete(job.key)
        if not tx.state.spec_uses.get(job.spec_sha256):
            tx.delete(f"spec/{job.spec_sha256}")
