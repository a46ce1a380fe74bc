"""Where events wait for the daemon's next step: bounded for those who can wait.

What comes from the network waits for room, which slows the broker down by flow control.
What comes from inside is bounded by the attempts that are held, and never waits. For one
event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from agent.supervisor.messages import Event

EVENTS_MAX = 1_000  # of the network; a message of grants is one
BATCH_MAX = 2_000  # events of one step


class Inbox:
    """Events in the order of their coming."""

    def __init__(self, events_max: int = EVENTS_MAX) -> None:
        self._events_max = events_max
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def post(self, event: Event) -> None:
        """Put an event of this site's own."""
        self._events.append(event)
        self._arrived.set()

    async def put(self, event: Event) -> None:
        """Put an event from outside, once there is room."""
        while len(self._events) >= self._events_max:
            self._room.clear()
            await self._room.wait()
        self.post(event)

    async def gather(self, timeout_seconds: float) -> list[Event]:
        """All that waits, at most BATCH_MAX; none when the time is up first."""
        if not self._events and timeout_seconds > 0:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._arrived.wait()
        count = min(len(self._events), BATCH_MAX)
        events = [self._events.popleft() for _ in range(count)]
        self._room.set()
        return events
