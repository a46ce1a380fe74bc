"""One question to Slurm for all who want to know, and not more often than it can bear."""

from __future__ import annotations

from collections.abc import Callable

from agent.backends.poll import POLL_SECONDS, Poll
from agent.clock import lease_now
from agent.slurm.from_text import SlurmFrame, SlurmView
from agent.slurm.read import Slurm

FRAME_POLLS = 10  # questions between two readings of what only a configuration changes


class SlurmPoll(Poll[SlurmView]):
    """Asks one Slurm, for one event loop."""

    def __init__(
        self,
        slurm: Slurm,
        seconds: float = POLL_SECONDS,
        clock: Callable[[], float] = lease_now,
    ) -> None:
        super().__init__(seconds, clock)
        self.slurm = slurm
        self._frame: SlurmFrame | None = None
        self._frame_polls = 0  # since the frame was read

    async def _view(self) -> SlurmView:
        if self._frame is None or self._frame_polls >= FRAME_POLLS:
            self._frame, self._frame_polls = await self.slurm.frame(), 0
        self._frame_polls += 1
        return await self.slurm.view(self._frame)
