"""Reading a trace: which format it is, row by row into jobs, then sorted and chosen from."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import chain
from operator import attrgetter
from pathlib import Path

from simulator.traces import swf
from simulator.traces.job import TraceJob
from simulator.traces.lines import lines
from simulator.traces.report import BadRow, Reason, Report, Tally
from simulator.traces.selection import Selection
from simulator.traces.tables import NO_TRACES, TABLES, Table
from suan.errors import InvalidRequest

JOBS_MAX = 5_000_000  # of one trace; more rows are counted and dropped

Numbered = Iterator[tuple[int, str]]


def read_trace(
    path: Path, selection: Selection | None = None
) -> tuple[tuple[TraceJob, ...], Report]:
    """The jobs of a trace, sorted by submission, and what became of every row.

    Raises InvalidRequest when the file cannot be read or is no trace that we know.
    """
    tally = Tally()
    format_name, parsed = _jobs(path, tally)
    jobs = _gathered(parsed, tally)
    chosen = (selection or Selection()).of(jobs)
    left_out = len(jobs) - len(chosen)
    return chosen, tally.report(path.name, format_name, len(chosen), left_out)


def _gathered(parsed: Iterator[TraceJob], tally: Tally) -> list[TraceJob]:
    """All jobs in the order of submission; equal times keep the order of the file."""
    jobs: list[TraceJob] = []
    last = 0.0
    for job in parsed:
        if len(jobs) == JOBS_MAX:
            tally.drop(Reason.TOO_MANY_JOBS, job.line)
            continue
        tally.unsorted_rows += bool(jobs) and job.submit_seconds < last
        last = job.submit_seconds
        jobs.append(job)
    jobs.sort(key=attrgetter("submit_seconds"))
    return jobs


def _jobs(path: Path, tally: Tally) -> tuple[str, Iterator[TraceJob]]:
    """The name of the format and the jobs, read as they are asked for."""
    numbered = lines(path, tally)
    for number, text in numbered:
        if swf.is_comment(text):
            continue
        if text.split()[0].lstrip("+-").isdigit() and "," not in text:
            rows = chain([(number, text)], numbered)
            return swf.NAME, _parsed(rows, swf.parse, tally)
        table, header = _table(path, text)
        return table.name, _parsed(numbered, _by_column(table, header), tally)
    return "an empty file", iter(())


def _parsed(
    rows: Numbered, parse: Callable[[str, int], TraceJob], tally: Tally
) -> Iterator[TraceJob]:
    for number, text in rows:
        if swf.is_comment(text):
            continue
        tally.rows += 1
        try:
            yield parse(text, number)
        except BadRow as bad:
            tally.drop(bad.reason, number)


def _table(path: Path, header: str) -> tuple[Table, list[str]]:
    names = [name.strip() for name in header.split(",")]
    for table in TABLES:
        if table.columns <= {*names}:
            return table, names
    hint = f"known are {swf.NAME} and CSV of: {', '.join(table.name for table in TABLES)}"
    lacks = next((f": {words}" for columns, words in NO_TRACES if columns <= {*names}), "")
    message = f"{path.name} is no trace that can be replayed{lacks}"
    raise InvalidRequest(message, hint, code="UnknownTraceFormat")


def _by_column(table: Table, header: list[str]) -> Callable[[str, int], TraceJob]:
    def parse(text: str, line: int) -> TraceJob:
        fields = _fields(text)
        if len(fields) != len(header):
            raise BadRow(Reason.MISSING_FIELD if len(fields) < len(header) else Reason.BAD_ROW)
        return table.parse(dict(zip(header, fields, strict=True)), line)

    return parse


def _fields(text: str) -> list[str]:
    """The fields of one CSV row; these traces have no row that goes over several lines."""
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        raise BadRow(Reason.BAD_ROW) from None
