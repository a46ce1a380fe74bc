"""Reading a job's log: the site is asked part by part, so that a slow reader holds nothing.

Ranks are read side by side and merged as they come; within a rank order is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from broker.asks import LogAsk, LogPart
from broker.core.rows import Attempt, Job
from broker.leader import Port
from broker.queries import GetJob, JobFound
from suan.errors import NotFound, Unavailable
from suan.v1 import jobs_service_pb2

PART_BYTES = 128 << 10
TAIL_BYTES_MAX = 1 << 20
FOLLOW_WAIT_SECONDS = 5.0
RANKS_READ_MAX = 64  # of one job at a time
CHANGE_WAIT_SECONDS = 30.0
STREAMS = ("stdout", "stderr")


async def read_logs(port: Port, job: Job, request: Any) -> AsyncIterator[Any]:
    """Responses until the end of the log, or for ever with `follow` on a live attempt.

    Raises NotFound (NoLogs) and Unavailable (SiteAway, SiteSilent).
    """
    attempt = await _attempt(port, job, request)
    first = await _ask(port, job, attempt, LogPart(), 0, STREAMS[0], 0, 0.0)
    ranks = range(max(first.ranks, 1))
    if request.HasField("rank"):
        if request.rank not in ranks:
            raise NotFound(f"the job has ranks 0 to {ranks[-1]}", "", "NoSuchRank")
        ranks = range(request.rank, request.rank + 1)
    streams = (request.stream,) if request.stream else STREAMS
    queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=8)
    readers = [
        asyncio.create_task(_read(port, job, attempt, rank, name, request, queue))
        for rank in ranks[:RANKS_READ_MAX]
        for name in streams
    ]
    try:
        async for response in _merged(queue, len(readers)):
            yield response
    finally:
        for reader in readers:
            reader.cancel()


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


async def _read(
    port: Port,
    job: Job,
    attempt: Attempt,
    rank: int,
    stream: str,
    request: Any,
    queue: asyncio.Queue[Any],
) -> None:
    """One rank's stream, part by part, into the queue; None at its end."""
    part = LogPart()
    try:
        if request.tail_lines:
            part = await _tail(port, job, attempt, rank, stream, request.tail_lines)
            await _put(queue, rank, stream, attempt, part)
        while not part.at_end:
            wait = FOLLOW_WAIT_SECONDS if request.follow else 0.0
            part = await _ask(port, job, attempt, part, rank, stream, PART_BYTES, wait)
            await _put(queue, rank, stream, attempt, part)
            if not part.data and not request.follow:
                break
        await queue.put(None)
    except (NotFound, Unavailable) as error:
        await queue.put(error)


async def _put(
    queue: asyncio.Queue[Any], rank: int, stream: str, attempt: Attempt, part: LogPart
) -> None:
    if part.data:
        await queue.put(
            jobs_service_pb2.LogsResponse(
                rank=rank, stream=stream, data=part.data, epoch=attempt.epoch
            )
        )


async def _tail(
    port: Port, job: Job, attempt: Attempt, rank: int, stream: str, lines: int
) -> LogPart:
    """The last `lines` lines so far, of at most TAIL_BYTES_MAX bytes."""
    kept = b""
    part = LogPart()
    while True:
        part = await _ask(port, job, attempt, part, rank, stream, PART_BYTES, 0.0)
        kept = (kept + part.data)[-TAIL_BYTES_MAX:]
        if not part.data or part.at_end:
            break
    wanted = b"".join(kept.splitlines(keepends=True)[-lines:])
    return LogPart(wanted, part.next_offset, part.at_end, part.ranks)


async def _ask(
    port: Port,
    job: Job,
    attempt: Attempt,
    after: LogPart,
    rank: int,
    stream: str,
    limit_bytes: int,
    wait_seconds: float,
) -> LogPart:
    ask = LogAsk(job.id, attempt.epoch, rank, stream, after.next_offset, limit_bytes, wait_seconds)
    part = await port.ask(attempt.site, ask)
    if part.failure is None:
        return part
    message = f"{attempt.site}: {part.failure.message}"
    if part.failure.category == "network":
        raise Unavailable(message, "the job goes on; try again shortly", part.failure.code)
    raise NotFound(message, "", part.failure.code)
