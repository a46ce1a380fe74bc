"""One question to a Ray for all who want to know, and not more often than it can bear."""

from __future__ import annotations

from collections.abc import Callable

from agent.backends.poll import POLL_SECONDS, Poll
from agent.clock import lease_now
from agent.ray.client import RayClient
from agent.ray.read import RayView


class RayPoll(Poll[RayView]):
    """Asks one Ray, for one event loop."""

    def __init__(
        self,
        ray: RayClient,
        seconds: float = POLL_SECONDS,
        clock: Callable[[], float] = lease_now,
    ) -> None:
        super().__init__(seconds, clock)
        self.ray = ray

    async def _view(self) -> RayView:
        return await self.ray.view()
