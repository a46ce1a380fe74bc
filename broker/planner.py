"""Rounds: a snapshot goes to the scheduler, its proposal comes back as an event.

Where the scheduler runs is somebody else's choice (`Place`): on a thread here, or on
another machine through Ray. In both it is the same `scheduler.placement.place`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from broker.core.messages import Proposals
from broker.core.snapshot import take_snapshot
from broker.loop import Loop
from scheduler.memo import Memo
from scheduler.model import Accelerator, Demand, Policy, Round, Scarcity, Snapshot
from scheduler.placement import place

log = logging.getLogger(__name__)

Place = Callable[[Snapshot, Policy], Awaitable[Round]]
ROUND_SECONDS_MAX = 60.0
REST = 2.0  # times the length of a round until the next: rounds leave room for events
IDLE_ROUND_SECONDS = 1.0  # a class that had to wait is looked at again so often


def place_here() -> Place:
    """Rounds on a thread, so that heartbeats are answered meanwhile; one after the other."""
    memo = Memo()

    async def decide(snapshot: Snapshot, policy: Policy) -> Round:
        return await asyncio.to_thread(place, snapshot, policy, memo)

    return decide


class Planner:
    """Asks for a round whenever something changed that could matter to one."""

    def __init__(
        self,
        loop: Loop,
        accelerators: tuple[Accelerator, ...],
        policy: Policy,
        place: Place,
        round_seconds: float,
    ) -> None:
        self._loop = loop
        self._accelerators = accelerators
        # A class that waits is explained when somebody asks, from the present of then.
        self._policy = replace(policy, explain_waiting=False)
        self._place = place
        self._round_seconds = round_seconds  # the shortest time between two rounds
        self._scarcity = Scarcity()  # begins anew with each leader: no decision rests on it
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Something changed: a job was queued, cards came free, a site came or went."""
        self._wanted.set()

    def snapshot(
        self, planned: Demand | None = None, tenant: str = "", asked: str = ""
    ) -> Snapshot:
        """The present, as a round would see it; `planned` is the demand of a job to plan, and
        `asked` the key of a class that somebody asks about."""
        memory, now = self._loop.core.memory, self._loop.clock()
        found = take_snapshot(
            memory, now, self._accelerators, planned=planned, tenant=tenant, asked=asked
        )
        return replace(found, scarcity=self._scarcity)

    async def run(self) -> None:
        """Place for ever; a failed round is logged and tried again."""
        clock = asyncio.get_running_loop().time
        while True:
            with suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it may take a cancellation for a time-out.
                async with asyncio.timeout(IDLE_ROUND_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            begun = clock()
            if self._loop.core.memory.state.queue.count:
                await self._round()
            await asyncio.sleep(max(self._round_seconds, REST * (clock() - begun)))

    async def _round(self) -> None:
        snapshot = self.snapshot()
        if not snapshot.queue:
            return
        try:
            async with asyncio.timeout(ROUND_SECONDS_MAX):
                result = await self._place(snapshot, self._policy)
        except Exception:
            log.exception("a placement round failed")
            return
        self._scarcity = result.scarcity
        await self._loop.post(Proposals.of(result, snapshot.now))
        if len(result.placements) >= self._policy.placements_max:
            self.wake()
