"""What the agent must not forget, in one SQLite file: marks, attempts, outbox, term.

A batch of records is one transaction, on the disk when `commit` returns (WAL, full sync).
Loading gives the records that build the state again. Elapsed seconds mean nothing in
another process, so each commit notes the clocks beside them and loading moves them over;
the first commit after it writes them as moved, for its clocks are noted for all of them.
After a reboot a lease's end counts as passed. Knows records and SQL; decides nothing.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.clock import boottime_ns, lease_now, raw_ns
from agent.journal_rows import attempt_of, attempt_row, moved, report_of, report_row
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
from agent.supervisor.values import Attempt, Recalled, Report
from suan.errors import InternalError, SuanError

SCHEMA_VERSION = 3
BUSY_MILLISECONDS = 5_000

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE marks (job_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, raised_at REAL NOT NULL)
    WITHOUT ROWID;
CREATE TABLE attempts (
    name TEXT PRIMARY KEY, job_id TEXT NOT NULL, epoch INTEGER NOT NULL, phase TEXT NOT NULL,
    pool TEXT NOT NULL, nodes TEXT NOT NULL, ranks INTEGER NOT NULL, lease_class TEXT NOT NULL,
    lease_seconds REAL NOT NULL, accepted_at REAL NOT NULL, deadline REAL NOT NULL,
    stop_reason TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0,
    preemptible INTEGER NOT NULL DEFAULT 1, outputs TEXT NOT NULL DEFAULT '[]',
    retried INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE outbox (
    report_seq INTEGER PRIMARY KEY, name TEXT NOT NULL, job_id TEXT NOT NULL,
    epoch INTEGER NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL, exit_code INTEGER NOT NULL,
    outcome TEXT NOT NULL, failure TEXT NOT NULL, stored TEXT NOT NULL DEFAULT ''
);
"""
# What makes a journal of the version before into one of this.
_UPGRADES = {
    1: """
ALTER TABLE attempts ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN preemptible INTEGER NOT NULL DEFAULT 1;
""",
    2: """
ALTER TABLE attempts ADD COLUMN outputs TEXT NOT NULL DEFAULT '[]';
ALTER TABLE attempts ADD COLUMN retried INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN stored TEXT NOT NULL DEFAULT '';
""",
}
_PUT_MARK = "REPLACE INTO marks VALUES (?, ?, ?)"
_PUT_ATTEMPT = "REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_REPORT = "REPLACE INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_FACT = "REPLACE INTO facts VALUES (?, ?)"
_RECALL = "recall "  # and the pool: the name of a fact


class JournalFull(Exception):
    """The batch is not on the disk; committing the same records again is harmless."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The lease clock, and what carries its meaning into another process of the same boot."""

    boot_id: str
    elapsed: float  # seconds of `lease_now`
    boottime_ns: int
    raw_ns: int

    @classmethod
    def take(cls, boot_id: str) -> ClockReading:
        return cls(boot_id, lease_now(), boottime_ns(), raw_ns())

    def shift_from(self, earlier: ClockReading) -> float | None:
        """What turns the earlier process's elapsed seconds into this one's; None: a reboot."""
        if not self.boot_id or self.boot_id != earlier.boot_id:
            return None
        passed_ns = max(self.boottime_ns - earlier.boottime_ns, self.raw_ns - earlier.raw_ns)
        return self.elapsed - (earlier.elapsed + passed_ns / 1e9)


class Journal:
    """The one writer of a site's journal. Its methods block; call them from one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises InternalError (JournalUnreadable, JournalTooNew)."""
        self._path = path
        self._moved: tuple[Record, ...] | None = None  # as loaded, until they are written so
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._prepare()
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error

    def close(self) -> None:
        self._connection.close()

    def load(self, now: ClockReading) -> tuple[Record, ...]:
        """The records that build the state again. Raises InternalError (JournalUnreadable)."""
        try:
            records = tuple(self._load(now))
            self._moved = tuple(record for record in records if isinstance(record, _ELAPSED))
            return records
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise _unreadable(self._path, error) from error

    def commit(self, records: Iterable[Record], now: ClockReading) -> None:
        """Make a batch durable, all or nothing. Raises JournalFull."""
        batch = _Batch()
        if self._moved is not None:
            batch.facts.update(renewed=None, extended=None)
        for record in (*(self._moved or ()), *records):
            _GATHER[type(record)](batch, record)
        batch.facts["clock"] = json.dumps(asdict(now))
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                batch.write(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise JournalFull(f"{self._path}: {error}") from error
        self._moved = None

    # --- opening and loading -------------------------------------------------------

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise InternalError(
                f"{self._path} was written by a newer agent (format {version})",
                "install that version of suan-agent again, or a newer one",
                "JournalTooNew",
            )
        if version == 0:
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
            # A journal that was lost must not number its reports as the lost one did.
            connection.execute(_PUT_FACT, ("report_seq", time.time_ns() // 1_000))
        elif version < SCHEMA_VERSION:
            upgrades = "".join(_UPGRADES[old] for old in range(version, SCHEMA_VERSION))
            connection.executescript(
                f"BEGIN; {upgrades} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    def _load(self, now: ClockReading) -> Iterator[Record]:
        select = self._connection.execute
        facts: dict[str, Any] = dict(select("SELECT name, value FROM facts"))
        yield TermRaised(facts.get("term", 0))
        for row in select("SELECT * FROM marks ORDER BY raised_at"):
            yield MarkRaised(*row)
        clock = facts.get("clock")
        shift = now.shift_from(ClockReading(**json.loads(clock))) if clock else None
        for row in select("SELECT * FROM attempts ORDER BY accepted_at, name"):
            yield AttemptPut(moved(attempt_of(row), shift))
        if shift is not None and facts.get("renewed") is not None:
            yield LeasesRenewed(facts["renewed"] + shift)
        if shift is not None and facts.get("extended") is not None:
            sent_at, until = json.loads(facts["extended"])
            yield LeasesExtended(sent_at + shift, until + shift)
        for name, value in facts.items():
            if name.startswith(_RECALL) and value is not None:
                yield RecallPut(Recalled(**json.loads(value)))
        # Numbers go on from the last one given, though its report may be long gone.
        yield ReportsNumbered(facts["report_seq"])
        for row in select("SELECT * FROM outbox ORDER BY report_seq"):
            yield ReportAdded(report_of(row))


class _Batch:
    """The net effect of a batch of records on each table: the last word counts."""

    def __init__(self) -> None:
        self.facts: dict[str, object] = {}
        self.marks: dict[str, tuple[int, float] | None] = {}
        self.attempts: dict[str, Attempt | None] = {}
        self.reports: dict[int, Report] = {}
        self.reports_dropped = 0

    def raise_term(self, record: TermRaised) -> None:
        self.facts["term"] = record.term

    def raise_mark(self, record: MarkRaised) -> None:
        self.marks[record.job_id] = (record.epoch, record.at)

    def drop_marks(self, record: MarksDropped) -> None:
        self.marks.update(dict.fromkeys(record.job_ids))

    def put_attempt(self, record: AttemptPut) -> None:
        self.attempts[record.attempt.name] = record.attempt

    def drop_attempt(self, record: AttemptDropped) -> None:
        self.attempts[record.name] = None

    def renew(self, record: LeasesRenewed) -> None:
        self.facts["renewed"] = record.sent_at

    def extend(self, record: LeasesExtended) -> None:
        self.facts["extended"] = json.dumps([record.sent_at, record.until])

    def add_report(self, record: ReportAdded) -> None:
        self.reports[record.report.report_seq] = record.report
        self.facts["report_seq"] = record.report.report_seq

    def number_reports(self, record: ReportsNumbered) -> None:
        self.facts["report_seq"] = record.report_seq

    def drop_reports(self, record: ReportsDropped) -> None:
        self.reports_dropped = max(self.reports_dropped, record.report_seq)

    def put_recall(self, record: RecallPut) -> None:
        recalled = record.recalled
        self.facts[_RECALL + recalled.pool] = json.dumps(asdict(recalled))

    def drop_recall(self, record: RecallDropped) -> None:
        self.facts[_RECALL + record.pool] = None

    def write(self, connection: sqlite3.Connection) -> None:
        many = connection.executemany
        many(_PUT_FACT, self.facts.items())
        many(_PUT_MARK, [(job, *mark) for job, mark in self.marks.items() if mark is not None])
        many("DELETE FROM marks WHERE job_id = ?", [(j,) for j, m in self.marks.items() if not m])
        kept = [attempt for attempt in self.attempts.values() if attempt is not None]
        many(_PUT_ATTEMPT, map(attempt_row, kept))
        gone = [(name,) for name, attempt in self.attempts.items() if attempt is None]
        many("DELETE FROM attempts WHERE name = ?", gone)
        added = [r for number, r in self.reports.items() if number > self.reports_dropped]
        many(_PUT_REPORT, map(report_row, added))
        if self.reports_dropped:
            many("DELETE FROM outbox WHERE report_seq <= ?", [(self.reports_dropped,)])


_GATHER: dict[type[Record], Any] = {
    TermRaised: _Batch.raise_term,
    MarkRaised: _Batch.raise_mark,
    MarksDropped: _Batch.drop_marks,
    AttemptPut: _Batch.put_attempt,
    AttemptDropped: _Batch.drop_attempt,
    LeasesRenewed: _Batch.renew,
    LeasesExtended: _Batch.extend,
    ReportAdded: _Batch.add_report,
    ReportsDropped: _Batch.drop_reports,
    ReportsNumbered: _Batch.number_reports,
    RecallPut: _Batch.put_recall,
    RecallDropped: _Batch.drop_recall,
}


_ELAPSED = AttemptPut | LeasesRenewed | LeasesExtended  # records with elapsed seconds


def _unreadable(path: Path, error: Exception) -> SuanError:
    return InternalError(
        f"the journal {path} cannot be read: {error}",
        "check the disk and who may write there; moving the file away makes the agent forget "
        "what it runs, so do that only when no job of the federation runs on this site",
        "JournalUnreadable",
    )
