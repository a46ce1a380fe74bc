"""Changes of jobs, in the order of their revisions, for whoever watches.

A bounded ring: a reader that asks from a revision that has left it is told to start
over from the present state. Revisions of one leader lie above those of every leader before.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from broker.core.rows import Job

CHANGES_KEPT = 100_000
CHANGES_PER_READ_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Changes:
    """Jobs that changed after the asked revision; `reset`: some were missed."""

    jobs: tuple[Job, ...]
    revision: int
    reset: bool = False


class Feed:
    """Durable changes only; `publish` after the commit."""

    def __init__(self, revision: int) -> None:
        self._ring: deque[Job] = deque(maxlen=CHANGES_KEPT)
        self._floor = revision  # nothing at or below it is in the ring
        self.revision = revision
        self._changed = asyncio.Event()

    def publish(self, jobs: Iterable[Job]) -> None:
        """Add committed changes, in rising revision."""
        for job in sorted(jobs, key=lambda job: job.revision):
            if len(self._ring) == CHANGES_KEPT:
                self._floor = self._ring[0].revision
            self._ring.append(job)
            self.revision = job.revision
        self._changed.set()
        self._changed = asyncio.Event()

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        """What changed after revision `after`; waits for the first change up to the limit.

        A reader of the present state may know revisions that are not durable yet: it waits
        for them. If they do not come in time, it has to start over.
        """
        if after < self._floor:
            return Changes((), self.revision, reset=True)
        if after >= self.revision:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    while after >= self.revision:
                        await self._changed.wait()
        if after > self.revision:
            return Changes((), self.revision, reset=True)
        return self._since(after)

    def _since(self, after: int) -> Changes:
        start = bisect_right(self._ring, after, key=lambda job: job.revision)
        found = tuple(islice(self._ring, start, start + CHANGES_PER_READ_MAX))
        return Changes(found, found[-1].revision if found else self.revision)
