"""Answers the broker's questions for the output of runs, part by part.

Waits for new bytes without holding anything but its own question. Knows the backend and the
supervisor's attempts; nothing of streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from agent.backends import Backend, LogPart
from agent.supervisor.values import Failure
from agent.wire.decode import LogRequest
from agent.wire.encode import LogAnswer

PART_BYTES_MAX = 256 * 1024
READS_MAX = 16  # of files at a time
WAIT_SECONDS_MAX = 30.0
POLL_SECONDS = 0.2  # between two looks at a log that is waited for


class Logs:
    """The outputs of all runs of this site."""

    def __init__(self, backend: Backend, ranks_of: Callable[[str], int]) -> None:
        """`ranks_of` gives the ranks of a run that is held, by its name; 0: it is not."""
        self._backend = backend
        self._ranks_of = ranks_of
        self._reads = asyncio.Semaphore(READS_MAX)

    async def answer(self, request: LogRequest) -> LogAnswer:
        """A part of the log, or a failure: BadStream, NoSuchRank, LogsForgotten, LogsUnreadable."""
        try:
            ranks = await self.ranks(request.name)
            if request.stream is None:
                return _no(request, "user", "BadStream", "a log is 'stdout' or 'stderr'", ranks)
            if request.rank >= ranks:
                message = f"the job has ranks 0 to {ranks - 1}"
                return _no(request, "user", "NoSuchRank", message, ranks)
            part = await self._wait_for_part(request)
        except KeyError:
            message = "the site no longer has, or never had, the output of this attempt"
            return _no(request, "site", "LogsForgotten", message)
        except OSError as error:
            return _no(request, "site", "LogsUnreadable", f"the output cannot be read: {error}")
        return LogAnswer(request.request_id, part.data, part.next_offset, part.at_end, ranks)

    async def _wait_for_part(self, request: LogRequest) -> LogPart:
        if request.since > 0.0:
            request = replace(request, offset=await self._offset(request))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(request.wait_seconds, WAIT_SECONDS_MAX)
        while True:
            part = await self._read(request)
            left = deadline - loop.time()
            if part.data or part.at_end or left <= 0:
                return part
            await asyncio.sleep(min(POLL_SECONDS, left))

    async def _read(self, request: LogRequest) -> LogPart:
        assert request.stream is not None
        limit_bytes = min(request.limit_bytes, PART_BYTES_MAX)
        async with self._reads:
            return await self._backend.read_log(
                request.name, request.rank, request.stream, request.offset, limit_bytes
            )

    async def _offset(self, request: LogRequest) -> int:
        assert request.stream is not None
        async with self._reads:
            return await self._backend.log_offset(
                request.name, request.rank, request.stream, request.since
            )

    async def ranks(self, name: str) -> int:
        """How many ranks a run has; raises KeyError when nobody knows it."""
        if ranks := self._ranks_of(name):
            return ranks
        run = await self._backend.find(name)
        if run is None:
            raise KeyError(name)
        return max(1, len(run.exit.rank_codes) if run.exit else 0)


def _no(request: LogRequest, category: str, code: str, message: str, ranks: int = 0) -> LogAnswer:
    return LogAnswer(request.request_id, failure=Failure(category, code, message), ranks=ranks)
