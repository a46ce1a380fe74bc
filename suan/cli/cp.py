"""`suan cp`: files of a job's run to this machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected
from suan.cli.output import note

if TYPE_CHECKING:
    from suan.copying import Copied
    from suan.sync import Client

SHOW_SECONDS = 0.2  # between two words about progress at a terminal
SKIPPED_TOLD_MAX = 10


@click.command()
@click.argument("source")
@click.argument("destination", required=False)
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Default: the last one.")
@click.option("--force", is_flag=True, help="Replace files that are there and differ.")
@connected
def cp(
    client: Client, source: str, destination: str | None, attempt: int | None, force: bool
) -> None:
    """Copy files of a job to this machine.

    SOURCE is JOB:PATH, where PATH begins with outputs, checkpoints, work, logs or scratch;
    directories are copied whole. Without DESTINATION it is listed: `suan cp JOB:` says what
    there is. A copy that broke goes on where it was when it is asked for again.
    """
    from suan.cli.attach import STAY_SECONDS

    job, path = _split(source, destination)
    job_id = client.get(job).id
    if destination is None:
        _print_list(client, job_id, path, attempt or 0)
        return
    client.deadline_seconds = STAY_SECONDS
    place = _place(path, destination)
    progress = _Progress()
    try:
        copied = client.copy(
            job_id, path, place, epoch=attempt or 0, force=force, on_progress=progress.show
        )
    finally:
        progress.end()
    _tell(copied, place, progress.seconds)


def _split(source: str, destination: str | None) -> tuple[str, str]:
    """The job and the path. Raises UsageError, and Unsupported (UploadUnsupported)."""
    from suan.errors import Unsupported

    job, colon, path = source.partition(":")
    if destination is not None and ":" in destination and "/" not in destination.partition(":")[0]:
        raise Unsupported(
            "files are copied from a job to this machine only",
            "send files with `workdir` in the job file, or as a dataset",
            "UploadUnsupported",
        )
    if not colon or not job or "/" in job:
        raise click.UsageError(f"{source!r} is not JOB:PATH, such as 3f2a9c1d:outputs/model.bin")
    return job, path


def _place(path: str, destination: str) -> Path:
    """The new name: below DESTINATION if that is a directory, else DESTINATION itself."""
    from suan.files import clean

    place = Path(destination)
    name = clean(path).rpartition("/")[2]
    if not name:
        raise click.UsageError("name what to copy, such as JOB:outputs; `suan cp JOB:` lists it")
    return place / name if place.is_dir() or destination.endswith("/") else place


def _print_list(client: Client, job_id: str, path: str, epoch: int) -> None:
    from datetime import UTC, datetime

    from suan.cli.output import plain_lines
    from suan.files import clean

    rows = []
    for item in client.files(job_id, path, epoch=epoch):
        name = f"{item.path}/" if item.kind == "directory" else item.path
        is_file = item.kind == "file"
        at = datetime.fromtimestamp(item.modified_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        rows.append([str(item.size_bytes) if is_file else "–", at if is_file else "–", name])
    if not rows:
        note(f"nothing is in {clean(path)}")
        return
    for line in plain_lines(("BYTES", "MODIFIED", "PATH"), rows, (True, False, False)):
        click.echo(line)


def _tell(copied: Copied, place: Path, seconds: float) -> None:
    from suan.cli.times import length

    there = f", {copied.files_there} were there already" if copied.files_there else ""
    size = sizes(copied.done_bytes)
    files = "1 file" if copied.files == 1 else f"{copied.files} files"
    note(f"✔ {files} to {place}{there}: {size} in {length(seconds)}")
    for path in copied.grown[:SKIPPED_TOLD_MAX]:
        note(f"note: {path!r} is still being written: copied as far as it was")
    for path in copied.skipped[:SKIPPED_TOLD_MAX]:
        note(f"note: {path!r} is a link out of the run, or no file: left out")
    if len(copied.skipped) > SKIPPED_TOLD_MAX:
        note(f"note: so are {len(copied.skipped) - SKIPPED_TOLD_MAX} more")


def sizes(*amounts: int) -> str:
    """Amounts of bytes in one unit, such as "3.2 of 10.0 GB"."""
    from suan.cli.staged import UNITS

    power = min(len(UNITS) - 1, (len(str(max(amounts))) - 1) // 3)
    return " of ".join(f"{amount / 1000**power:.1f}" for amount in amounts) + f" {UNITS[power]}"


class _Progress:
    """A line at the terminal that is written over; nothing elsewhere."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._shown_at = -SHOW_SECONDS
        self._first_bytes: int | None = None  # that an earlier copy had brought
        self._open = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def show(self, copied: Copied) -> None:
        if not sys.stderr.isatty() or self.seconds - self._shown_at < SHOW_SECONDS:
            return
        self._shown_at = self.seconds
        if self._first_bytes is None:
            self._first_bytes = copied.done_bytes
        rate = round((copied.done_bytes - self._first_bytes) / max(self.seconds, 1e-9))
        percent = 100 * copied.done_bytes // max(copied.total_bytes, 1)
        done = sizes(copied.done_bytes, copied.total_bytes)
        click.echo(f"\r\x1b[K  {done}, {percent} %, {sizes(rate)}/s", err=True, nl=False)
        self._open = True

    def end(self) -> None:
        """What follows begins on a line of its own."""
        if self._open:
            click.echo("", err=True)
            self._open = False
