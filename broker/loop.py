"""The single writer: orders events, lets the core decide, stores, then lets go.

While one batch commits, the next gathers and is decided; its records wait for the
commit before. Sends and replies of a batch leave only when its records are durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from broker.clock import Clock
from broker.core.core import Core
from broker.core.messages import Event, Refusal, Reply, Send, Step, Tick
from broker.core.rows import Record
from broker.crash import crash_point
from broker.store import Store, StoreError

log = logging.getLogger(__name__)

EVENTS_WAITING_MAX = 100_000
EVENTS_PER_BATCH_MAX = 2_000
COMMIT_RETRY_SECONDS = 1.0

STOPPING = Refusal("BrokerStopping", "the broker is stopping", "UNAVAILABLE", "try again")

Release = Callable[[Sequence[Send], Sequence[Record]], None]


@dataclass(slots=True)
class _Waiting:
    event: Event
    reply: asyncio.Future[Reply | None] | None


class Loop:
    """Runs until cancelled, or until the store says that another leader has begun."""

    def __init__(self, core: Core, store: Store, clock: Clock, release: Release) -> None:
        self.core = core
        self.clock = clock
        self.store_failure: StoreError | None = None  # set while commits fail
        self._store = store
        self._term = core.memory.term
        self._release = release
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._committing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def post(self, event: Event) -> Reply | None:
        """Hand in an event and wait until its effect is durable."""
        refusal = self._no_room()
        if refusal is not None:
            return refusal
        future: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._put(_Waiting(event, future))
        return await future

    def post_soon(self, event: Event) -> None:
        """Hand in an event that nobody waits for. Agents resend what matters."""
        if len(self._waiting) < EVENTS_WAITING_MAX:
            self._put(_Waiting(event, None))

    def _put(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._arrived.set()

    def _no_room(self) -> Refusal | None:
        if self.store_failure is not None:
            return Refusal(
                self.store_failure.code,
                f"the broker cannot store now: {self.store_failure.message}",
                "UNAVAILABLE" if self.store_failure.code != "DiskFull" else "RESOURCE_EXHAUSTED",
                "nothing was lost; try again in a while",
            )
        if len(self._waiting) >= EVENTS_WAITING_MAX:
            return Refusal(
                "BrokerBusy", "too many requests wait", "RESOURCE_EXHAUSTED", "try again shortly"
            )
        return None

    async def run(self, tick_seconds: float) -> None:
        """Serve for ever. Raises StaleTerm when this leader's term has passed."""
        ticker = asyncio.create_task(self._tick(tick_seconds))
        try:
            while True:
                batch = await self._gather()  # 1. what happened
                step = self._decide(batch)  # 2. what follows
                await self._finish_commit()  # 3. the batch before is durable
                self._committing = asyncio.create_task(self._settle(batch, step))  # 4. store, act
        finally:
            ticker.cancel()
            await self._drain()

    async def _gather(self) -> list[_Waiting]:
        """The next batch; if a commit fails meanwhile, its error ends the loop."""
        while not self._waiting:
            self._arrived.clear()
            arrived = asyncio.create_task(self._arrived.wait())
            tasks: set[asyncio.Task[object]] = {arrived}
            if self._committing is not None and not self._committing.done():
                tasks.add(self._committing)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            arrived.cancel()
            if self._committing is not None and self._committing.done():
                await self._finish_commit()
        batch = self._waiting[:EVENTS_PER_BATCH_MAX]
        del self._waiting[:EVENTS_PER_BATCH_MAX]
        return batch

    def _decide(self, batch: list[_Waiting]) -> Step:
        return self.core.handle([item.event for item in batch], self.clock())

    async def _finish_commit(self) -> None:
        if self._committing is not None:
            await self._committing
            self._committing = None

    async def _settle(self, batch: list[_Waiting], step: Step) -> None:
        crash_point("broker.decided.before_commit")
        try:
            if step.records:
                await self._commit(step.records)
        except BaseException:
            _answer_all(batch, STOPPING)
            raise
        crash_point("broker.committed.before_release")
        self._release(step.sends, step.records)
        for item, reply in zip(batch, step.replies, strict=True):
            if item.reply is not None and not item.reply.done():
                item.reply.set_result(reply)

    async def _commit(self, records: Sequence[Record]) -> None:
        """Store the records; while the store fails, try again and refuse new requests."""
        running = asyncio.get_running_loop()
        while True:
            try:
                await running.run_in_executor(self._thread, self._store.commit, records, self._term)
            except StoreError as error:
                if self.store_failure is None:
                    log.error("cannot store: %s; trying again", error)
                self.store_failure = error
                await asyncio.sleep(COMMIT_RETRY_SECONDS)
            else:
                if self.store_failure is not None:
                    log.info("the store works again")
                self.store_failure = None
                return

    async def _tick(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self.post_soon(Tick())

    async def _drain(self) -> None:
        """Let a commit under way end, and release whoever waits."""
        if self._committing is not None and not self._committing.done():
            await asyncio.wait({self._committing}, timeout=10.0)
        _answer_all(self._waiting, STOPPING)
        self._thread.shutdown(wait=True)


def _answer_all(batch: list[_Waiting], refusal: Refusal) -> None:
    for item in batch:
        if item.reply is not None and not item.reply.done():
            item.reply.set_result(refusal)
