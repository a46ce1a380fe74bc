"""Reading the files of a job's run: the site is asked part by part, a few parts ahead.

So a slow reader holds nothing but those parts, and a copy that broke goes on at any offset.
What may be read, and what a path means, is for the site to say.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from broker.asks import FileAsk, FilePart
from broker.core.rows import Attempt, Failure, Job
from broker.leader import Port
from broker.services.files_wire import entry_to_wire
from suan.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, SuanError, Unavailable
from suan.v1 import jobs_service_pb2

PART_BYTES = 256 << 10
PARTS_AHEAD = 4  # of one file
PARTS_PER_SITE_MAX = 16  # under way through one gateway
PATH_LENGTH_MAX = 4096  # characters
OFFSET_MAX = 1 << 62  # bytes; no file is longer
_PASSING = ("network", "broker")
_ERRORS: dict[str, type[SuanError]] = {
    "PathNotAllowed": PermissionDenied,
    "FilesUnreadable": Conflict,
    "IsADirectory": InvalidRequest,
    "NotAFile": InvalidRequest,
    "DirectoryTooLarge": InvalidRequest,
}
_ROOTS_HINT = "see what there is with `suan cp JOB:`"
_HINTS = {
    "NoSuchFile": _ROOTS_HINT,
    "PathNotAllowed": _ROOTS_HINT,
    "FilesForgotten": "a site keeps a run for a time after its end",
}


class Files:
    """What one gateway reads of all sites."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._sites: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def list(self, job: Job, request: Any) -> Any:
        """What is in a directory of the job's run. Raises SuanError."""
        _check_path(request.path)
        _check_path(request.after)
        attempt = attempt_of(job, request.epoch)
        ask = FileAsk(job.id, attempt.epoch, request.path, lists=True, after=request.after)
        part = await self._ask(attempt.site, ask)
        return jobs_service_pb2.ListFilesResponse(
            entry=entry_to_wire(part.entry),
            entries=[entry_to_wire(entry) for entry in part.entries],
            more=part.more,
            epoch=attempt.epoch,
        )

    async def read(self, job: Job, request: Any) -> AsyncGenerator[Any, None]:
        """A file from an offset to its end, as it is when the reading begins. Raises SuanError."""
        _check_path(request.path)
        if max(request.offset, request.end) > OFFSET_MAX:
            raise InvalidRequest("no file is so long as the request says")
        attempt = attempt_of(job, request.epoch)
        end = request.end or OFFSET_MAX
        limit_bytes = max(min(PART_BYTES, end - request.offset), 0)
        whole = FileAsk(job.id, attempt.epoch, request.path)
        first = replace(whole, offset=request.offset, limit_bytes=limit_bytes)
        part = await self._ask(attempt.site, first)
        yield _response(attempt, part, request.offset)
        if len(part.data) < limit_bytes:
            return  # it is no longer, or was not read on
        asks = _asks(whole, request.offset + limit_bytes, min(part.entry.size_bytes, end))
        with self._ahead(attempt.site, asks) as parts:
            for ask, pending in parts:
                part = await pending
                yield _response(attempt, part, ask.offset)
                if len(part.data) < ask.limit_bytes:
                    return  # it has become shorter: the reader sees that

    @contextmanager
    def _ahead(self, site: str, asks: Iterator[FileAsk]) -> Iterator[Iterator[Any]]:
        """The asks with their answers to be; a few are under way, and end with the block."""
        under_way: deque[tuple[FileAsk, asyncio.Task[FilePart]]] = deque()

        def answers() -> Iterator[tuple[FileAsk, asyncio.Task[FilePart]]]:
            while True:
                while len(under_way) < PARTS_AHEAD and (ask := next(asks, None)) is not None:
                    task = asyncio.create_task(self._ask(site, ask))
                    task.add_done_callback(lambda done: done.cancelled() or done.exception())
                    under_way.append((ask, task))
                if not under_way:
                    return
                yield under_way.popleft()

        try:
            yield answers()
        finally:
            for _, task in under_way:
                task.cancel()

    async def _ask(self, site: str, ask: FileAsk) -> FilePart:
        """A part. Raises SuanError, with the site's code."""
        turn = self._sites.get(site)
        if turn is None:
            turn = self._sites[site] = asyncio.Semaphore(PARTS_PER_SITE_MAX)
        async with turn:
            part = await self._port.ask(site, ask)
        if part.failure is not None:
            raise _error(site, part.failure)
        return part


def attempt_of(job: Job, epoch: int) -> Attempt:
    """The wanted attempt, or the last one that began. Raises NotFound (NoFiles)."""
    for attempt in reversed(job.attempts):
        begun = attempt.outcome != "rejected" and (attempt.started_at or not attempt.live)
        if epoch in (0, attempt.epoch) and begun:
            return attempt
    message = f"job {job.id} has no files yet" if not epoch else f"there is no attempt {epoch}"
    raise NotFound(message, "it has not started: see `suan explain`", "NoFiles")


def _asks(whole: FileAsk, begin: int, end: int) -> Iterator[FileAsk]:
    for offset in range(begin, end, PART_BYTES):
        yield replace(whole, offset=offset, limit_bytes=min(PART_BYTES, end - offset))


def _response(attempt: Attempt, part: FilePart, offset: int) -> Any:
    return jobs_service_pb2.ReadFileResponse(
        entry=entry_to_wire(part.entry), offset=offset, data=part.data, epoch=attempt.epoch
    )


def _check_path(path: str) -> None:
    if len(path) > PATH_LENGTH_MAX or "\0" in path:
        raise InvalidRequest("no file has such a path", "", "NoSuchFile")


def _error(site: str, failure: Failure) -> SuanError:
    message = f"{site}: {failure.message}"
    if failure.category in _PASSING:
        return Unavailable(message, "try again shortly; what was copied is kept", failure.code)
    return _ERRORS.get(failure.code, NotFound)(message, _HINTS.get(failure.code, ""), failure.code)
