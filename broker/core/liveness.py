"""Silence: suspect, then lost, then each attempt waits for its lease to run out.

The broker's own outage must not read as the loss of every site: after a start every
lease runs its full length again, and while most sites are silent nothing expires.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from broker.core.lifecycle import (
    AttemptEvent,
    AttemptState,
    JobEvent,
    JobState,
    next_attempt_state,
)
from broker.core.messages import Tick
from broker.core.reconcile import heartbeat_seconds
from broker.core.reports import lose_attempt
from broker.core.rows import Failure
from broker.core.transaction import Transaction
from scheduler.model import SiteState

EXPIRES_PER_TICK_MAX = 1_000


def on_tick(tx: Transaction, _event: Tick) -> None:
    """Look at every site's silence and at what has waited for too long."""
    silent = _judge_silence(tx)
    if not _fault_is_ours(tx, silent):
        for site in silent:
            _expire_leases(tx, site)
    _forget_holds(tx)
    _expire_unplaceable(tx)
    _forget_finished(tx)


def silence_seconds(tx: Transaction, site: str) -> float:
    """How long a site with attempts has been silent, by the broker's clock."""
    presence = tx.memory.presence.get(site)
    heard = presence.heard_elapsed if presence else tx.memory.started_elapsed
    return tx.now.elapsed - heard


def _judge_silence(tx: Transaction) -> list[str]:
    """Mark suspect and lost sites; the names of all sites that are silent."""
    suspect_after = heartbeat_seconds(tx) * tx.limits.suspect_heartbeats
    silent: list[str] = []
    for site in tx.state.sites:
        silence = silence_seconds(tx, site)
        if silence <= suspect_after:
            continue
        silent.append(site)
        presence = tx.memory.presence.get(site)
        if presence is not None:
            lost = silence > tx.limits.lost_seconds
            presence.silence = SiteState.LOST if lost else SiteState.SUSPECT
        if silence > tx.limits.lost_seconds:
            _orphan(tx, site)
    return silent


def _fault_is_ours(tx: Transaction, silent: list[str]) -> bool:
    """Most of several sites are silent at once, and none was heard a moment ago."""
    known = len(tx.state.sites)
    quiet = tx.now.elapsed - tx.memory.heard_elapsed
    return known > 1 and len(silent) * 2 > known and quiet > heartbeat_seconds(tx)


def _orphan(tx: Transaction, site: str) -> None:
    for job, attempt in list(tx.state.live_at(site)):
        if attempt.state is not AttemptState.ORPHANED:
            state = next_attempt_state(attempt.state, AttemptEvent.ORPHAN, job)
            tx.update_attempt(job, replace(attempt, state=state))


def _expire_leases(tx: Transaction, site: str) -> None:
    """End the attempts whose lease is over at the site too, whatever happened there."""
    silence = silence_seconds(tx, site)
    for job, attempt in list(tx.state.live_at(site)):
        spec = tx.spec_of(job)
        if spec.lease_class == "proof":
            continue
        if silence > tx.limits.takeback_seconds(spec.lease_seconds):
            message = f"{site} was silent for {silence:.0f} s, longer than the lease"
            lose_attempt(tx, job, attempt, "SiteLost", message)


def _forget_holds(tx: Transaction) -> None:
    holds = tx.memory.holds
    for key in [key for key, hold in holds.items() if hold.until <= tx.now.wall]:
        del holds[key]


def _expire_unplaceable(tx: Transaction) -> None:
    """Fail the jobs of classes that nothing in the federation could ever run."""
    overdue = [
        key
        for key, since in tx.memory.never_since.items()
        if tx.now.wall - since > tx.limits.unplaceable_seconds
    ]
    for key in overdue:
        ids = tx.state.queue.ids_of(key)[:EXPIRES_PER_TICK_MAX]
        failure = Failure("policy", "NeverPlaceable", "no site could ever run this job")
        for job_id in ids:
            job = tx.state.jobs[job_id]
            if job.state is JobState.QUEUED:
                tx.change(job, JobEvent.EXPIRE, failure=failure)
        if len(ids) < EXPIRES_PER_TICK_MAX:
            del tx.memory.never_since[key]


def _forget_finished(tx: Transaction) -> None:
    """Drop jobs that ended longer ago than the retention, and specs nobody uses."""
    for job_id in list(islice(tx.state.finished, EXPIRES_PER_TICK_MAX)):
        job = tx.state.jobs[job_id]
        if tx.now.wall - job.finished_at <= tx.limits.retention_seconds:
            break
        tx.delete(job.key)
        if not tx.state.spec_uses.get(job.spec_sha256):
            tx.state.spec_uses.pop(job.spec_sha256, None)
            tx.delete(f"spec/{job.spec_sha256}")
