"""One question to a cluster manager for all who want to know, and not more than it can bear.

The survey of capacity and the backend that watches runs share one poll: whoever asks first
puts the question, the others get the same answer. Knows nothing of either.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.clock import lease_now

POLL_SECONDS = 30.0  # between two questions
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Answer(Generic[V]):
    """What the manager said to a question that was put at `asked_at` (the poll's clock)."""

    asked_at: float
    view: V


class Poll(ABC, Generic[V]):
    """Asks one cluster manager, for one event loop."""

    def __init__(self, seconds: float, clock: Callable[[], float] = lease_now) -> None:
        self._seconds = seconds
        self._clock = clock
        self._asking = asyncio.Lock()
        self._last: Answer[V] | None = None
        self._due = float("-inf")

    @abstractmethod
    async def _view(self) -> V:
        """Ask. Raises ProbeFailed."""

    async def answer(self, after: float) -> Answer[V]:
        """The answer to a question put later than `after`; waits until one may be put.

        Raises ProbeFailed; the next question waits its time all the same.
        """
        if (last := self._news(after)) is not None:
            return last
        async with self._asking:
            if (last := self._news(after)) is not None:
                return last
            await asyncio.sleep(self._due - self._clock())
            asked_at = self._clock()
            self._due = asked_at + self._seconds
            self._last = Answer(asked_at, await self._view())
            return self._last

    def _news(self, after: float) -> Answer[V] | None:
        return self._last if self._last is not None and self._last.asked_at > after else None
