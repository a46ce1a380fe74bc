"""After a restart: the journal compared with what the backend has.

Starts nothing, ever: what was accepted and does not run is reported as not started. Knows
the state and the backend's values; runs once, before any session.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.backends import LeaseClass, RunState, parse_run_name
from agent.supervisor.attempts import NOT_STARTED, Attempts
from agent.supervisor.draft import Draft
from agent.supervisor.messages import AttemptPut, StopRun
from agent.supervisor.outcomes import JOURNAL_LOST
from agent.supervisor.values import LONG_AGO, Attempt, Failure, Moment, Phase, ReportKind

_VANISHED = Failure("site", "RunVanished", "the cluster manager no longer knows the run")


def compare(runs: Iterable[RunState], attempts: Attempts, draft: Draft, now: Moment) -> None:
    """Adopt what runs, report what ended or never began, stop what nobody knows."""
    found = {run.name: run for run in runs}
    for attempt in list(draft.state.attempts.values()):
        run = found.pop(attempt.name, None)
        if not attempt.live:
            continue
        if run is None:
            _miss(attempt, attempts, draft, now)
        elif run.exit is not None:
            attempts.ended(run.exit)
        elif attempt.phase is Phase.ACCEPTED:
            attempts.adopt(attempt, now)
        elif attempt.stop_reason:  # the wish to stop may not have reached it
            draft.effect(StopRun(attempt.name, attempt.stop_reason))
    for run in found.values():
        _take_in(run, attempts, draft, now)


def _miss(attempt: Attempt, attempts: Attempts, draft: Draft, now: Moment) -> None:
    if attempt.phase is Phase.ACCEPTED:
        attempts.refused(attempt.name, NOT_STARTED, now)
        return
    draft.record(AttemptPut(attempt.at(Phase.ENDED)))
    draft.report(
        attempt.name,
        attempt.job_id,
        attempt.epoch,
        ReportKind.ENDED,
        now.wall,
        outcome="lost",
        failure=_VANISHED,
    )


def _take_in(run: RunState, attempts: Attempts, draft: Draft, now: Moment) -> None:
    """A run that the journal does not hold: acknowledged long ago, or the journal was lost."""
    job_id, epoch = parse_run_name(run.name)
    mark = draft.state.marks.get(job_id)
    handled = mark is not None and mark.epoch >= epoch
    if not handled:
        draft.raise_mark(job_id, epoch, now.wall)
    if run.exit is not None:
        draft.state.keep(run.name, run.exit.ended_at)
        if not handled:
            attempts.report_ended(job_id, epoch, run.exit, "")
        return
    # It lives: only while we name it does the broker not start the job elsewhere.
    stray = Attempt(
        name=run.name,
        job_id=job_id,
        epoch=epoch,
        phase=Phase.RUNNING,
        pool="",
        nodes=(),
        ranks=1,
        lease_class=LeaseClass.RESTART,
        lease_seconds=0.0,
        accepted_at=now.elapsed,
        deadline=LONG_AGO,
        stop_reason=JOURNAL_LOST,
    )
    draft.record(AttemptPut(stray))
    draft.effect(StopRun(run.name, JOURNAL_LOST))
