"""A token bucket with a queue of promises: who is refused is told when its turn is.

A herd that comes back at once is thereby spread over the time that it takes to serve it.
Knows no wire and reads its clock as an argument.
"""

from __future__ import annotations

import time
from collections.abc import Callable

WAIT_SECONDS_MAX = 30.0  # longer, nobody is told to wait


class Bucket:
    """Lets `per_second` through on average, and up to `burst` at once."""

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._tokens = self._burst
        self._filled_at = clock()
        self._promised_until = 0.0

    def take(self) -> float:
        """0.0: go on. Else how many seconds to wait before trying again."""
        now = self._clock()
        earned = (now - self._filled_at) * self._per_second
        self._tokens, self._filled_at = min(self._burst, self._tokens + earned), now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        first = now + (1.0 - self._tokens) / self._per_second
        turn = max(first, self._promised_until + 1.0 / self._per_second)
        self._promised_until = min(turn, now + WAIT_SECONDS_MAX)
        return self._promised_until - now
