"""Reading a job's log: the site is asked part by part, so that a slow reader holds nothing.

Ranks are read side by side and merged as they come; within a rank order is kept. Each
response says where it lies in its rank's stream, so that a reader whose stream broke goes on
exactly where it was.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from broker.asks import LogAsk, LogPart
from broker.core.rows import Attempt, Job
from broker.leader import Port
from broker.queries import GetJob, JobFound
from broker.services.kept_logs import OFFSET_MAX, UNASKED, responses
from suan.errors import InvalidRequest, NotFound, SuanError, Unavailable
from suan.log_windows import STREAMS
from suan.overwritten import last_lines
from suan.v1 import jobs_service_pb2

PART_BYTES = 128 << 10
TAIL_BYTES_MAX = 1 << 20
FOLLOW_WAIT_SECONDS = 5.0
RANKS_READ_MAX = 64  # of one job at a time
CHANGE_WAIT_SECONDS = 30.0
CURSORS_MAX = RANKS_READ_MAX * len(STREAMS)


async def read_logs(port: Port, job: Job, request: Any) -> AsyncIterator[Any]:
    """Responses until the end of the log, or for ever with `follow` on a live attempt.

    Where the site cannot be asked, what it had sent before, unless the reader would rather wait.
    Raises InvalidRequest, NotFound (NoLogs) and Unavailable (SiteAway, SiteSilent).
    """
    _check(request)
    attempt = await _attempt(port, job, request)
    try:
        first = await _Log(port, job.id, attempt, 0, STREAMS[0]).ask(0, 0, 0.0)
    except (NotFound, Unavailable) as error:
        if request.follow or request.site_only or error.code not in UNASKED:
            raise
        kept = await port.kept(job.id, attempt.epoch)
        if kept is None:
            raise
        _ranks(kept.ranks, request)
        for response in responses(kept, attempt, request, error):
            yield response
        return
    ranks = _ranks(first.ranks, request)
    streams = (request.stream,) if request.stream else STREAMS
    queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=8)
    readers = [
        asyncio.create_task(_read(_Log(port, job.id, attempt, rank, name), request, queue))
        for rank in ranks[:RANKS_READ_MAX]
        for name in streams
    ]
    try:
        async for response in _merged(queue, len(readers)):
            yield response
    finally:
        for reader in readers:
            reader.cancel()


def _ranks(count: int, request: Any) -> range:
    """The wanted ones. Raises NotFound (NoSuchRank)."""
    ranks = range(max(count, 1))
    if not request.HasField("rank"):
        return ranks
    if request.rank not in ranks:
        raise NotFound(f"the job has ranks 0 to {ranks[-1]}", "", "NoSuchRank")
    return range(request.rank, request.rank + 1)


def _check(request: Any) -> None:
    if not math.isfinite(request.since) or request.since < 0.0:
        raise InvalidRequest("`since` is a moment in seconds since 1970")
    if len(request.after) > CURSORS_MAX:
        raise InvalidRequest(f"at most {CURSORS_MAX} cursors in one request")
    if any(cursor.offset > OFFSET_MAX for cursor in request.after):
        raise InvalidRequest("no log is so long as the offset of a cursor says")
    if request.after and not request.epoch:
        raise InvalidRequest("cursors lie in the log of one attempt: name it by its epoch")


async def _merged(queue: asyncio.Queue[Any], readers: int) -> AsyncIterator[Any]:
    """What the readers put, until all have ended; raises what one of them met."""
    while readers:
        item = await queue.get()
        if item is None:
            readers -= 1
        elif isinstance(item, Exception):
            raise item
        else:
            yield item


async def _attempt(port: Port, job: Job, request: Any) -> Attempt:
    """The wanted attempt; with `follow`, the first one, once it has been placed."""
    while True:
        for attempt in reversed(job.attempts):
            wanted = request.epoch in (0, attempt.epoch) and attempt.outcome != "rejected"
            if wanted and (attempt.started_at or not attempt.live):
                return attempt
        if not request.follow or job.terminal:
            raise NotFound(
                f"job {job.id} has no log yet", "it has not started: see `suan explain`", "NoLogs"
            )
        job = await _changed(port, job)


async def _changed(port: Port, job: Job) -> Job:
    """The job, once it has changed. Raises NotFound when it is gone."""
    revision = job.revision
    while True:
        changes = await port.changes(revision, CHANGE_WAIT_SECONDS)
        revision = changes.revision
        if changes.reset or any(changed.id == job.id for changed in changes.jobs):
            found: JobFound = await port.read(GetJob(job.id, ""))
            if found.job is None:
                raise NotFound(f"job {job.id} is gone", "", "JobNotFound")
            return found.job


async def _read(log: _Log, request: Any, queue: asyncio.Queue[Any]) -> None:
    """One rank's stream, part by part, into the queue; None at its end."""
    wait_seconds = FOLLOW_WAIT_SECONDS if request.follow else 0.0
    try:
        part = await _begin(log, request)
        await queue.put(log.response(part))  # also without data: it says where we are
        while not part.at_end:
            part = await log.ask(part.next_offset, PART_BYTES, wait_seconds)
            if part.data:
                await queue.put(log.response(part))
            elif not request.follow:
                break
        await queue.put(None)
    except SuanError as error:
        await queue.put(error)


async def _begin(log: _Log, request: Any) -> LogPart:
    """The first part: after its cursor, or else as `since` and `tail_lines` say."""
    for cursor in request.after:
        if (cursor.rank, cursor.stream) == (log.rank, log.stream):
            return await log.ask(cursor.offset, PART_BYTES, 0.0)
    part = await log.ask(0, PART_BYTES, 0.0, request.since)
    return await _tail(log, part, request.tail_lines) if request.tail_lines else part


async def _tail(log: _Log, part: LogPart, lines: int) -> LogPart:
    """The last `lines` lines so far from `part` on, of at most TAIL_BYTES_MAX bytes."""
    kept = part.data
    while part.data and not part.at_end:
        part = await log.ask(part.next_offset, PART_BYTES, 0.0)
        kept = (kept + part.data)[-TAIL_BYTES_MAX:]
    return LogPart(last_lines(kept, lines), part.next_offset, part.at_end, part.ranks)


@dataclass(frozen=True, slots=True)
class _Log:
    """One rank's stream of one attempt, asked for at its site."""

    port: Port
    job_id: str
    attempt: Attempt
    rank: int
    stream: str

    async def ask(
        self, offset: int, limit_bytes: int, wait_seconds: float, since: float = 0.0
    ) -> LogPart:
        """A part. Raises NotFound and Unavailable, with the site's code."""
        site = self.attempt.site
        epoch, rank, stream = self.attempt.epoch, self.rank, self.stream
        ask = LogAsk(self.job_id, epoch, rank, stream, offset, limit_bytes, wait_seconds, since)
        part = await self.port.ask(site, ask)
        if part.failure is None:
            return part
        message = f"{site}: {part.failure.message}"
        if part.failure.category in ("network", "broker"):
            raise Unavailable(message, "the job goes on; try again shortly", part.failure.code)
        raise NotFound(message, "", part.failure.code)

    def response(self, part: LogPart) -> Any:
        return jobs_service_pb2.LogsResponse(
            rank=self.rank,
            stream=self.stream,
            data=part.data,
            epoch=self.attempt.epoch,
            offset=part.offset,
        )
