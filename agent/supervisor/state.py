"""All that the supervisor must not forget; `apply(record)` is its only mutator.

Replaying the journal's records gives this state again. Knows neither events nor effects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from agent.inventory import Inventory
from agent.supervisor.digest import attempt_digest
from agent.supervisor.messages import (
    AttemptDropped,
    AttemptPut,
    LeasesExtended,
    LeasesRenewed,
    MarkRaised,
    MarksDropped,
    RecallDropped,
    RecallPut,
    Record,
    ReportAdded,
    ReportsDropped,
    ReportsNumbered,
    TermRaised,
)
from agent.supervisor.values import Attempt, Mark, Phase, Recalled, Report


class State:
    """Attempts, marks, outbox and term; read freely, change by `apply` only."""

    def __init__(self, inventory: Inventory, rules: tuple[str, ...] = ()) -> None:
        """`rules`: of the site's cluster manager, for people."""
        self.inventory = inventory
        self.rules = rules
        self.term = 0
        self.marks: dict[str, Mark] = {}  # by job, the longest raised first
        self.attempts: dict[str, Attempt] = {}  # by name
        self.deadlines: dict[str, float] = {}  # of live attempts, by name; elapsed seconds
        self.outbox: dict[int, Report] = {}  # by report_seq, ascending
        self.concluded: dict[str, int] = {}  # name -> report_seq of its last report there
        self.report_seq = 0  # the last one given
        self.digest = 0
        self.recalls: dict[str, Recalled] = {}  # by pool
        # What follows is not in the journal: the backend and the next session know it.
        self.kept: dict[str, float] = {}  # ended runs with logs, by name; wall seconds
        self.changed_pools: set[str] = set()  # capacity that was not told yet

    def apply(self, record: Record) -> None:
        _APPLIERS[type(record)](self, record)

    @property
    def outbox_head(self) -> int:
        """The highest report_seq in the outbox; 0: it is empty."""
        return next(reversed(self.outbox), 0)

    def live(self) -> Iterator[Attempt]:
        """The attempts that have not ended."""
        return (self.attempts[name] for name in self.deadlines)

    def running(self) -> Iterator[Attempt]:
        """Those of which a run is here, or on its way."""
        return (attempt for attempt in self.live() if attempt.holds_cards)

    def knows(self, name: str) -> bool:
        """Whether the broker has been or will be told how this attempt ended."""
        return name in self.attempts or name in self.concluded or name in self.kept

    def keep(self, name: str, ended_at: float) -> None:
        """Note a run that the backend still has; `ended_at` in wall seconds."""
        self.kept[name] = ended_at

    def outlived(self, wall: float, count_max: int, seconds_max: float) -> list[str]:
        """The kept runs that are too many or too old, the first noted first."""
        names: list[str] = []
        for name, ended_at in self.kept.items():
            if len(self.kept) - len(names) <= count_max and wall - ended_at < seconds_max:
                break
            names.append(name)
        return names

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            self.kept.pop(name, None)

    def change_inventory(self, inventory: Inventory, rules: tuple[str, ...] = ()) -> None:
        """Other cards or rules than before; what is held stays held."""
        for attempt in self.running():
            inventory.occupy(attempt.pool, attempt.nodes)
        self.inventory = inventory
        self.rules = rules

    def check(self) -> None:
        """Raises AssertionError when something that must hold does not."""
        live = [attempt for attempt in self.attempts.values() if attempt.live]
        assert {attempt.name for attempt in live} == self.deadlines.keys()
        digest = 0
        for attempt in live:
            digest ^= attempt_digest(attempt.job_id, attempt.epoch)
        assert digest == self.digest
        for attempt in self.attempts.values():
            assert self.marks[attempt.job_id].epoch >= attempt.epoch
        assert list(self.outbox) == sorted(self.outbox)
        assert all(number <= self.report_seq for number in self.outbox)
        last = {r.name: n for n, r in self.outbox.items() if r.kind.concludes}
        assert last == self.concluded
        for attempt in self.attempts.values():
            assert attempt.live or attempt.name in self.concluded

    # --- one for each record ---------------------------------------------------

    def _raise_term(self, record: TermRaised) -> None:
        self.term = max(self.term, record.term)

    def _raise_mark(self, record: MarkRaised) -> None:
        known = self.marks.pop(record.job_id, None)  # put again: the dictionary stays by age
        epoch = max(record.epoch, known.epoch if known else 0)
        self.marks[record.job_id] = Mark(epoch, record.at)

    def _drop_marks(self, record: MarksDropped) -> None:
        for job_id in record.job_ids:
            self.marks.pop(job_id, None)

    def _put_attempt(self, record: AttemptPut) -> None:
        attempt = record.attempt
        known, was_live = self.attempts.get(attempt.name), attempt.name in self.deadlines
        self.attempts[attempt.name] = attempt
        if attempt.live and not was_live:
            self.deadlines[attempt.name] = attempt.deadline
            self.digest ^= attempt_digest(attempt.job_id, attempt.epoch)
        elif was_live and not attempt.live:
            self._conclude(attempt)
        self._hold(attempt, known is not None and known.holds_cards)

    def _drop_attempt(self, record: AttemptDropped) -> None:
        attempt = self.attempts.pop(record.name)
        if attempt.live:
            self._conclude(attempt)
            self._hold(attempt.at(Phase.ENDED), attempt.holds_cards)
        else:
            self.keep(record.name, record.at)

    def _conclude(self, attempt: Attempt) -> None:
        del self.deadlines[attempt.name]
        self.digest ^= attempt_digest(attempt.job_id, attempt.epoch)

    def _hold(self, attempt: Attempt, held: bool) -> None:
        """Occupy or release its cards, unless it is so already."""
        if attempt.holds_cards == held:
            return
        change = self.inventory.release if held else self.inventory.occupy
        change(attempt.pool, attempt.nodes)
        self.changed_pools.add(attempt.pool)

    def _renew_leases(self, record: LeasesRenewed) -> None:
        for name, deadline in self.deadlines.items():
            attempt = self.attempts[name]
            if attempt.accepted_at <= record.sent_at and not attempt.stop_reason:
                self.deadlines[name] = max(deadline, record.sent_at + attempt.lease_seconds)

    def _extend_leases(self, record: LeasesExtended) -> None:
        for name, deadline in self.deadlines.items():
            attempt = self.attempts[name]
            if attempt.accepted_at <= record.sent_at and not attempt.stop_reason:
                self.deadlines[name] = max(deadline, record.until)

    def _add_report(self, record: ReportAdded) -> None:
        report = record.report
        self.outbox[report.report_seq] = report
        self.report_seq = max(self.report_seq, report.report_seq)
        if report.kind.concludes:
            self.concluded[report.name] = report.report_seq

    def _drop_reports(self, record: ReportsDropped) -> None:
        while self.outbox:
            number = next(iter(self.outbox))
            if number > record.report_seq:
                return
            report = self.outbox.pop(number)
            if self.concluded.get(report.name) == number:
                del self.concluded[report.name]

    def _number_reports(self, record: ReportsNumbered) -> None:
        self.report_seq = max(self.report_seq, record.report_seq)

    def _put_recall(self, record: RecallPut) -> None:
        self.recalls[record.recalled.pool] = record.recalled

    def _drop_recall(self, record: RecallDropped) -> None:
        self.recalls.pop(record.pool, None)


_APPLIERS: dict[type[Record], Any] = {
    TermRaised: State._raise_term,
    MarkRaised: State._raise_mark,
    MarksDropped: State._drop_marks,
    AttemptPut: State._put_attempt,
    AttemptDropped: State._drop_attempt,
    LeasesRenewed: State._renew_leases,
    LeasesExtended: State._extend_leases,
    ReportAdded: State._add_report,
    ReportsDropped: State._drop_reports,
    ReportsNumbered: State._number_reports,
    RecallPut: State._put_recall,
    RecallDropped: State._drop_recall,
}
