"""What became of each row of a trace: read, left out by choice, or dropped, and why.

The counts add up to the rows of the file. Knows no format.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

LINES_SHOWN_MAX = 10  # line numbers kept per reason; the counts are complete


class Reason(StrEnum):
    """Why a row makes no job."""

    BAD_ROW = "BadRow"  # no row of this format, or not the right number of fields
    MISSING_FIELD = "MissingField"
    NOT_A_NUMBER = "NotANumber"
    NEGATIVE_TIME = "NegativeTime"
    NO_RUN_TIME = "NoRunTime"  # never ended, or its length was not kept
    ZERO_WIDTH = "ZeroWidth"  # asked for no card
    OUT_OF_RANGE = "OutOfRange"  # beyond what any cluster could mean
    LINE_TOO_LONG = "LineTooLong"
    TOO_MANY_JOBS = "TooManyJobs"


class BadRow(Exception):
    """A row that makes no job; readers raise it, the loop counts it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows dropped for one reason."""

    reason: Reason
    rows: int
    lines: tuple[int, ...]  # the first LINES_SHOWN_MAX of them


@dataclass(frozen=True, slots=True)
class Report:
    """What was read: `rows` = `jobs` + `not_selected` + all that was dropped."""

    source: str
    format: str
    rows: int
    jobs: int
    not_selected: int
    dropped: tuple[Dropped, ...]
    unsorted_rows: int  # submitted before the row above it; sorted, not dropped
    damage: str = ""  # where the file itself ended early

    @property
    def dropped_rows(self) -> int:
        return sum(each.rows for each in self.dropped)

    def words(self) -> tuple[str, ...]:
        """The report as lines for people."""
        said = [f"{self.source}: {self.rows:,} rows of {self.format}, {self.jobs:,} jobs"]
        if self.not_selected:
            said.append(f"{self.not_selected:,} left out by the selection")
        for each in self.dropped:
            where = ", ".join(str(line) for line in each.lines)
            more = ", …" if each.rows > len(each.lines) else ""
            said.append(f"{each.rows:,} dropped: {each.reason} (line {where}{more})")
        if self.unsorted_rows:
            said.append(f"{self.unsorted_rows:,} rows stood out of order and were sorted")
        return (*said, *([self.damage] if self.damage else []))


@dataclass(slots=True)
class Tally:
    """The report while it grows."""

    rows: int = 0
    unsorted_rows: int = 0
    damage: str = ""
    _lines: dict[Reason, list[int]] = field(default_factory=dict)
    _counts: dict[Reason, int] = field(default_factory=dict)

    def drop(self, reason: Reason, line: int) -> None:
        self._counts[reason] = self._counts.get(reason, 0) + 1
        lines = self._lines.setdefault(reason, [])
        if len(lines) < LINES_SHOWN_MAX:
            lines.append(line)

    def report(self, source: str, format_name: str, jobs: int, not_selected: int) -> Report:
        dropped = (
            Dropped(reason, count, tuple(self._lines[reason]))
            for reason, count in self._counts.items()
        )
        return Report(
            source=source,
            format=format_name,
            rows=self.rows,
            jobs=jobs,
            not_selected=not_selected,
            dropped=tuple(sorted(dropped, key=lambda each: -each.rows)),
            unsorted_rows=self.unsorted_rows,
            damage=self.damage,
        )
