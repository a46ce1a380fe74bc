"""What the commands about jobs share: reading specs, finding jobs, cells of tables, outcomes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from suan.cli.output import Column, note
from suan.cli.times import length
from suan.errors import ExitCode, InvalidSpec, NotFound, Unsupported
from suan.ids import ID_LENGTH, short_id
from suan.jobfile import parse_job, read_bytes
from suan.jobspec.check import check
from suan.models import Attempt, Job, JobSpec, JobState
from suan.sync import Client

STANDARD_INPUT = "-"
PART_LENGTH_MIN = 4  # characters of a shortened id
SEARCHED_MAX = 2_000  # newest jobs, for a shortened id of an array


def read_spec(file: str, environment: Mapping[str, str]) -> JobSpec:
    """The spec in a file (`-`: standard input), with `environment` on top of its own.

    Notes go to standard error. Raises InvalidSpec, InvalidRequest, and Unsupported for secrets.
    """
    from_input = file == STANDARD_INPUT
    text = sys.stdin.buffer.read() if from_input else read_bytes(Path(file))
    reading = parse_job(text, {**os.environ, **environment})
    for remark in reading.notes:
        note(f"note: {remark}")
    spec = reading.spec
    if spec.secrets:
        raise Unsupported(
            f"the job asks for secrets ({', '.join(spec.secrets)}), which cannot be sent yet",
            "let the site provide them, and read them in `run`",
            "SecretsUnsupported",
        )
    values = {**dict(spec.environment), **environment}
    spec = replace(spec, environment=tuple(sorted(values.items())))
    if problems := check(spec):
        raise InvalidSpec(problems=problems)
    return spec


def directory_of(file: str) -> Path:
    """What a relative `workdir` counts from."""
    return Path.cwd() if file == STANDARD_INPUT else Path(file).resolve().parent


def jobs_named(client: Client, wanted: str) -> list[Job]:
    """One job by its id or a part of it, or the jobs of an array. Raises NotFound."""
    try:
        return [client.get(wanted)]
    except NotFound:
        array_id = wanted if len(wanted) == ID_LENGTH else _array_like(client, wanted)
        members = list(client.list(array_id=array_id)) if array_id else []
        if not members:
            raise
        return sorted(members, key=lambda job: job.array_index)


def _array_like(client: Client, part: str) -> str:
    """The id of the newest array that begins or ends with `part`; "": none is recent."""
    if len(part) < PART_LENGTH_MIN:
        return ""
    with closing(client.list()) as jobs:
        ids = (job.array_id for job in islice(jobs, SEARCHED_MAX))
        return next((id for id in ids if id.startswith(part) or id.endswith(part)), "")


# --- cells ------------------------------------------------------------------


def last_attempt(job: Job) -> Attempt | None:
    return job.attempts[-1] if job.attempts else None


def site_cell(job: Job) -> str:
    attempt = last_attempt(job)
    shown = attempt and job.state is not JobState.QUEUED
    return attempt.pool if attempt and shown else "–"


def cards_cell(job: Job) -> str:
    attempt = last_attempt(job)
    return f"{attempt.cards} {attempt.accelerator}" if attempt else "–"


def age_cell(job: Job) -> str:
    return length(time.time() - job.submitted_at)


def name_cell(job: Job) -> str:
    return f"{job.name}[{job.array_index}]" if job.array_id else job.name or "–"


def columns(reasons: Mapping[str, str]) -> list[Column[Job]]:
    """The table of `ps`; `reasons` by job id."""
    return [
        Column("JOB", lambda job: short_id(job.id)),
        Column("NAME", name_cell),
        Column("STATE", lambda job: job.state),
        Column("SITE", site_cell),
        Column("CARDS", cards_cell),
        Column("AGE", age_cell, right=True),
        Column("REASON", lambda job: reasons.get(job.id) or own_reason(job)),
        Column("TRY", lambda job: str(len(job.attempts)), wide=True, right=True),
        Column("TENANT", lambda job: job.tenant, wide=True),
        Column("USER", lambda job: job.user, wide=True),
        Column("ID", lambda job: job.id, wide=True),
    ]


def own_reason(job: Job) -> str:
    """What the job itself says of why it is as it is."""
    if job.condition:
        return job.condition
    if job.failure:
        return job.failure.code
    attempt = last_attempt(job)
    if attempt and attempt.failure and not job.state.terminal:
        return f"again after {attempt.failure.code}"
    return "–"


# --- outcomes ---------------------------------------------------------------


def exit_code(job: Job) -> int:
    """The exit code of a command that waited for `job`: the job's own, if it is 1 to 99."""
    if job.state is JobState.SUCCEEDED:
        return ExitCode.OK
    if job.state is JobState.CANCELLED:
        return ExitCode.JOB_CANCELLED
    if not job.state.terminal:
        return ExitCode.JOB_NOT_FINISHED
    if job.failure and job.failure.code == "NeverPlaceable":
        return ExitCode.CANNOT_PLACE_EVER
    return job.exit_code if 1 <= job.exit_code < ExitCode.JOB_FAILED else ExitCode.JOB_FAILED


def outcome_line(job: Job) -> str:
    """How a job ended, in one line."""
    marks = {JobState.SUCCEEDED: "✔", JobState.FAILED: "✘", JobState.CANCELLED: "■"}
    words = [marks.get(job.state, "●"), job.state.lower()]
    attempt = last_attempt(job)
    if attempt and attempt.started_at and attempt.ended_at:
        seconds = attempt.ended_at - attempt.started_at
        hours = attempt.cards * seconds / 3600
        words.append(f"after {length(seconds)} at {attempt.site} · {hours:.3f} card·h")
    if job.state is JobState.FAILED and job.exit_code:
        words.append(f"· exit code {job.exit_code}")
    if job.failure:
        words.append(f"· {job.failure.message} [{job.failure.code}]")
    return " ".join(words)
