"""The agent's lease clock: elapsed time that errs on the long side only.

Elapsed = the larger of CLOCK_BOOTTIME (which counts suspend) and CLOCK_MONOTONIC_RAW
(which nobody slews). An agent that measures too long lets a lease end too early, which is
harmless; too short would let two executions live. Wall time never enters here. The
machine's boot id tells a reboot, after which no deadline written before means anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
# The two clocks are compared over steps of this length, so that read jitter of each call
# does not add up to drift.
_FOLD_NANOSECONDS = 1_000_000_000

Nanoseconds = Callable[[], int]


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def raw_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


class ElapsedClock:
    """Seconds since this clock was made, never fewer than either of its two sources says."""

    def __init__(self, first: Nanoseconds = boottime_ns, second: Nanoseconds = raw_ns) -> None:
        self._sources = (first, second)
        self._marks = (first(), second())
        self._folded_ns = 0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Elapsed seconds; safe to call from any thread."""
        with self._lock:
            reads = (self._sources[0](), self._sources[1]())
            step = max(read - mark for read, mark in zip(reads, self._marks, strict=True))
            if step >= _FOLD_NANOSECONDS:
                self._folded_ns += step
                self._marks = reads
                step = 0
            return (self._folded_ns + step) / 1e9


_LEASE_CLOCK = ElapsedClock()


def lease_now() -> float:
    """Seconds on the clock that every lease of this agent process is measured by.

    Means nothing in another process: what must outlive this one is written as the time
    that remains (see `agent.backends.process`).
    """
    return _LEASE_CLOCK.now()


def boot_id() -> str:
    """The kernel's name for this boot; "" where the kernel has none."""
    try:
        return BOOT_ID_PATH.read_text().strip()
    except OSError:
        return ""
