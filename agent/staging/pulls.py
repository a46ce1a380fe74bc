"""Downloads under way: each file once, however many jobs wait for it.

A download ends early when nobody waits for it any more. One that is brought ahead of need has
a lane and a rate of its own, hurries as soon as a job waits for it, and gives way where a job
lacks room. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.staging.cache import Cache
from agent.staging.download import Download
from agent.staging.interrupt import Interrupt
from agent.staging.pace import Pace
from agent.staging.refusals import StagingRefused, unreachable
from agent.staging.transport import Transport
from agent.staging.values import Limits, Progress, UrlSource


class _Pull:
    """One download, those who wait for it, and how far it is."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.moved = asyncio.Event()  # out of the lane of what no job waits for
        self.bytes = (0, 0)  # done, in all
        self.task: asyncio.Task[None]
        self._interrupt = Interrupt()
        self._listeners: list[Progress] = []
        self._jobs = 0
        self._rate = 0.0  # bytes per second, while no job waits

    @property
    def interrupt(self) -> Interrupt:
        return self._interrupt

    @property
    def needed(self) -> bool:
        """Whether a job waits for it."""
        return self._jobs > 0

    def end(self, why: str) -> None:
        self._interrupt.set(why)
        self.pace.hurry()  # it may pause
        self.moved.set()

    def ease(self, bytes_per_second: float) -> None:
        """The rate while no job waits for it."""
        self._rate = bytes_per_second
        if not self.needed and not self._interrupt.is_set():
            self.pace.ease(bytes_per_second)

    @contextlib.contextmanager
    def wait(self, listener: Progress, for_job: bool) -> Iterator[None]:
        self._listeners.append(listener)
        self._jobs += for_job
        if for_job:
            self.moved.set()
            self.pace.hurry()
        listener(*self.bytes)
        try:
            yield
        finally:
            self._listeners.remove(listener)
            self._jobs -= for_job
            if not self._listeners:
                self.end("nobody waits for it any more")
            elif not self.needed:
                self.ease(self._rate)

    def tell(self, done: int, total: int) -> None:
        self.bytes = done, max(done, total)
        for listener in tuple(self._listeners):
            listener(*self.bytes)


class Pulls:
    """All downloads of a site."""

    def __init__(self, cache: Cache, limits: Limits, roots: Sequence[Path] = ()) -> None:
        """`roots`: below which file URLs are read."""
        self._cache = cache
        self._limits = limits
        self._transport = Transport(limits, roots)
        self._pulls: dict[str, _Pull] = {}
        self._turns = asyncio.Semaphore(limits.downloads_max)
        self._turns_ahead = asyncio.Semaphore(limits.downloads_ahead_max)
        # Of its own, so that slow servers take no thread from anybody else.
        threads = limits.downloads_max + limits.downloads_ahead_max
        self._threads = ThreadPoolExecutor(threads, "download")
        self.ended = 0  # how many downloads have ended, well or not

    async def pull(
        self, source: UrlSource, progress: Progress, rate_ahead: float | None = None
    ) -> None:
        """Return when the file is in the cache. The caller holds its key.

        `rate_ahead`: no job waits for it yet; bytes per second, 0: no rate is set. Raises
        StagingRefused, and OSError of the cache's disk.
        """
        while (pull := self._pulls.get(source.key)) and pull.interrupt.is_set():
            await asyncio.wait({pull.task})  # two must never work on one entry
        if pull is None:
            pull = self._pulls[source.key] = _Pull()
            if rate_ahead is not None:
                pull.ease(rate_ahead)
            pull.task = asyncio.create_task(self._run(source, pull))
            pull.task.add_done_callback(_take_exception)
        with pull.wait(progress, for_job=rate_ahead is None):
            await asyncio.shield(pull.task)

    def ease(self, source: UrlSource, bytes_per_second: float) -> None:
        """Another rate for what is brought ahead of need."""
        if (pull := self._pulls.get(source.key)) is not None:
            pull.ease(bytes_per_second)

    async def close(self) -> None:
        """End all downloads; what they brought is kept."""
        for pull in self._pulls.values():
            pull.end("the agent ends")
        if self._pulls:
            await asyncio.wait({pull.task for pull in self._pulls.values()})
        self._threads.shutdown(wait=False)

    async def _run(self, source: UrlSource, pull: _Pull) -> None:
        try:
            async with self._turn(pull):
                if pull.interrupt.is_set():
                    raise unreachable(source.shown, pull.interrupt.why)
                with self._cache.hold(source.key):
                    await self._download(source, pull)
        except asyncio.CancelledError:
            pull.end("the agent ends")  # the thread would go on
            raise
        finally:
            self.ended += 1
            del self._pulls[source.key]

    @contextlib.asynccontextmanager
    async def _turn(self, pull: _Pull) -> AsyncIterator[None]:
        """In the lane of jobs as soon as one waits for it, else in the other."""
        if not pull.moved.is_set() and await self._has_turn_ahead(pull):
            try:
                yield
            finally:
                self._turns_ahead.release()
            return
        async with contextlib.nullcontext() if pull.interrupt.is_set() else self._turns:
            yield

    async def _has_turn_ahead(self, pull: _Pull) -> bool:
        """Wait for a turn in the lane of what no job waits for, unless it leaves that lane."""
        turn = asyncio.create_task(self._turns_ahead.acquire())
        moved = asyncio.create_task(pull.moved.wait())
        try:
            await asyncio.wait({turn, moved}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            turn.cancel()  # has no effect on one that is done
            moved.cancel()
            await asyncio.wait({turn, moved})
        return not turn.cancelled()

    async def _download(self, source: UrlSource, pull: _Pull) -> None:
        try:
            await self._try(source, pull)
        except StagingRefused as refused:
            short = refused.code == "DiskFull" and pull.needed
            if not (short and await self._end_ahead()):
                raise
            await self._try(source, pull)

    async def _try(self, source: UrlSource, pull: _Pull) -> None:
        loop = asyncio.get_running_loop()
        seconds = self._limits.transfer_seconds_max

        def tell(done: int, total: int) -> None:
            loop.call_soon_threadsafe(pull.tell, done, total)

        download = Download(
            source, self._cache, self._transport, self._limits, pull.interrupt, tell, pull.pace
        )
        timer = loop.call_later(seconds, pull.end, f"it took longer than {seconds:g} s")
        try:
            await loop.run_in_executor(self._threads, download.run)
        finally:
            timer.cancel()

    async def _end_ahead(self) -> bool:
        """End what no job waits for, to give its room away; whether there was any."""
        ahead = [pull for pull in self._pulls.values() if not pull.needed]
        for pull in ahead:
            pull.end("a job needs the room")
        if ahead:
            await asyncio.wait({pull.task for pull in ahead})
        return bool(ahead)


def _take_exception(task: asyncio.Task[None]) -> None:
    """Nobody may be left to hear of it; it is no secret then, but no error either."""
    if not task.cancelled():
        task.exception()
