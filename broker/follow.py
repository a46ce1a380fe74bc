"""The leader's changes, followed once for all who watch through one gateway.

Each watcher keeps the newest state of every job that changed until it reads; one that
falls too far behind is told to start over from the present state, so a watcher that reads
nothing costs little and soon nothing at all. Knows jobs and revisions; nothing of the wire,
and nothing of who may see what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from broker.core.rows import Job
from broker.feed import Changes
from broker.leader import Port
from suan.errors import ResourceExhausted

WATCHERS_MAX = 10_000  # of one gateway
JOBS_WAITING_MAX = 500  # of one watcher; beyond, it starts over
JOBS_PER_READ_MAX = 200
FOLLOW_WAIT_SECONDS = 30.0  # of one question to the leader
FULL_RETRY_SECONDS = 5.0
_EVERY = ("every",)

_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interest:
    """What a watcher hears of: these jobs and arrays, else all of a tenant or site, else all."""

    ids: frozenset[str] = frozenset()
    tenant: str = ""
    site: str = ""

    def keys(self) -> Iterator[_Key]:
        if self.ids:
            yield from (("id", name) for name in self.ids)
        elif self.tenant:
            yield "tenant", self.tenant
        elif self.site:
            yield "site", self.site
        else:
            yield _EVERY


def _keys_of(job: Job) -> Iterator[_Key]:
    yield "id", job.id
    if job.array_id:
        yield "id", job.array_id
    yield "tenant", job.tenant
    yield from {("site", attempt.site) for attempt in job.attempts}
    yield _EVERY


class Watcher:
    """One reader of changes; `next` is for one caller at a time."""

    def __init__(self, follow: Follow, interest: Interest) -> None:
        self.keys = frozenset(interest.keys())
        self.failure: Exception | None = None  # what kept the leader from answering
        self._follow = follow
        self._waiting: dict[str, Job] = {}
        self._starts_over = False
        self._after = 0  # what is at or below it, the reader knows
        self._hold = 0  # nothing is said before the follow has come so far
        self._arrived = asyncio.Event()

    def put(self, job: Job) -> None:
        """A change, newer or older than what waits of this job."""
        known = self._waiting.get(job.id)
        if self._starts_over or job.revision <= max(self._after, known.revision if known else 0):
            return
        self._waiting[job.id] = job
        if len(self._waiting) > JOBS_WAITING_MAX:
            self.start_over()
        self._arrived.set()

    def start_over(self) -> None:
        """Changes were missed; until it reads, no change is of use to it."""
        self._starts_over = True
        self._waiting.clear()
        self._follow.leave(self)
        self._arrived.set()

    def fail(self, failure: Exception) -> None:
        self.failure = failure
        self._arrived.set()

    def know(self, revision: int, hold: int = 0) -> None:
        """The reader has seen the state of `revision`, and parts of it as late as `hold`."""
        self._after, self._hold = revision, max(revision, hold)

    def reached(self, revision: int) -> None:
        """The follow has come so far."""
        if self._hold and revision >= self._hold:
            self._hold = 0
            self._arrived.set()

    async def next(self, wait_seconds: float) -> Changes:
        """Changes in rising revision; none when none came in time.

        `reset`: the reader has to read the present state, and to say so by `know`. Raises
        what kept the leader from answering.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                while not self._has_news():
                    self._arrived.clear()
                    await self._arrived.wait()
        if self.failure is not None:
            raise self.failure
        if self._starts_over:
            self._starts_over = False
            self._follow.enter(self)
            return Changes((), self._follow.revision, reset=True)
        return Changes((), self._after) if self._hold else self._take()

    def _has_news(self) -> bool:
        if self._starts_over or self.failure is not None:
            return True
        return bool(self._waiting) and not self._hold

    def _take(self) -> Changes:
        late = [job for job in self._waiting.values() if job.revision > self._after]
        late.sort(key=lambda job: job.revision)
        taken = tuple(late[:JOBS_PER_READ_MAX])
        self._waiting = {job.id: job for job in late[JOBS_PER_READ_MAX:]}
        end = taken[-1].revision if self._waiting else self._follow.revision
        self._after = max(self._after, end)
        return Changes(taken, self._after)


class Follow:
    """One reader of the leader's feed, while anybody watches."""

    def __init__(self, port: Port) -> None:
        self.revision = 0  # up to which all watchers have been told
        self._port = port
        self._by_key: dict[_Key, set[Watcher]] = {}
        self._watchers: set[Watcher] = set()
        self._following: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def watch(self, interest: Interest, after: int) -> AsyncIterator[Watcher]:
        """What changes after revision `after`; below 0: it starts over at once.

        Raises ResourceExhausted (TooManyWatchers) and what the leader raises.
        """
        if len(self._watchers) >= WATCHERS_MAX:
            raise ResourceExhausted(
                f"{WATCHERS_MAX:,} watch already",
                "watch several jobs with one request, or try again shortly",
                "TooManyWatchers",
                FULL_RETRY_SECONDS,
            )
        watcher = Watcher(self, interest)
        self._watchers.add(watcher)
        try:
            await self._begin()
            self.enter(watcher)
            if after < 0:
                watcher.start_over()
            else:
                await self._catch_up(watcher, after)
            yield watcher
        finally:
            self._watchers.discard(watcher)
            self.leave(watcher)
            if not self._watchers:
                self._end(None)

    def enter(self, watcher: Watcher) -> None:
        """Let it hear of what changes from now on."""
        for key in watcher.keys:
            self._by_key.setdefault(key, set()).add(watcher)

    def leave(self, watcher: Watcher) -> None:
        for key in watcher.keys:
            heard = self._by_key.get(key, set())
            heard.discard(watcher)
            if not heard:
                self._by_key.pop(key, None)

    async def _begin(self) -> None:
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_future()
            self._following = asyncio.create_task(self._run(self._begun))
        await asyncio.shield(self._begun)

    async def _run(self, begun: asyncio.Future[None]) -> None:
        try:
            self.revision = (await self._port.changes(-1, 0.0)).revision
            begun.set_result(None)
            while True:
                self._spread(await self._port.changes(self.revision, FOLLOW_WAIT_SECONDS))
        except Exception as error:
            if not begun.done():
                begun.set_exception(error)
            self._end(error)

    def _end(self, failure: Exception | None) -> None:
        """Of this follow; the next watcher begins another."""
        if self._following is not None:
            self._following.cancel()
        self._begun = self._following = None
        for watcher in self._watchers:
            self.leave(watcher)
            if failure is not None:
                watcher.fail(failure)

    def _spread(self, changes: Changes) -> None:
        self.revision = changes.revision
        if changes.reset:
            for watcher in self._watchers:
                watcher.start_over()
        for job in changes.jobs:
            for watcher in self._who_hears(job):
                watcher.put(job)
        for watcher in self._watchers:
            watcher.reached(self.revision)

    def _who_hears(self, job: Job) -> Iterable[Watcher]:
        found: set[Watcher] = set()
        for key in _keys_of(job):
            found |= self._by_key.get(key, set())
        return found

    async def _catch_up(self, watcher: Watcher, after: int) -> None:
        """From a revision that the reader knows to where the follow was when it came."""
        watcher.know(after)
        begun = self.revision
        if after > begun:  # it has read of changes that are still being stored
            await self._read_on(watcher, after, FOLLOW_WAIT_SECONDS)
        watcher.reached(self.revision)
        while after < begun:
            following = await self._read_on(watcher, after, 0.0)
            if following is None:
                return
            after = following

    async def _read_on(self, watcher: Watcher, after: int, wait_seconds: float) -> int | None:
        """Up to which revision one reading has led; None: the reader has to start over."""
        changes = await self._port.changes(after, wait_seconds)
        if changes.reset:
            watcher.start_over()
            return None
        for job in changes.jobs:
            if not watcher.keys.isdisjoint(_keys_of(job)):
                watcher.put(job)
        return changes.revision
