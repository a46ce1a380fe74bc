"""Trying again: exponential back-off with full jitter, bounded by a deadline.

Knows no wire: what may be tried again is a predicate of the caller's. Clock, sleep and
chance are arguments, so that a test decides them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between tries: chance × min(`seconds_max`, `seconds` × 2^failures)."""

    seconds: float = 0.1
    seconds_max: float = 5.0
    random: Callable[[], float] = field(default=random.random)  # in [0, 1)
    clock: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], Awaitable[object]] = field(default=asyncio.sleep)

    def pause_seconds(self, failures: int) -> float:
        """How long to wait after the `failures`-th failure in a row, counted from 1."""
        ceiling = min(self.seconds_max, self.seconds * 2.0 ** min(failures - 1, 30))
        return ceiling * self.random()


async def call_until(
    call: Callable[[float], Awaitable[T]],
    retryable: Callable[[Exception], bool],
    *,
    deadline_seconds: float,
    backoff: Backoff,
) -> T:
    """The result of `call(seconds left)`, tried again while `retryable` and time is left.

    Raises what the last try raised.
    """
    end = backoff.clock() + deadline_seconds
    failures = 0
    while True:
        try:
            return await call(end - backoff.clock())
        except Exception as error:
            failures += 1
            pause = backoff.pause_seconds(failures)
            if not retryable(error) or backoff.clock() + pause >= end:
                raise
            await backoff.sleep(pause)
