"""The single writer: orders events, lets the core decide, stores, then lets go.

While one batch commits, the next one grows: what arrives is decided at once, and all its
records wait for the commit before. So nothing waits for more than two commits, however much
others ask for. Sends and replies of a batch leave only when its records are durable.
While the store fails new requests are refused, but heartbeats are answered: they store
nothing, and what runs at the sites goes on. No failure makes this leader give up: a store
takes a commit of any size, so it is never one event's fault; and what fails for all brokers
alike, such as an account that lost its rights, would without a leader also end what runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from broker.clock import Clock
from broker.core.core import Core
from broker.core.messages import (
    Event,
    Heartbeat,
    HeartbeatReply,
    Refusal,
    Reply,
    Send,
    Tick,
)
from broker.core.rows import Record
from broker.gaps import Gaps
from broker.store import StaleTerm, Store, StoreError
from broker.weights import bytes_of
from suan.crash import crash_point

log = logging.getLogger(__name__)

EVENTS_WAITING_MAX = 100_000
EVENTS_WAITING_BYTES_MAX = 128 << 20
EVENTS_PER_BATCH_MAX = 2_000
COMMIT_RETRY_SECONDS = 1.0
DRAIN_SECONDS = 10.0  # for a commit that is under way when the loop ends

STOPPING = Refusal("BrokerStopping", "the broker is stopping", "UNAVAILABLE", "try again")

Release = Callable[[Sequence[Send], Sequence[Record]], None]


@dataclass(slots=True)
class _Waiting:
    event: Event
    reply: asyncio.Future[Reply | None] | None
    size_bytes: int = 0


@dataclass(slots=True)
class _Batch:
    """What was decided and is stored together."""

    items: list[_Waiting] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)  # by key, the latest last
    sends: list[Send] = field(default_factory=list)
    replies: list[Reply | None] = field(default_factory=list)

    @property
    def room(self) -> int:
        return EVENTS_PER_BATCH_MAX - len(self.items)

    def record(self, records: Iterable[Record]) -> None:
        for record in records:
            self.records.pop(record.key, None)
            self.records[record.key] = record


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
        self._waiting_bytes = 0
        self._gaps = Gaps()
        self._batch = _Batch()  # decided, before its commit
        # Of heartbeats that were answered ahead of their turn; the last word on each row.
        self._unstored: dict[str, Record] = {}
        self._tick_due = False
        self._arrived = asyncio.Event()
        self._committing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._ended = False

    async def post(self, event: Event) -> Reply | None:
        """Hand in an event and wait until its effect is durable."""
        refusal = self._no_room()
        if refusal is not None:
            return refusal
        future: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._put(_Waiting(event, future, bytes_of(event)))
        return await future

    def post_soon(self, event: Event) -> None:
        """Hand in an event that nobody waits for. Agents resend what matters."""
        if self.store_failure is not None and isinstance(event, Heartbeat):
            self._renew(event)
        elif self._full():
            self._gaps.lose(event)
        elif not self._ended and self._gaps.admit(event):
            self._put(_Waiting(event, None, bytes_of(event)))

    def _full(self) -> bool:
        return (
            len(self._waiting) >= EVENTS_WAITING_MAX
            or self._waiting_bytes >= EVENTS_WAITING_BYTES_MAX
        )

    def _put(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._waiting_bytes += waiting.size_bytes
        self._arrived.set()

    def _no_room(self) -> Refusal | None:
        if self._ended:
            return STOPPING
        if self.store_failure is not None:
            return Refusal(
                self.store_failure.code,
                f"the broker cannot store now: {self.store_failure.message}",
                "UNAVAILABLE" if self.store_failure.code != "DiskFull" else "RESOURCE_EXHAUSTED",
                "nothing was lost; try again in a while",
            )
        if self._full():
            return Refusal(
                "BrokerBusy", "too many requests wait", "RESOURCE_EXHAUSTED", "try again shortly"
            )
        return None

    def _renew(self, event: Heartbeat) -> None:
        """Renew a site's leases while nothing can be stored, and say nothing else to it.

        A lease that is answered for is not stored, so this waits for no commit; to stop an
        attempt or to extend a lease does, for the reason may not be durable yet.
        """
        if self._store.led_seconds() <= 0:
            return
        step = self.core.handle([event], self.clock())
        self._unstored.update((record.key, record) for record in step.records)
        replies = [
            replace(send, message=replace(send.message, stop=(), extension_seconds=0.0))
            for send in step.sends
            if isinstance(send.message, HeartbeatReply)
        ]
        self._release(replies, ())

    async def run(self, tick_seconds: float) -> None:
        """Serve for ever. Raises StaleTerm when this leader's term has passed."""
        ticker = asyncio.create_task(self._tick(tick_seconds))
        try:
            while True:
                await self._grow_batch()  # what happened, what follows, and the batch before
                self._begin_commit()  # store, act
        finally:
            self._ended = True
            ticker.cancel()
            await self._drain()

    async def _grow_batch(self) -> None:
        """Until something is decided and the batch before is durable; an error of its commit
        ends the loop."""
        while True:
            while self._may_decide():
                self._decide(self._gather())
            if self._committing is not None and self._committing.done():
                self._committing.result()
                self._committing = None
            if self._batch.items and self._committing is None:
                return
            self._arrived.clear()
            await self._arrived.wait()

    def _may_decide(self) -> bool:
        """While the store fails nothing new is decided, but that sites still answer."""
        due = bool(self._waiting) or self._tick_due
        return due and self._batch.room > 0 and self.store_failure is None

    def _gather(self) -> list[_Waiting]:
        """What happened, time last."""
        gathered = self._waiting[: self._batch.room]
        del self._waiting[: len(gathered)]
        self._waiting_bytes -= sum(item.size_bytes for item in gathered)
        if self._tick_due:
            self._tick_due = False
            gathered.append(_Waiting(Tick(), None))
        return gathered

    def _decide(self, gathered: list[_Waiting]) -> None:
        batch = self._batch
        batch.items += gathered
        self._require_lead()
        early, self._unstored = tuple(self._unstored.values()), {}
        step = self.core.handle([item.event for item in gathered], self.clock())
        batch.record((*early, *step.records))
        batch.sends += step.sends
        batch.replies += step.replies

    def _require_lead(self) -> None:
        """Leases may be renewed only while no other broker can have begun to lead."""
        if self._store.led_seconds() <= 0:
            raise StaleTerm(f"the lead of term {self._term} could not be renewed")

    def _begin_commit(self) -> None:
        batch, self._batch = self._batch, _Batch()
        self._committing = asyncio.create_task(self._settle(batch))
        self._committing.add_done_callback(lambda _: self._arrived.set())

    async def _settle(self, batch: _Batch) -> None:
        crash_point("broker.decided.before_commit")
        records = tuple(batch.records.values())
        try:
            if records:
                await self._commit(records)
            crash_point("broker.committed.before_release")
            self._release(batch.sends, records)
        except BaseException:
            _answer_all(batch.items, STOPPING)
            raise
        for item, reply in zip(batch.items, batch.replies, strict=True):
            if item.reply is not None and not item.reply.done():
                item.reply.set_result(reply)

    async def _commit(self, records: Sequence[Record]) -> None:
        """Store the records; while the store fails, try again and refuse new requests."""
        running = asyncio.get_running_loop()
        while True:
            try:
                await running.run_in_executor(self._thread, self._store.commit, records, self._term)
            except StoreError as error:
                self._require_lead()  # a leader that cannot store may have been replaced
                if self.store_failure is None or self.store_failure.code != error.code:
                    log.error("cannot store: %s; trying again", error)
                self.store_failure = error
                await asyncio.sleep(COMMIT_RETRY_SECONDS)
            else:
                if self.store_failure is not None:
                    log.info("the store works again")
                self.store_failure = None
                return

    async def _tick(self, seconds: float) -> None:
        """Time passes; what was not looked at in time is looked at once."""
        while True:
            await asyncio.sleep(seconds)
            self._tick_due = True
            self._arrived.set()

    async def _drain(self) -> None:
        """Let a commit under way end, and release whoever waits."""
        if self._committing is not None:
            await asyncio.wait({self._committing}, timeout=DRAIN_SECONDS)
            self._committing.cancel()
            await asyncio.wait({self._committing})
        _answer_all([*self._batch.items, *self._waiting], STOPPING)
        self._waiting.clear()
        await asyncio.to_thread(self._thread.shutdown)


def _answer_all(batch: list[_Waiting], refusal: Refusal) -> None:
    for item in batch:
        if item.reply is not None and not item.reply.done():
            item.reply.set_result(refusal)
