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

    def pause_after_round(self, failures: int, alternatives: int) -> float:
        """The same where so many are tried in turn: none until all have failed once more."""
        rounds, within = divmod(failures, alternatives)
        return 0.0 if within else self.pause_seconds(rounds)


async def call_until(
    call: Callable[[float], Awaitable[T]],
    retryable: Callable[[Exception], bool],
    *,
    deadline_seconds: float,
    backoff: Backoff,
    alternatives: int = 1,
    asked_seconds: Callable[[Exception], float] = lambda _: 0.0,
) -> T:
    """The result of `call(seconds left)`, tried again while `retryable` and time is left.

    With `alternatives`, of which `call` takes the next at each try, the pauses lie between
    rounds. No pause is shorter than what `asked_seconds` finds in the error. Raises what the
    last try raised.
    """
    end = backoff.clock() + deadline_seconds
    failures = 0
    while True:
        try:
            return await call(end - backoff.clock())
        except Exception as error:
            failures += 1
            pause = backoff.pause_after_round(failures, alternatives)
            if (asked := asked_seconds(error)) > 0:
                pause = max(pause, asked + backoff.pause_seconds(1))  # not all at one moment
            if not retryable(error) or backoff.clock() + pause >= end:
                raise
            await backoff.sleep(pause)
