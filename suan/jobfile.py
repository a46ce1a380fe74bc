"""Job files and sbatch scripts on the disk: `load_job`.

Joins the file, the catalogue and the environment to `suan.jobspec`, which knows none of
them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from suan import catalogue
from suan.errors import InvalidRequest
from suan.jobspec.convert import convert
from suan.jobspec.load import read
from suan.models import JobSpec

READ_BYTES_MAX = 16 * 1024 * 1024  # far more than a job file may have; the reader says so
_NOTE = "#   "  # how `convert` begins the lines that name what it could not translate


@dataclass(frozen=True, slots=True)
class JobFile:
    """A spec, and what its author should know although nothing is wrong."""

    spec: JobSpec
    notes: tuple[str, ...]


def load_job(path: str | os.PathLike[str], given: Mapping[str, str] | None = None) -> JobSpec:
    """The spec that a job file or an sbatch script states.

    `given` holds values for the variables and secrets that the file leaves open (default: the
    process's environment). Raises InvalidRequest (FileUnreadable) and InvalidSpec, which
    holds every problem with its line.
    """
    return parse_job(read_bytes(Path(path)), os.environ if given is None else given).spec


def parse_job(text: bytes, given: Mapping[str, str]) -> JobFile:
    """A job file, or an sbatch script (told by its `#!`), from its text. Raises InvalidSpec."""
    notes: tuple[str, ...] = ()
    if text.startswith(b"#!"):
        converted = convert(text, catalogue=catalogue.load())
        lines = converted.splitlines()
        notes = tuple(line.removeprefix(_NOTE) for line in lines if line.startswith(_NOTE))
        text = converted.encode()
    reading = read(text, given=given, catalogue=catalogue.load())
    return JobFile(reading.spec, notes + tuple(map(str, reading.notes)))


def read_bytes(path: Path) -> bytes:
    """The beginning of a file, at most 16 MiB. Raises InvalidRequest (FileUnreadable)."""
    try:
        with path.open("rb") as file:
            return file.read(READ_BYTES_MAX)
    except OSError as error:
        raise InvalidRequest(
            f"cannot read {path}: {error.strerror}",
            "check the path; `-` reads from standard input",
            "FileUnreadable",
        ) from error
