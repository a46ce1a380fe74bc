"""What sites report of attempts. Each report has its effect once, whatever is resent.

A report of an epoch that is no longer the job's newest, or of a job that has ended,
changes nothing and is acknowledged all the same.
"""

from __future__ import annotations

from dataclasses import replace

from broker.core.commits import on_commit
from broker.core.datasets import unwritten
from broker.core.ignored import WALL_MAX, Ignored, out_of_range
from broker.core.learned import learn
from broker.core.lifecycle import (
    AttemptEvent,
    AttemptState,
    JobEvent,
    JobState,
    next_attempt_state,
)
from broker.core.messages import Report, ReportAck, Reports
from broker.core.overlap import end_copy, take_back
from broker.core.policy import after_attempt
from broker.core.preempting import told
from broker.core.rows import Attempt, Failure, Job
from broker.core.transaction import Transaction

NEVER_STARTED = "NotStarted"  # the promise that answers EXPECT: it says nothing of the pool
RESTORE_FAILED = "RestoreFailed"  # the site could not fetch the job's last checkpoint
KINDS = frozenset({"rejected", "started", "released", "ended"})
OUTCOMES = frozenset({"succeeded", "failed", "cancelled", "lost", "rejected", "preempted"})
EXIT_CODE_MAX = 2**31 - 1


def on_reports(tx: Transaction, event: Reports) -> None:
    """Apply the reports of one session in order and acknowledge the last."""
    presence = tx.present(event.site, event.session)
    if presence is None or not event.reports:
        return
    if out_of_range(*(report.report_seq for report in event.reports)):
        tx.ignore(Ignored.NUMBER_OUT_OF_RANGE)
        return
    for report in event.reports:
        apply = on_commit if report.kind == "committed" else _apply
        apply(tx, event.site, _readable(tx, report))
    presence.report_seq = max(presence.report_seq, event.reports[-1].report_seq)
    tx.send(presence, ReportAck(event.reports[-1].report_seq))


def _readable(tx: Transaction, report: Report) -> Report:
    """The report with nothing in it that no site can mean; what is unclear is a failure."""
    if report.kind == "ended" and report.outcome not in OUTCOMES:
        tx.ignore(Ignored.REPORT_UNREADABLE)
        report = replace(report, outcome="failed")
    if not 0 <= report.at <= WALL_MAX:  # also when it is no number
        tx.ignore(Ignored.NUMBER_OUT_OF_RANGE)
        report = replace(report, at=tx.now.wall)
    if abs(report.exit_code) > EXIT_CODE_MAX:
        tx.ignore(Ignored.NUMBER_OUT_OF_RANGE)
        report = replace(report, exit_code=EXIT_CODE_MAX)
    return report


def _apply(tx: Transaction, site: str, report: Report) -> None:
    job = tx.state.jobs.get(report.job_id)
    attempt = job.attempt if job else None
    if job is None or attempt is None:
        tx.ignore(Ignored.ATTEMPT_UNKNOWN)
    elif report.kind not in KINDS:
        tx.ignore(Ignored.REPORT_UNREADABLE)
    elif not _is_current(attempt, report, site):
        _apply_to_older(tx, job, site, report)
    elif not attempt.live:
        _apply_late(tx, job, attempt, report)
    else:
        if job.state is JobState.QUEUED:
            job = take_back(tx, job, attempt)
            attempt = job.attempts[-1]
        _apply_live(tx, job, attempt, report)


def _is_current(attempt: Attempt, report: Report, site: str) -> bool:
    return (attempt.epoch, attempt.site) == (report.epoch, site)


def _apply_live(tx: Transaction, job: Job, attempt: Attempt, report: Report) -> None:
    if report.kind == "started":
        _start(tx, job, attempt, report.at)
    elif report.kind == "released":
        _release(tx, job, attempt, report.at)
    elif report.kind == "rejected":
        _reject(tx, job, attempt, report)
    else:
        end_attempt(tx, job, attempt, report)


def _apply_to_older(tx: Transaction, job: Job, site: str, report: Report) -> None:
    """Not of the newest attempt: all that may count is that a copy is dead."""
    attempt = job.attempt_of(report.epoch)
    if attempt is None:
        tx.ignore(Ignored.ATTEMPT_UNKNOWN)
    elif attempt.site != site:
        tx.ignore(Ignored.ATTEMPT_FOREIGN)
    elif attempt.live and report.kind not in ("started", "released"):
        end_copy(tx, job, attempt, "superseded", report.at)
    else:
        tx.ignore(Ignored.ATTEMPT_SUPERSEDED)


def _start(tx: Transaction, job: Job, attempt: Attempt, at: float) -> Job:
    if attempt.state is AttemptState.RUNNING:
        tx.ignore(Ignored.REPORT_REPEATED)
        return job
    state = next_attempt_state(attempt.state, AttemptEvent.START, job)
    started = replace(attempt, state=state, started_at=at)
    if job.state is JobState.PLACED:
        return tx.change(job, JobEvent.START, started)
    return tx.update_attempt(job, started)


def _release(tx: Transaction, job: Job, attempt: Attempt, at: float) -> None:
    """Its run is over: the cards are free, and the end is told once all is at the store."""
    if attempt.released_at:
        tx.ignore(Ignored.REPORT_REPEATED)
        return
    if attempt.state is not AttemptState.RUNNING:
        job = _start(tx, job, attempt, at)
        attempt = job.attempts[-1]
    tx.update_attempt(job, replace(attempt, released_at=at or tx.now.wall))


def end_attempt(tx: Transaction, job: Job, attempt: Attempt, report: Report) -> None:
    """End the live attempt as reported; the job follows by policy."""
    if report.outcome == "succeeded" and job.state is JobState.PLACED:
        job = _start(tx, job, attempt, report.at)
        attempt = job.attempts[-1]
    report = _with_datasets(tx, job, attempt, told(job, attempt, report))
    ended = _ended(job, attempt, report)
    if job.state is JobState.CANCELLING:
        tx.change(job, JobEvent.ATTEMPT_END, ended, job.failure)
        return
    if report.failure is not None and report.failure.code == RESTORE_FAILED:
        tx.hold_off(attempt.pool, attempt.slices)  # elsewhere it may be within reach
    event = after_attempt(job, tx.spec_of(job), report.outcome, report.failure, tx.limits)
    failure = None if event is JobEvent.SUCCEED else report.failure or _unnamed(report)
    tx.change(job, event, ended, failure)
    if event is JobEvent.SUCCEED:
        learn(tx, job, ended)


def _with_datasets(tx: Transaction, job: Job, attempt: Attempt, report: Report) -> Report:
    """A success without the datasets that the job was to write is none."""
    failure = unwritten(tx, job, attempt) if report.outcome == "succeeded" else None
    return report if failure is None else replace(report, outcome="failed", failure=failure)


def _ended(job: Job, attempt: Attempt, report: Report) -> Attempt:
    return replace(
        attempt,
        state=next_attempt_state(attempt.state, AttemptEvent.END, job),
        ended_at=report.at,
        outcome=report.outcome,
        exit_code=report.exit_code,
        failure=report.failure,
    )


def _reject(tx: Transaction, job: Job, attempt: Attempt, report: Report) -> None:
    """It never started and never will: the job is free at once."""
    if report.failure is None or report.failure.code != NEVER_STARTED:
        tx.hold_off(attempt.pool, attempt.slices)
    end_attempt(tx, job, attempt, replace(report, outcome="rejected"))


def _apply_late(tx: Transaction, job: Job, attempt: Attempt, report: Report) -> None:
    """The success of an attempt given up for lost counts while no other was granted."""
    waits = job.state is JobState.QUEUED and attempt.outcome == "lost"
    succeeded = report.kind == "ended" and report.outcome == "succeeded"
    if waits and succeeded and unwritten(tx, job, attempt) is None:
        found = replace(attempt, outcome="succeeded", ended_at=report.at, failure=None)
        tx.change(job, JobEvent.RECOVER, found)
    else:
        tx.ignore(Ignored.REPORT_REPEATED)


def _unnamed(report: Report) -> Failure:
    return Failure("site", "Unexplained", f"the site reported {report.outcome} without a reason")


def lose_attempt(tx: Transaction, job: Job, attempt: Attempt, code: str, message: str) -> None:
    """End an attempt that the site can no longer speak for: its lease is over."""
    end_attempt(tx, job, attempt, _lost(tx, job, attempt, Failure("site", code, message)))


def give_up(tx: Transaction, job: Job, attempt: Attempt, failure: Failure) -> None:
    """End an attempt that may be alive, and its job with it: nothing may start it again."""
    ended = _ended(job, attempt, _lost(tx, job, attempt, failure))
    if job.state is JobState.CANCELLING:
        tx.change(job, JobEvent.ATTEMPT_END, ended, job.failure)
    else:
        tx.change(job, JobEvent.FAIL, ended, failure)


def _lost(tx: Transaction, job: Job, attempt: Attempt, failure: Failure) -> Report:
    return Report(0, job.id, attempt.epoch, "ended", tx.now.wall, "lost", 0, failure)
