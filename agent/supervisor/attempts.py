"""The life of the attempts that this site holds: taken, started, renewed, stopped, ended.

Keeps the promises of the lease protocol: an epoch is started at most once, never after a
stop or a promise, and never past its lease. Knows the state; not the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

from agent.backends import Exit, parse_run_name, run_name
from agent.supervisor import admission
from agent.supervisor.admission import Admission, order_of
from agent.supervisor.draft import Draft
from agent.supervisor.ignored import LEASE_SECONDS_MAX, Ignored, senseless
from agent.supervisor.messages import (
    AttemptDropped,
    AttemptPut,
    DropStates,
    Forget,
    Launch,
    LeasesExtended,
    LeasesRenewed,
    MarksDropped,
    RenewLeases,
    ReportsDropped,
    StopRun,
    Unpublish,
)
from agent.supervisor.outcomes import LEASE_ENDED, SUPERSEDED, outcome_of, stopped_for
from agent.supervisor.publications import ABANDONED, publication_of
from agent.supervisor.state import State
from agent.supervisor.values import (
    Attempt,
    AttemptId,
    Commit,
    Failure,
    Grant,
    Mode,
    Moment,
    Phase,
    ReportKind,
    Settings,
)

NOT_STARTED = Failure("site", "NotStarted", "it was never started here and never will be")


class Attempts:
    """All attempts of the site, and what its operator and its disk allow."""

    def __init__(self, state: State, draft: Draft, settings: Settings) -> None:
        self._state = state
        self._draft = draft
        self._settings = settings
        self.mode = Mode.OPEN
        self.canary: tuple[str, ...] = ()  # whose jobs are taken in that mode
        self.journal_full = False

    # --- taking ----------------------------------------------------------------

    def take(self, grant: Grant, anchors: Mapping[int, float] | None, now: Moment) -> None:
        """Accept a grant or refuse it; `anchors` None: the session is not reconciled yet."""
        state = self._state
        if senseless(grant):
            self._draft.ignore(Ignored.NUMBER_OUT_OF_RANGE)
            return
        mark = state.marks.get(grant.job_id)
        if mark is not None and grant.epoch <= mark.epoch:
            known = state.knows(grant.name)
            self._draft.ignore(Ignored.GRANT_REPEATED if known else Ignored.GRANT_SUPERSEDED)
            if not known:
                self._reject(grant.job_id, grant.epoch, admission.STALE_EPOCH, now)
            return
        if len(state.outbox) >= self._settings.outbox_max:
            return  # the broker asks again, or expects it
        # Also a refusal promises that this epoch never starts here.
        self._draft.raise_mark(grant.job_id, grant.epoch, now.wall)
        admitted = self._admit(grant, anchors, now.elapsed)
        if isinstance(admitted, Failure):
            self._reject(grant.job_id, grant.epoch, admitted, now)
        else:
            self._accept(grant, admitted, now.elapsed)

    def _admit(
        self, grant: Grant, anchors: Mapping[int, float] | None, elapsed: float
    ) -> Admission | Failure:
        task, settings = grant.task, self._settings
        if isinstance(task, Failure):
            return task
        if anchors is None:
            return admission.NOT_RECONCILED
        if self.journal_full:
            return admission.JOURNAL_FULL
        if refusal := admission.site_refusal(grant, task, settings, self.mode, self.canary):
            return refusal
        nodes = admission.find_place(grant, task, self._state.inventory)
        if isinstance(nodes, Failure):
            return nodes
        deadline = admission.lease_end(grant, anchors, elapsed, settings)
        if isinstance(deadline, Failure):
            return deadline
        return Admission(task, nodes, deadline)

    def _accept(self, grant: Grant, admitted: Admission, elapsed: float) -> None:
        attempt = Attempt(
            grant.name,
            grant.job_id,
            grant.epoch,
            Phase.ACCEPTED,
            grant.pool,
            admitted.nodes,
            admitted.task.ranks,
            grant.lease_class,
            grant.lease_seconds,
            accepted_at=elapsed,
            deadline=admitted.deadline,
            priority=admitted.task.priority,
            preemptible=admitted.task.preemptible,
            outputs=admitted.task.outputs,
            retried=admitted.task.retried,
        )
        self._draft.record(AttemptPut(attempt))
        order = order_of(grant, admitted, self._state.inventory, self._settings)
        task = admitted.task
        self._draft.effect(
            Launch(
                order,
                admitted.deadline,
                task.bundle_sha256,
                task.inputs,
                grant.data,
                grant.restore,
            )
        )

    def _reject(self, job_id: str, epoch: int, failure: Failure, now: Moment) -> None:
        """Say that it never started and never will; what its user must mend is a failure."""
        if failure.category == "user":
            self._fail(job_id, epoch, failure, now)
            return
        name = run_name(job_id, epoch)
        kind = ReportKind.REJECTED
        self._draft.report(name, job_id, epoch, kind, now.wall, 0, "rejected", failure)

    def _fail(self, job_id: str, epoch: int, failure: Failure, now: Moment) -> None:
        """Say that it was tried and failed before it began: another try costs one."""
        name = run_name(job_id, epoch)
        self._draft.report(name, job_id, epoch, ReportKind.ENDED, now.wall, 0, "failed", failure)

    # --- what the backend says ---------------------------------------------------

    def started(self, name: str, now: Moment) -> None:
        attempt = self._state.attempts.get(name)
        if attempt is None or attempt.phase is not Phase.ACCEPTED:
            return
        self.adopt(attempt, now)
        deadline = self._state.deadlines[name]
        if attempt.fenced and deadline != attempt.deadline:
            self._draft.effect(RenewLeases(((name, deadline),)))

    def adopt(self, attempt: Attempt, now: Moment) -> None:
        """The backend has it."""
        self._draft.record(AttemptPut(attempt.at(Phase.RUNNING)))
        self._draft.report(
            attempt.name, attempt.job_id, attempt.epoch, ReportKind.STARTED, now.wall
        )
        if attempt.stop_reason:  # it was on its way when the stop came
            self._draft.effect(StopRun(attempt.name, attempt.stop_reason))

    def refused(self, name: str, failure: Failure, now: Moment, costs_try: bool = False) -> None:
        """The backend has nothing of this run and never will."""
        attempt = self._state.attempts.get(name)
        if attempt is None or attempt.phase is not Phase.ACCEPTED:
            return
        self._draft.record(AttemptPut(attempt.at(Phase.ENDED)))
        tell = self._fail if costs_try else self._reject
        tell(attempt.job_id, attempt.epoch, failure, now)

    def ended(self, exit: Exit) -> None:
        """A run is over; told twice, it counts once."""
        attempt = self._state.attempts.get(exit.name)
        if attempt is None or not attempt.live:
            return
        if attempt.phase is Phase.ACCEPTED and exit.started_at:
            self._draft.report(
                attempt.name, attempt.job_id, attempt.epoch, ReportKind.STARTED, exit.started_at
            )
        publish = publication_of(attempt, exit, self._settings)
        if publish is None:
            self._conclude(attempt, exit)
            return
        if attempt.phase is not Phase.PUBLISHING:
            self._draft.record(AttemptPut(attempt.at(Phase.PUBLISHING)))
            kind = ReportKind.RELEASED
            self._draft.report(
                attempt.name, attempt.job_id, attempt.epoch, kind, exit.ended_at, exit.exit_code
            )
        self._draft.effect(publish)

    def committed(self, name: str, commit: Commit, now: Moment) -> None:
        """Something that a run of this site left is whole at a store."""
        job_id, epoch = parse_run_name(name)
        kind = ReportKind.COMMITTED
        self._draft.report(name, job_id, epoch, kind, now.wall, commit=commit)

    def published(self, exit: Exit, failure: Failure | None) -> None:
        """All that a run left is where it was to go, or never will be."""
        attempt = self._state.attempts.get(exit.name)
        if attempt is not None and attempt.phase is Phase.PUBLISHING:
            self._conclude(attempt, exit, failure)

    def _conclude(self, attempt: Attempt, exit: Exit, failure: Failure | None = None) -> None:
        """`failure`: why what it left could not be published; then it is no success."""
        self._draft.record(AttemptPut(attempt.at(Phase.ENDED)))
        outcome, why = outcome_of(exit, attempt.stop_reason)
        if outcome == "succeeded" and attempt.phase is Phase.PUBLISHING:
            if attempt.stop_reason in ABANDONED:
                outcome, why = "cancelled", stopped_for(attempt.stop_reason)
            elif failure is not None:
                outcome, why = "failed", failure
        self._report_end(attempt.job_id, attempt.epoch, exit, outcome, why)

    def report_ended(self, job_id: str, epoch: int, exit: Exit, stop_reason: str) -> None:
        self._report_end(job_id, epoch, exit, *outcome_of(exit, stop_reason))

    def _report_end(
        self, job_id: str, epoch: int, exit: Exit, outcome: str, failure: Failure | None
    ) -> None:
        kind, code = ReportKind.ENDED, exit.exit_code
        self._draft.report(exit.name, job_id, epoch, kind, exit.ended_at, code, outcome, failure)

    # --- what the broker says ----------------------------------------------------

    def stop(self, id: AttemptId, reason: str, now: Moment) -> None:
        """End an attempt; one that is not here will never be."""
        if senseless(id):
            self._draft.ignore(Ignored.NUMBER_OUT_OF_RANGE)
            return
        attempt = self._state.attempts.get(run_name(id.job_id, id.epoch))
        if attempt is None:
            mark = self._state.marks.get(id.job_id)
            if mark is None or mark.epoch < id.epoch:
                self.promise(id, now)
            else:
                self._draft.ignore(Ignored.ATTEMPT_UNKNOWN)
        elif attempt.live:
            self._stop(attempt, reason)

    def _stop(self, attempt: Attempt, reason: str) -> None:
        if not attempt.holds_cards:
            self._abandon(attempt, reason)
            return
        if not attempt.stop_reason:
            self._draft.record(AttemptPut(replace(attempt, stop_reason=reason)))
        self._draft.effect(StopRun(attempt.name, attempt.stop_reason or reason))

    def _abandon(self, attempt: Attempt, reason: str) -> None:
        """What holds no cards is stopped only when nobody wants it: it is in nobody's way."""
        if reason in ABANDONED:
            self._draft.record(AttemptPut(replace(attempt, stop_reason=reason)))
            self._draft.effect(Unpublish(attempt.name))

    def give_back(self, attempt: Attempt, reason: str) -> None:
        """End an attempt that lives, for the site's own reason."""
        self._stop(attempt, reason)

    def stop_all(self, reason: str) -> None:
        for attempt in list(self._state.live()):
            self._stop(attempt, reason)

    def promise(self, id: AttemptId, now: Moment) -> None:
        """Never to start this epoch; what is held or known to have been here is no promise."""
        if senseless(id):
            self._draft.ignore(Ignored.NUMBER_OUT_OF_RANGE)
            return
        if self._state.knows(run_name(id.job_id, id.epoch)):
            return
        mark = self._state.marks.get(id.job_id)
        if mark is None or mark.epoch < id.epoch:
            self._draft.raise_mark(id.job_id, id.epoch, now.wall)
        self._reject(id.job_id, id.epoch, NOT_STARTED, now)

    def acknowledge(self, id: AttemptId, now: Moment) -> None:
        """The broker knows how this one ended."""
        attempt = self._state.attempts.get(run_name(id.job_id, id.epoch))
        if attempt is None:
            self._draft.ignore(Ignored.ATTEMPT_UNKNOWN)
        elif attempt.live:
            self._stop(attempt, SUPERSEDED)
        else:
            self._draft.record(AttemptDropped(attempt.name, now.wall))

    def acknowledge_reports(self, report_seq: int, now: Moment) -> None:
        """All reports up to this one are durable at the broker."""
        for number, report in self._state.outbox.items():
            if number > report_seq:
                break
            if report.commit is not None and report.commit.kind == "checkpoint":
                self._draft.effect(DropStates(report.name, report.commit.number))
            if report.kind.concludes and report.name in self._state.attempts:
                self._draft.record(AttemptDropped(report.name, now.wall))
        self._draft.record(ReportsDropped(report_seq))

    # --- leases ------------------------------------------------------------------

    def renew(self, sent_at: float, extension_seconds: float = 0.0) -> None:
        """A heartbeat sent then was answered. Leases that have ended must be out already.

        With an extension they last at least so long from the sending: the broker has said
        that it will be away, and that it waits as long before it takes one back.
        """
        if not self._state.deadlines:
            return
        self._draft.record(LeasesRenewed(sent_at))
        if 0 < extension_seconds <= LEASE_SECONDS_MAX:
            self._draft.record(LeasesExtended(sent_at, sent_at + extension_seconds))
        elif extension_seconds != 0:  # also when it is no number
            self._draft.ignore(Ignored.NUMBER_OUT_OF_RANGE)
        renewed = tuple(
            (attempt.name, self._state.deadlines[attempt.name])
            for attempt in self._state.running()
            if attempt.fenced and not attempt.stop_reason and attempt.accepted_at <= sent_at
        )
        if renewed:
            self._draft.effect(RenewLeases(renewed))

    def expire(self, elapsed: float) -> None:
        """Stop what has outlived its lease; the fence beside it does the same by itself."""
        ended = [name for name, deadline in self._state.deadlines.items() if deadline <= elapsed]
        for name in ended:
            attempt = self._state.attempts[name]
            if attempt.fenced and not attempt.stop_reason:
                self._stop(attempt, LEASE_ENDED)

    # --- limits --------------------------------------------------------------------

    def sweep(self, now: Moment) -> None:
        """Forget the oldest marks when there are too many, and logs of runs that ended long ago."""
        state, settings = self._state, self._settings
        surplus = max(0, len(state.marks) - settings.marks_max)
        old = list(islice(state.marks, surplus))
        held = {attempt.job_id for attempt in state.attempts.values()} if old else set()
        if dropped := tuple(job_id for job_id in old if job_id not in held):
            self._draft.record(MarksDropped(dropped))
        if names := tuple(state.outlived(now.wall, settings.ended_max, settings.ended_seconds)):
            state.forget(names)
            self._draft.effect(Forget(names))
