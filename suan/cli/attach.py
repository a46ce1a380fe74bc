"""Staying with a job: its states to standard error, its output to ours, its exit code.

Ctrl-C detaches: it says how to come back and never cancels.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO

from suan.cli.jobs import exit_code, last_attempt, outcome_line
from suan.cli.output import note
from suan.cli.staged import StagedLine
from suan.cli.times import length
from suan.errors import Unavailable
from suan.ids import short_id
from suan.models import Job, JobState, Launch
from suan.overwritten import LINE_BYTES_MAX, LastStates
from suan.sync import Client
from suan.views import KeptLog, LogChunk

STAY_SECONDS = 120.0  # for a broker that was there to come back, or another in its place


@contextmanager
def told_how_to_return(job_id: str) -> Iterator[None]:
    """On Ctrl-C, says how to come back to a job."""
    try:
        yield
    except KeyboardInterrupt:
        short = short_id(job_id)
        note(f"\ndetached; the job goes on.  Next: suan logs -f {short}  ·  suan cancel {short}")
        raise


def attach(client: Client, job_id: str, *, with_logs: bool = True) -> int:
    """Follows a job from its queue to its end and answers the exit code for it."""
    client.deadline_seconds = STAY_SECONDS
    with told_how_to_return(job_id):
        job = _until_begun(client, job_id)
        if with_logs and last_attempt(job):
            print_logs(client, job, follow=True)
        (ended,) = client.wait([job_id])
    note(outcome_line(ended))
    return exit_code(ended)


def _until_begun(client: Client, job_id: str) -> Job:
    """Tells of each state, and how far its inputs are, until the job runs or has ended."""
    told, inputs = "", StagedLine()
    with closing(client.starting(job_id)) as changes:
        for job in changes:
            line = _state_line(job)
            if line != told:
                inputs.end()
                note(line)
                told = line
            inputs.show(job)
            if job.state in (JobState.RUNNING, JobState.CANCELLING) or job.state.terminal:
                return job
    raise AssertionError("a watch never ends")


def _state_line(job: Job) -> str:
    attempt = last_attempt(job)
    line = f"● job {short_id(job.id)} {job.state.lower()}"
    if attempt and job.state in (JobState.PLACED, JobState.RUNNING):
        line += f" at {attempt.pool}: {attempt.cards} × {attempt.accelerator}"
    if job.state is JobState.QUEUED and attempt and attempt.failure:
        line += f" again: {attempt.failure.code} at {attempt.site}"
    elif job.state is JobState.QUEUED:
        line += f"; why: suan explain {short_id(job.id)}"
    if job.state is JobState.RUNNING and attempt:
        line += f" ({length(attempt.started_at - job.submitted_at)} after it was submitted)"
    return line


def print_logs(
    client: Client, job: Job, *, rank: int | None = None, raw: bool = False, **wanted: Any
) -> None:
    """Copies a job's output to ours, as it is or by line with the rank in front.

    Outside a terminal a progress bar is its last state, unless it is wanted `raw`. Where the end
    lies at a site that is lost, says so, and leaves the rest to the job's own outcome.
    """
    writer = _Writer(by_line=rank is None and _has_ranks(client, job), raw=raw)
    told = False
    with closing(client.logs(job.id, rank=rank, **wanted)) as chunks:
        try:
            for chunk in chunks:
                if chunk.kept and not told:
                    note(_kept_note(chunk.kept))
                    told = True
                writer.write(chunk)
        except Unavailable as error:
            if error.code != "LogsIncomplete":
                raise
            note(f"note: {error.message}; {error.hint}")
        finally:
            writer.finish()


def _kept_note(kept: KeptLog) -> str:
    lacks = "" if kept.at_end else "; what came later is missing"
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(kept.at))
    why = f"{kept.site} cannot be asked ({kept.code})"
    return f"note: {why}: this is what it had sent until {until}{lacks}"


def _has_ranks(client: Client, job: Job) -> bool:
    """Whether the job may have several processes."""
    spec = client.spec(job.id)
    per_card = spec.launch is Launch.PER_CARD
    return any(each.num_nodes > 1 or (per_card and each.cards > 1) for each in spec.variants)


class _Writer:
    """Writes chunks: at once, or whole lines with the rank in front."""

    def __init__(self, by_line: bool, raw: bool = False) -> None:
        self._by_line = by_line
        self._raw = raw
        self._states: dict[tuple[int, str], LastStates] = {}
        self._rest: dict[tuple[int, str], bytes] = {}
        self._outputs: dict[str, BinaryIO] = {
            "stdout": sys.stdout.buffer,
            "stderr": sys.stderr.buffer,
        }

    def write(self, chunk: LogChunk) -> None:
        key = (chunk.rank, chunk.stream)
        if not self._by_line:
            is_as_written = self._raw or self._output(chunk.stream).isatty()
            states = None if is_as_written else self._states.setdefault(key, LastStates())
            self._put(chunk.stream, states.add(chunk.data) if states else chunk.data)
            return
        *lines, rest = (self._rest.get(key, b"") + chunk.data).split(b"\n")
        self._rest[key] = rest
        if len(rest) > LINE_BYTES_MAX:
            lines.append(self._rest.pop(key))
        self._put(chunk.stream, b"".join(_with_rank(chunk.rank, line) for line in lines))

    def finish(self) -> None:
        """Writes lines that were begun and never ended."""
        for (_, stream), states in self._states.items():
            self._put(stream, states.finish())
        for (rank, stream), rest in self._rest.items():
            if rest:
                self._put(stream, _with_rank(rank, rest))

    def _put(self, stream: str, data: bytes) -> None:
        if data:
            output = self._output(stream)
            output.write(data)
            output.flush()

    def _output(self, stream: str) -> BinaryIO:
        return self._outputs.get(stream, sys.stdout.buffer)


def _with_rank(rank: int, line: bytes) -> bytes:
    """A line as it reads at last: what a carriage return overwrote is left out."""
    shown = line.rstrip(b"\r").rpartition(b"\r")[2]
    return f"[{rank}] ".encode() + shown + b"\n"
