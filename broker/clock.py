"""The only clock of the broker: what `Now` is made of.

`elapsed` errs on the short side only: over each step it is the smaller advance of
CLOCK_MONOTONIC and CLOCK_MONOTONIC_RAW, neither of which counts suspend. A broker that
measures too short waits too long before it takes a lease back, which is harmless. Time
slewing cannot end a lease early, and a lag of one clock is never made up by a lead of it
later. `wall` is for people and certificates; no lease reads it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from broker.core.messages import Now

Clock = Callable[[], Now]
Nanoseconds = Callable[[], int]
# The two clocks are compared over steps of this length, so that read jitter of each call
# does not add up to drift.
_FOLD_NANOSECONDS = 1_000_000_000


def raw_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


class ElapsedClock:
    """Seconds since this clock was made, never more than either of its two sources says."""

    def __init__(
        self, first: Nanoseconds = time.monotonic_ns, second: Nanoseconds = raw_ns
    ) -> None:
        self._sources = (first, second)
        self._marks = (first(), second())
        self._folded_ns = 0
        self._shown_ns = 0

    def now(self) -> float:
        """Elapsed seconds, never fewer than before."""
        reads = (self._sources[0](), self._sources[1]())
        step = min(read - mark for read, mark in zip(reads, self._marks, strict=True))
        if step >= _FOLD_NANOSECONDS:
            self._folded_ns += step
            self._marks = reads
            step = 0
        self._shown_ns = max(self._shown_ns, self._folded_ns + step)
        return self._shown_ns / 1e9


def system_clock() -> Clock:
    """A clock that starts at elapsed 0 now. For one thread."""
    elapsed = ElapsedClock()
    return lambda: Now(elapsed=elapsed.now(), wall=time.time())
