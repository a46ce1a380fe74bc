"""A directory of a job becomes a commit at a store: files first, several at a time, then the
manifest, which is never written over another.

What is there already is not sent again: the files of a checkpoint are named by their content,
those of outputs by their place, which nobody else writes to. Waits for a store that is away,
with patience, and not for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from agent.publishing.scan import Found, Identity, Tree
from agent.publishing.store import CHUNK_BYTES, Store, StoreFailed, check
from agent.reach.inside import NotReadable, Outside
from agent.staging.interrupt import Interrupt
from agent.staging.manifest import Entry, Manifest, encode
from agent.staging.together import together
from agent.supervisor.values import Commit
from suan.errors import Category

UPLOADS_MAX = 8  # at a time, of all runs together
UPLOADS_PER_COMMIT_MAX = 4  # at a time
LOOKS_MAX = 4  # at runs' directories, at a time
PATIENCE_SECONDS = 3600.0  # with a store that does not answer
RETRY_SECONDS, RETRY_SECONDS_MAX = 1.0, 30.0  # between two tries: doubles

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Which commit it is to be."""

    job_id: str
    epoch: int
    kind: str  # "outputs" | "checkpoint"
    number: int
    path: str = ""  # of outputs: as the job names it
    by_job: bool = False  # of a checkpoint: the job said that it is whole


class Ending(Interrupt):
    """Ends all that is under way for one run, each with a connection of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._parts: set[Interrupt] = set()
        self._over = asyncio.Event()

    def set(self, why: str) -> None:
        """For the event loop only."""
        super().set(why)
        self._over.set()
        with self._guard:
            for part in self._parts:
                part.set(why)

    async def pause(self, seconds: float) -> None:
        """Wait, or less when all ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    @contextlib.contextmanager
    def part(self) -> Iterator[Interrupt]:
        """For one request."""
        one = Interrupt()
        with self._guard:
            self._parts.add(one)
            if self.is_set():
                one.set(self.why)
        try:
            yield one
        finally:
            with self._guard:
                self._parts.discard(one)


@dataclass(slots=True)
class Known:
    """Checksums of files that were published before and may not have changed since."""

    by_identity: dict[Identity, str] = field(default_factory=dict)


class Uploader:
    """The threads that read and send; belongs to one event loop."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        # Of its own: a slow store takes no thread from the rest of the agent.
        self._threads = ThreadPoolExecutor(UPLOADS_MAX, "upload")
        self._looks = ThreadPoolExecutor(LOOKS_MAX, "look")

    async def commit(
        self, store: Store, place: Place, tree: Tree, known: Known, end: Ending
    ) -> tuple[Commit, Manifest]:
        """Bring all of it and write the manifest. Raises StoreFailed."""
        one = _Commit(store, place, tree, known)
        left = iter(tree.files)

        async def bring_some() -> None:
            for found in left:
                await self._patiently(partial(one.bring, found), end)

        await together(bring_some() for _ in range(UPLOADS_PER_COMMIT_MAX))
        return await self._patiently(one.finish, end)

    async def remove(self, store: Store, keys: Sequence[str], end: Ending) -> None:
        """Remove what nobody reads any more, in this order. Raises StoreFailed."""
        for key in keys:
            await self._patiently(partial(store.remove, key), end)

    async def read(self, work: Callable[..., T], *arguments: object) -> T:
        """Look at a file system that may be slow."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._looks, work, *arguments)

    def close(self) -> None:
        for threads in (self._threads, self._looks):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _patiently(self, work: Callable[[Interrupt], T], end: Ending) -> T:
        """Try until it is done, or the store has been away for too long. No thread waits."""
        loop = asyncio.get_running_loop()
        pause, until = RETRY_SECONDS, time.monotonic() + self._patience_seconds
        while True:
            check(end)
            began = time.monotonic()
            try:
                with end.part() as part:
                    return await loop.run_in_executor(self._threads, work, part)
            except StoreFailed as failed:
                if not failed.passing or end.is_set():
                    raise
                now = time.monotonic()
                if now - began > RETRY_SECONDS_MAX:  # it got somewhere
                    pause, until = RETRY_SECONDS, now + self._patience_seconds
                if now + pause > until:
                    message = f"{failed.message} (for {self._patience_seconds:g} s)"
                    raise StoreFailed(message, category=failed.category) from failed
            await end.pause(pause)
            pause = min(2 * pause, RETRY_SECONDS_MAX)


class _Commit:
    """One commit in the making, shared by the threads that work on it."""

    def __init__(self, store: Store, place: Place, tree: Tree, known: Known) -> None:
        self._store = store
        self._place = place
        self._tree = tree
        self._known = known
        self._entries: list[Entry] = []
        self._checksums: dict[Identity, str] = {}
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def bring(self, found: Found, end: Interrupt) -> None:
        """Bring one file, unless its bytes are there."""
        try:
            descriptor = self._tree.open(found.path)
        except (OSError, Outside, NotReadable) as error:
            raise StoreFailed(f"{found.path} is not there any more: {error}") from error
        try:
            sha256 = self._checksum(found, descriptor, end)
            at = self._at(found.path, sha256)
            key = f"{self._place.job_id}/{self._place.epoch}/{at}"
            with self._guard:
                lock = self._locks[key]
            with lock:  # two files of one content are one object
                if self._store.size(key, end) != found.size_bytes:
                    self._store.put(key, descriptor, found.size_bytes, sha256, end)
        except OSError as error:
            raise StoreFailed(f"{found.path} cannot be read: {error}") from error
        finally:
            os.close(descriptor)
        with self._guard:
            self._entries.append(Entry(found.path, found.size_bytes, sha256, at))

    def finish(self, end: Interrupt) -> tuple[Commit, Manifest]:
        """All files are there: say so."""
        place, self._known.by_identity = self._place, self._checksums
        manifest = Manifest(
            place.job_id,
            place.epoch,
            place.kind,
            place.number,
            tuple(sorted(self._entries, key=lambda entry: entry.path)),
            self._tree.links,
            place.by_job,
        )
        data, url = encode(manifest), self._store.url(manifest.key)
        if self._store.create(manifest.key, data, end) != data:
            raise StoreFailed(f"{url} is there already, and lists other files")
        commit = Commit(
            kind=place.kind,
            epoch=place.epoch,
            number=place.number,
            url=url,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=manifest.size_bytes,
            files=len(manifest.files),
            path=place.path,
        )
        return commit, manifest

    def _at(self, path: str, sha256: str) -> str:
        if self._place.kind == "checkpoint":
            return f"blobs/{sha256}"
        return f"{self._place.kind}-{self._place.number}/files/{path}"

    def _checksum(self, found: Found, descriptor: int, end: Interrupt) -> str:
        known = self._checksums.get(found.identity) or self._known.by_identity.get(found.identity)
        if known is None:
            known = _read_checksum(found, descriptor, end)
        with self._guard:
            self._checksums[found.identity] = known
        return known


def _read_checksum(found: Found, descriptor: int, end: Interrupt) -> str:
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, CHUNK_BYTES, offset):
        check(end)
        digest.update(chunk)
        offset += len(chunk)
    if offset != found.size_bytes:
        raise StoreFailed(f"{found.path} was changed while it was read")
    return digest.hexdigest()


def missing(path: str) -> StoreFailed:
    """What the job was to write is not there."""
    message = f"the job has not written {path!r} in its output directory"
    return StoreFailed(message, category=Category.USER)
