"""Downloads under way: each file once, however many jobs wait for it.

A download ends early when nobody waits for it any more. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from agent.staging.cache import Cache
from agent.staging.download import Download
from agent.staging.interrupt import Interrupt
from agent.staging.transport import Transport
from agent.staging.values import Limits, Progress, UrlSource


class _Pull:
    """One download, those who wait for it, and how far it is."""

    def __init__(self) -> None:
        self.interrupt = Interrupt()
        self.listeners: list[Progress] = []
        self.bytes = (0, 0)  # done, in all
        self.task: asyncio.Task[None]

    @contextlib.contextmanager
    def wait(self, listener: Progress) -> Iterator[None]:
        self.listeners.append(listener)
        listener(*self.bytes)
        try:
            yield
        finally:
            self.listeners.remove(listener)
            if not self.listeners:
                self.interrupt.set("nobody waits for it any more")

    def tell(self, done: int, total: int) -> None:
        self.bytes = done, total
        for listener in tuple(self.listeners):
            listener(done, total)


class Pulls:
    """All downloads of a site."""

    def __init__(self, cache: Cache, limits: Limits) -> None:
        self._cache = cache
        self._limits = limits
        self._transport = Transport(limits)
        self._pulls: dict[str, _Pull] = {}
        self._turns = asyncio.Semaphore(limits.downloads_max)
        # Of its own, so that slow servers take no thread from anybody else.
        self._threads = ThreadPoolExecutor(limits.downloads_max, "download")

    async def pull(self, source: UrlSource, progress: Progress) -> None:
        """Return when the file is in the cache. The caller holds its key.

        Raises StagingRefused, and OSError of the cache's disk.
        """
        while (pull := self._pulls.get(source.key)) and pull.interrupt.is_set():
            await asyncio.wait({pull.task})  # two must never work on one entry
        if pull is None:
            pull = self._pulls[source.key] = _Pull()
            pull.task = asyncio.create_task(self._run(source, pull))
            pull.task.add_done_callback(_take_exception)
        with pull.wait(progress):
            await asyncio.shield(pull.task)

    async def close(self) -> None:
        """End all downloads; what they brought is kept."""
        for pull in self._pulls.values():
            pull.interrupt.set("the agent ends")
        if self._pulls:
            await asyncio.wait({pull.task for pull in self._pulls.values()})
        self._threads.shutdown(wait=False)

    async def _run(self, source: UrlSource, pull: _Pull) -> None:
        loop = asyncio.get_running_loop()
        seconds = self._limits.transfer_seconds_max

        def tell(done: int, total: int) -> None:
            loop.call_soon_threadsafe(pull.tell, done, total)

        download = Download(
            source, self._cache, self._transport, self._limits, pull.interrupt, tell
        )
        try:
            async with self._turns:
                with self._cache.hold(source.key):
                    timer = loop.call_later(
                        seconds, pull.interrupt.set, f"it took longer than {seconds:g} s"
                    )
                    try:
                        await loop.run_in_executor(self._threads, download.run)
                    finally:
                        timer.cancel()
        except asyncio.CancelledError:
            pull.interrupt.set("the agent ends")  # the thread would go on
            raise
        finally:
            del self._pulls[source.key]


def _take_exception(task: asyncio.Task[None]) -> None:
    """Nobody may be left to hear of it; it is no secret then, but no error either."""
    if not task.cancelled():
        task.exception()
