"""A loop over a real core and a memory store whose commits a test can hold or fail."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from support_core import Desk, parse_spec, spec_of

from broker.core.messages import Event, Now, Reply, Send, Submission, Submit
from broker.core.rows import Record
from broker.loop import Loop
from broker.store.memory import MemoryStore

NEVER_SECONDS = 3_600.0  # no tick falls into a test that does not want one
PATIENCE_SECONDS = 20.0  # after which a test is stuck


class HeldStore(MemoryStore):
    """`hold` stops commits at the door; `faults` are raised, one a commit, before it works."""

    def __init__(self) -> None:
        super().__init__(parse_spec)
        self.faults: deque[Exception] = deque()
        self.commits: list[list[str]] = []  # keys, a list for each that succeeded
        self.at_the_door = 0
        self._door = threading.Event()
        self._door.set()

    def hold(self) -> None:
        self._door.clear()

    def let_go(self) -> None:
        self._door.set()

    def commit(self, records: Sequence[Record], term: int) -> None:
        self.at_the_door += 1
        assert self._door.wait(PATIENCE_SECONDS)
        if self.faults:
            raise self.faults.popleft()
        super().commit(records, term)
        self.commits.append([record.key for record in records])


class Bench:
    """A broker at work; `released` is what left it, with what was stored at that moment."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.store = HeldStore()
        self.store.rows, self.store.term = desk.store.rows, desk.store.term
        self.released: list[tuple[Send, frozenset[str]]] = []
        self.clock = Now(desk.elapsed, desk.wall)
        self.loop = Loop(desk.core, self.store, lambda: self.clock, self._release)
        self.running: asyncio.Task[None]

    def _release(self, sends: Sequence[Send], records: Sequence[Record]) -> None:
        stored = frozenset(self.store.rows)
        self.released.extend((send, stored) for send in sends)

    def post(self, event: Event) -> asyncio.Task[Reply | None]:
        return asyncio.create_task(self.loop.post(event))

    def submit(self, job_id: str) -> asyncio.Task[Reply | None]:
        return self.post(submission(job_id))


def submission(job_id: str) -> Submit:
    spec = spec_of()
    return Submit("lab", "", "li", (Submission(job_id, spec.sha256),), (spec,))


async def until(condition: Callable[[], object]) -> None:
    """Give way to everybody else until it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0)


@asynccontextmanager
async def at_work(*sites: str, tick_seconds: float = NEVER_SECONDS) -> AsyncIterator[Bench]:
    """A bench whose loop runs; cancelled at the end unless it has ended by itself."""
    bench = Bench(Desk(*sites))
    bench.running = asyncio.create_task(bench.loop.run(tick_seconds))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield bench
    finally:
        bench.store.faults.clear()
        bench.store.let_go()
        bench.running.cancel()
        await asyncio.wait({bench.running})
