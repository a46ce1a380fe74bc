"""One question to Slurm for all who want to know, and not more often than it can bear.

The survey of capacity and the backend that watches runs share one poll: whoever asks first
puts the question, the others get the same answer. Knows nothing of either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import lease_now
from agent.slurm.from_text import SlurmFrame, SlurmView
from agent.slurm.read import Slurm

POLL_SECONDS = 30.0  # between two questions
FRAME_POLLS = 10  # questions between two readings of what only a configuration changes


@dataclass(frozen=True, slots=True)
class SlurmAnswer:
    """What Slurm said to a question that was put at `asked_at` (the poll's clock)."""

    asked_at: float
    view: SlurmView


class SlurmPoll:
    """Asks one Slurm, for one event loop."""

    def __init__(
        self,
        slurm: Slurm,
        seconds: float = POLL_SECONDS,
        clock: Callable[[], float] = lease_now,
    ) -> None:
        self.slurm = slurm
        self._seconds = seconds
        self._clock = clock
        self._asking = asyncio.Lock()
        self._last: SlurmAnswer | None = None
        self._frame: SlurmFrame | None = None
        self._frame_polls = 0  # since the frame was read
        self._due = float("-inf")

    async def answer(self, after: float) -> SlurmAnswer:
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
            self._last = SlurmAnswer(asked_at, await self._view())
            return self._last

    def _news(self, after: float) -> SlurmAnswer | None:
        return self._last if self._last is not None and self._last.asked_at > after else None

    async def _view(self) -> SlurmView:
        if self._frame is None or self._frame_polls >= FRAME_POLLS:
            self._frame, self._frame_polls = await self.slurm.frame(), 0
        self._frame_polls += 1
        return await self.slurm.view(self._frame)
