"""Bundles of users' files, by content: fetched once, verified, kept until room is needed.

Knows a directory and one way to fetch. What is handed out cannot be removed before it is
given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from agent.supervisor.values import Failure
from suan.errors import NotFound, SuanError, Unavailable
from suan.identity.files import write_file
from suan.retry import Backoff, call_until

CACHE_BYTES_MAX = 1024 * 1024 * 1024
FETCH_SECONDS_MAX = 120.0  # with all tries
FETCHES_MAX = 8  # at a time
_DIGEST = re.compile(r"[0-9a-f]{64}")

Fetch = Callable[[str], Awaitable[bytes]]


class BundleFailed(Exception):
    """There is no bundle, so the run cannot start; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Bundles:
    """The bundles of this site's jobs."""

    def __init__(
        self,
        directory: Path,
        fetch: Fetch,
        bytes_max: int = CACHE_BYTES_MAX,
        backoff: Backoff | None = None,
    ) -> None:
        self._directory = directory
        self._fetch = fetch
        self._bytes_max = bytes_max
        self._backoff = backoff or Backoff()
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._fetches = asyncio.Semaphore(FETCHES_MAX)
        self._in_use: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def lend(self, sha256: str) -> AsyncIterator[Path]:
        """The bundle's file, which stays as long as it is lent. Raises BundleFailed."""
        self._in_use[sha256] += 1
        try:
            yield await self._find(sha256)
        finally:
            self._in_use[sha256] -= 1
            if not self._in_use[sha256]:
                del self._in_use[sha256]

    async def _find(self, sha256: str) -> Path:
        if not _DIGEST.fullmatch(sha256):
            raise BundleFailed(Failure("user", "BadBundle", "the bundle's name is no SHA-256"))
        path = self._directory / f"{sha256}.tar.gz"
        try:
            os.utime(path)  # the least recently used goes first
        except OSError:
            task = self._fetching.get(sha256)
            if task is None:
                task = asyncio.create_task(self._bring(sha256, path))
                self._fetching[sha256] = task
                task.add_done_callback(lambda _: self._fetching.pop(sha256, None))
            await asyncio.shield(task)
        return path

    async def _bring(self, sha256: str, path: Path) -> None:
        async with self._fetches:
            data = await self._download(sha256)
        if hashlib.sha256(data).hexdigest() != sha256:
            message = "what the broker sent is not the bundle that the job names"
            raise BundleFailed(Failure("broker", "BundleUnavailable", message))
        try:
            await asyncio.to_thread(write_file, path, data, force=True)
            await asyncio.to_thread(self._make_room)
        except SuanError as error:
            raise BundleFailed(Failure("site", "DiskFull", error.message)) from error

    async def _download(self, sha256: str) -> bytes:
        try:
            return await call_until(
                lambda _: self._fetch(sha256),
                lambda error: isinstance(error, Unavailable),
                deadline_seconds=FETCH_SECONDS_MAX,
                backoff=self._backoff,
            )
        except NotFound as error:
            message = "the broker no longer has the job's files; submit it again"
            raise BundleFailed(Failure("user", "BundleNotFound", message)) from error
        except SuanError as error:
            message = f"the job's files cannot be fetched: {error}"
            raise BundleFailed(Failure("network", "BundleUnavailable", message)) from error

    def _make_room(self) -> None:
        """Remove what was not used for longest, as far as it must be."""
        found = [(path.stat(), path) for path in self._directory.glob("*.tar.gz")]
        surplus = sum(state.st_size for state, _ in found) - self._bytes_max
        for state, path in sorted(found, key=lambda item: item[0].st_mtime_ns):
            if surplus <= 0:
                return
            if not self._in_use[path.name.removesuffix(".tar.gz")]:
                path.unlink(missing_ok=True)
                surplus -= state.st_size
