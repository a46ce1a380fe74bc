"""Finds and kills what is left of a run whose fence was itself killed.

A dead fence takes the ranks with it, but not their children. Every process of a run keeps
the place of its host file in its first environment; no other run has the same. Linux only;
reads /proc, and signals by pidfd so that a reused number is never hit.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

_PROC = Path("/proc")


def kill_leftovers(hostfile: Path) -> int:
    """SIGKILL every living process of the run with that host file; how many there were.

    Call again until it returns 0: the dead take a moment, and a child may have been born.
    """
    mark = b"SUAN_HOSTFILE=" + os.fsencode(hostfile)
    return sum(_kill(pid, mark) for pid in _processes() if pid != os.getpid())


def _processes() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]


def _kill(pid: int, mark: bytes) -> bool:
    if not _has_mark(pid, mark):
        return False
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not _has_mark(pid, mark):  # the number may have been given to another
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _has_mark(pid: int, mark: bytes) -> bool:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return False
    return mark in environment
