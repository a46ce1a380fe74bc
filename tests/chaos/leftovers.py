"""The processes of one schedule, found in /proc by the folder that they name.

A daemon and a fence name it in their command, a job in its environment; so whatever a run has
started is found, however it was orphaned. Signals go by pidfd: a reused number is never hit.
"""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
END_POLL_SECONDS = 0.05
_FENCE = re.compile(rb"fence\.py\0(?P<run>[^\0]*/sites/(?P<site>[^/\0]+)/state/runs/[^\0]+)\0")


@dataclass(frozen=True, slots=True)
class Process:
    """One living process of a schedule."""

    pid: int
    parent: int
    command: bytes  # arguments, each ended by NUL
    environment: bytes

    def __str__(self) -> str:
        return f"{self.pid}: {self.command.replace(bytes(1), b' ').decode(errors='replace')[:160]}"

    @property
    def fence_of(self) -> str:
        """The site whose fence it is; "" for another process."""
        found = _FENCE.search(self.command)
        return found["site"].decode() if found else ""

    def send(self, number: signal.Signals) -> bool:
        """Whether it was still there to be signalled."""
        with suppress(OSError):
            handle = os.pidfd_open(self.pid)
            try:
                if _read(self.pid, "cmdline") == self.command:
                    signal.pidfd_send_signal(handle, number)
                    return True
            finally:
                os.close(handle)
        return False


def processes_of(folder: Path) -> list[Process]:
    """All living processes that name `folder`, but for this one and those above it."""
    mark = os.fsencode(folder)
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            command, environment = _read(pid, "cmdline"), _read(pid, "environ")
            if _names(command, mark) or _names(environment, mark):
                found.append(Process(pid, _parent(pid), command, environment))
    above = _above(os.getpid())
    return sorted((each for each in found if each.pid not in above), key=lambda each: each.pid)


def fences(folder: Path, site: str) -> list[Process]:
    """The fences of a site and their keepers, two for each run."""
    return [process for process in processes_of(folder) if process.fence_of == site]


def without_keepers(found: list[Process]) -> list[Process]:
    """Of `fences`, those that are looked after by another."""
    numbers = {process.pid for process in found}
    return [process for process in found if process.parent in numbers]


def ranks(folder: Path, site: str) -> list[Process]:
    """What the fences of a site have started."""
    known = processes_of(folder)
    guards = {process.pid for process in known if process.fence_of == site}
    return [each for each in known if each.parent in guards and each.pid not in guards]


def wait_gone(folder: Path, seconds: float) -> list[Process]:
    """The processes that are left after so long; none as soon as none is."""
    end = time.monotonic() + seconds
    while (left := processes_of(folder)) and time.monotonic() < end:
        time.sleep(END_POLL_SECONDS)
    return left


def kill_all(folder: Path, seconds: float = 10.0) -> None:
    """SIGKILL until nothing of the folder is left. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while left := processes_of(folder):
        for process in left:
            process.send(signal.SIGKILL)
        if time.monotonic() > end:
            raise TimeoutError(f"these do not die: {'; '.join(map(str, left))}")
        time.sleep(END_POLL_SECONDS)


def _names(text: bytes, mark: bytes) -> bool:
    """Whether a path at or below `mark` stands in it, and no longer name."""
    return mark + b"/" in text or mark + b"\0" in text


def _read(pid: int, name: str) -> bytes:
    return (PROC / str(pid) / name).read_bytes()


def _parent(pid: int) -> int:
    return int(_read(pid, "stat").rpartition(b")")[2].split()[1])


def _above(pid: int) -> set[int]:
    found = set()
    while pid:
        found.add(pid)
        pid = _parent(pid)
    return found
