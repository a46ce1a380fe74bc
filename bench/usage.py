"""What processes use of the machine, as /proc says."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def rss_bytes(pid: int) -> int:
    """Resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds_of(pids: Iterable[int]) -> float:
    """Processor time of these processes so far, all threads together."""
    return sum(map(_cpu_seconds, pids))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
