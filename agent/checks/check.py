"""The answer to one question of preflight, and what is asked of more than one directory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"  # it will work, less well than it could
    FAIL = "fail"  # it will not work


@dataclass(frozen=True, slots=True)
class Check:
    """The answer to one question."""

    name: str
    status: Status
    message: str
    hint: str = ""


def existing(path: Path) -> Path:
    """The nearest of a path and its parents that is there."""
    return next(place for place in (path, *path.parents) if place.is_dir())
