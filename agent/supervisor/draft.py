"""What one step of the supervisor draws up: records first, then effects.

Each record is applied as it is written down, so the rest of the step sees it. Knows the
state and the outbox's numbering.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.supervisor.ignored import Ignored
from agent.supervisor.messages import Effect, MarkRaised, Record, ReportAdded
from agent.supervisor.state import State
from agent.supervisor.values import Commit, Failure, Report, ReportKind


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of one step: make `records` durable, then perform `effects` in order."""

    records: tuple[Record, ...]
    effects: tuple[Effect, ...]


class Draft:
    """A decision in the making."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.reports: list[int] = []  # numbers of the reports added, not yet told
        self.ignored: dict[Ignored, int] = {}  # how often, since this agent started
        self._records: list[Record] = []
        self._effects: list[Effect] = []

    def record(self, record: Record) -> None:
        self.state.apply(record)
        self._records.append(record)

    def effect(self, effect: Effect) -> None:
        self._effects.append(effect)

    def ignore(self, reason: Ignored) -> None:
        """Count something that was heard and has no effect."""
        self.ignored[reason] = self.ignored.get(reason, 0) + 1

    def raise_mark(self, job_id: str, epoch: int, wall: float) -> None:
        """Never to start this epoch of a job, nor one before it.

        Marks are forgotten in the order in which they were raised, also after a restart, and
        whatever the wall clock did meanwhile.
        """
        newest = next(reversed(self.state.marks.values()), None)
        at = max(wall, newest.raised_at) if newest is not None else wall
        self.record(MarkRaised(job_id, epoch, at))

    def report(
        self,
        name: str,
        job_id: str,
        epoch: int,
        kind: ReportKind,
        at: float,
        exit_code: int = 0,
        outcome: str = "",
        failure: Failure | None = None,
        commit: Commit | None = None,
    ) -> None:
        """Put a report into the outbox; `at` in wall seconds."""
        number = self.state.report_seq + 1
        report = Report(number, name, job_id, epoch, kind, at, exit_code, outcome, failure, commit)
        self.record(ReportAdded(report))
        self.reports.append(number)

    def finish(self) -> Decision:
        """The decision; the draft is empty again."""
        decision = Decision(tuple(self._records), tuple(self._effects))
        self._records.clear()
        self._effects.clear()
        return decision
