"""How far a job's inputs are, in words, and as a line that is written over."""

from __future__ import annotations

import sys

import click

from suan.cli.times import moment
from suan.models import AttemptState, Commit, Job

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
STEP_PERCENT = 10  # between two lines where they cannot be written over


def staged(job: Job) -> str:
    """Such as "3.2 of 10.0 GB, 32 %"; "" while nothing is fetched."""
    attempt = job.attempts[-1] if job.attempts else None
    if attempt is None or attempt.state is not AttemptState.STAGING:
        return ""
    done, total = attempt.staged_bytes, attempt.staging_bytes
    if not total:
        return "the first bytes are awaited"
    power = min(len(UNITS) - 1, (len(str(total)) - 1) // 3)
    unit = 1000**power
    return f"{done / unit:.1f} of {total / unit:.1f} {UNITS[power]}, {_percent(job)} %"


def publishing(job: Job) -> str:
    """Such as "since 12:03, 1 committed; the run is over and its cards are free"; "" else."""
    attempt = job.attempts[-1] if job.attempts else None
    if attempt is None or attempt.state is AttemptState.ENDED or not attempt.released_at:
        return ""
    done = sum(1 for each in job.outputs if each.epoch == attempt.epoch)
    since = moment(attempt.released_at)
    return f"since {since}, {done} committed; the run is over and its cards are free"


def committed(commit: Commit) -> str:
    """Such as "1.2 GB in 12 files, try 2 at east, 2026-11-23 01:40, s3://b/…/manifest.json"."""
    files = "1 file" if commit.files == 1 else f"{commit.files} files"
    size, tried = amount(commit.size_bytes), f"try {commit.epoch} at {commit.site}"
    named = f"ds://{commit.dataset}, " if commit.dataset else ""
    return f"{named}{size} in {files}, {tried}, {moment(commit.at)}, {commit.url}"


def amount(size_bytes: int) -> str:
    """Such as "3.2 GB"."""
    power = min(len(UNITS) - 1, (len(str(size_bytes)) - 1) // 3)
    whole = f"{size_bytes}" if not power else f"{size_bytes / 1000**power:.1f}"
    return f"{whole} {UNITS[power]}"


class StagedLine:
    """Tells the progress of one job to standard error."""

    def __init__(self) -> None:
        self._told = ""
        self._step = -1
        self._open = False  # the line is not ended yet

    def show(self, job: Job) -> None:
        """At a terminal each word in place of the last one, else one line in ten per cent."""
        text = staged(job)
        if not text or text == self._told:
            return
        self._told = text
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K  inputs: {text}", err=True, nl=False)
            self._open = True
            return
        step = _percent(job) // STEP_PERCENT
        if step != self._step:
            self._step = step
            click.echo(f"  inputs: {text}", err=True)

    def end(self) -> None:
        """What follows begins on a line of its own."""
        if self._open:
            click.echo("", err=True)
            self._open = False


def _percent(job: Job) -> int:
    attempt = job.attempts[-1]
    return min(100, 100 * attempt.staged_bytes // max(1, attempt.staging_bytes))
