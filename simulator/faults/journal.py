"""The agent's journal on a simulated disk: a batch is all there after a crash, or not at all.

Tables as `agent.journal` has them; elapsed seconds are moved to the reader's clock as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from agent.journal import ClockReading
from agent.journal_rows import moved
from agent.supervisor.messages import (
    AttemptDropped,
    AttemptPut,
    LeasesExtended,
    LeasesRenewed,
    MarkRaised,
    MarksDropped,
    Record,
    ReportAdded,
    ReportsDropped,
    ReportsNumbered,
    TermRaised,
)
from agent.supervisor.values import Attempt, Report


class SimulatedJournal:
    """What one state directory holds. `agent_id` lasts as long as the directory."""

    def __init__(self, agent_id: str, report_seq: int) -> None:
        self.agent_id = agent_id
        self._term = 0
        self._marks: dict[str, MarkRaised] = {}
        self._attempts: dict[str, Attempt] = {}
        self._outbox: dict[int, Report] = {}
        self._report_seq = report_seq
        self._renewed: float | None = None
        self._extended: LeasesExtended | None = None
        self._clock: ClockReading | None = None
        self._shift: float | None = 0.0  # of what is written, to the clock of who loaded it last

    def load(self, now: ClockReading) -> Iterator[Record]:
        """The records that build the state again, on the reader's clock."""
        yield TermRaised(self._term)
        yield from self._marks.values()
        shift = now.shift_from(self._clock) if self._clock is not None else None
        self._shift = shift
        for attempt in self._attempts.values():
            yield AttemptPut(moved(attempt, shift))
        if shift is not None and self._renewed is not None:
            yield LeasesRenewed(self._renewed + shift)
        if shift is not None and (extended := self._extended) is not None:
            yield LeasesExtended(extended.sent_at + shift, extended.until + shift)
        yield ReportsNumbered(self._report_seq)
        for number in sorted(self._outbox):
            yield ReportAdded(self._outbox[number])

    def commit(self, records: Iterable[Record], now: ClockReading) -> None:
        """Durable from here on; the first one after a load moves what the one before wrote."""
        self._move()
        for record in records:
            _WRITERS[type(record)](self, record)
        self._clock = now

    def _move(self) -> None:
        shift, self._shift = self._shift, 0.0
        if shift == 0.0:
            return
        self._attempts = {name: moved(each, shift) for name, each in self._attempts.items()}
        renewed, extended = self._renewed, self._extended
        self._renewed = renewed + shift if renewed is not None and shift is not None else None
        self._extended = (
            LeasesExtended(extended.sent_at + shift, extended.until + shift)
            if extended is not None and shift is not None
            else None
        )

    def _raise_term(self, record: TermRaised) -> None:
        self._term = record.term

    def _raise_mark(self, record: MarkRaised) -> None:
        self._marks.pop(record.job_id, None)
        self._marks[record.job_id] = record

    def _drop_marks(self, record: MarksDropped) -> None:
        for job_id in record.job_ids:
            self._marks.pop(job_id, None)

    def _put_attempt(self, record: AttemptPut) -> None:
        self._attempts[record.attempt.name] = record.attempt

    def _drop_attempt(self, record: AttemptDropped) -> None:
        self._attempts.pop(record.name, None)

    def _renew(self, record: LeasesRenewed) -> None:
        self._renewed = record.sent_at

    def _extend(self, record: LeasesExtended) -> None:
        self._extended = record

    def _add_report(self, record: ReportAdded) -> None:
        self._outbox[record.report.report_seq] = record.report
        self._report_seq = record.report.report_seq

    def _drop_reports(self, record: ReportsDropped) -> None:
        for number in [number for number in self._outbox if number <= record.report_seq]:
            del self._outbox[number]

    def _number_reports(self, record: ReportsNumbered) -> None:
        self._report_seq = record.report_seq


_WRITERS: dict[type[Record], Any] = {
    TermRaised: SimulatedJournal._raise_term,
    MarkRaised: SimulatedJournal._raise_mark,
    MarksDropped: SimulatedJournal._drop_marks,
    AttemptPut: SimulatedJournal._put_attempt,
    AttemptDropped: SimulatedJournal._drop_attempt,
    LeasesRenewed: SimulatedJournal._renew,
    LeasesExtended: SimulatedJournal._extend,
    ReportAdded: SimulatedJournal._add_report,
    ReportsDropped: SimulatedJournal._drop_reports,
    ReportsNumbered: SimulatedJournal._number_reports,
}
