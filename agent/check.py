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


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`; "?" where the kernel does not tell."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return "?"
    held = [line.split()[1:3] for line in mounts if len(line.split()) > 2]
    within = [(place, kind) for place, kind in held if path.resolve().is_relative_to(place)]
    return max(within, key=lambda mount: len(mount[0]), default=("", "?"))[1]
