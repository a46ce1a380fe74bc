"""The only clock of the broker: what `Now` is made of.

`elapsed` is the smaller of two monotonic clocks' readings, so that the broker never
believes more time has passed than has: time slewing cannot end a lease early.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from broker.core.messages import Now

Clock = Callable[[], Now]


def system_clock() -> Clock:
    """A clock that starts at elapsed 0 now."""
    monotonic = time.monotonic()
    raw = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)

    def now() -> Now:
        elapsed = min(
            time.monotonic() - monotonic, time.clock_gettime(time.CLOCK_MONOTONIC_RAW) - raw
        )
        return Now(elapsed=elapsed, wall=time.time())

    return now
