"""Reading a job's logs: through broken streams, and from one attempt to the next.

Every response says where it lies in its rank's stream. So a stream that breaks is asked for
again from exactly there: no byte is lost and none comes twice. Knows the messages of
`Jobs.Logs`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from suan.errors import Unavailable
from suan.models import AttemptState, Job
from suan.transport import Transport
from suan.v1 import jobs_service_pb2 as pb
from suan.views import KeptLog, LogChunk

REST_SECONDS = 30.0  # that a site which is away has, once the attempt is over


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of one job's logs is wanted; see `Client.logs`."""

    job_id: str
    follow: bool = False
    tail_lines: int = 0
    since: float = 0.0
    rank: int | None = None
    stream: str = ""


class AttemptLog:
    """The log of one attempt (epoch 0: the last one), each byte once.

    `look` answers how the job stands. A follower asks after each break, because a lost site
    may never answer again: once the attempt is over, it has REST_SECONDS to give the rest;
    after that, what it had sent to the broker is read.
    """

    def __init__(self, wanted: Wanted, epoch: int, look: Callable[[], Awaitable[Job]]) -> None:
        self._wanted = wanted
        self._epoch = epoch
        self._look = look
        self._asked = False
        self._over_at: float | None = None  # when the attempt was first seen to be over
        self._patient = wanted.follow  # what the site has is rather waited for than what was kept
        self._told = False  # that it was kept
        self._read: dict[tuple[int, str], int] = {}  # up to which offset, by rank and stream

    async def read(self, transport: Transport, method: Any) -> AsyncGenerator[LogChunk, None]:
        """Raises SuanError: LogsIncomplete when the job has ended and its site is lost.

        Ends without the rest when the site is lost and the job runs elsewhere by now.
        """

        async def request() -> pb.LogsRequest | None:
            return await self._request(transport.backoff.clock())

        stream = transport.stream(method, request, patient=self._wanted.follow)
        async with aclosing(stream) as responses:
            async for response in responses:
                chunk = self._chunk(response)
                if chunk.data or (chunk.kept and not self._told):
                    self._told = chunk.kept is not None
                    yield chunk

    def _chunk(self, response: pb.LogsResponse) -> LogChunk:
        """What of a response is new."""
        self._epoch = response.epoch
        key = (response.rank, response.stream)
        read = self._read.get(key, 0)
        # A broker older than offsets says none, and repeats itself after a break.
        begin = response.offset if response.HasField("offset") else read
        end = begin + len(response.data)
        fresh = response.data[max(read - begin, 0) :]
        self._read[key] = max(read, end)
        return LogChunk(*key, fresh, response.epoch, end - len(fresh), _kept(response))

    async def _request(self, now: float) -> pb.LogsRequest | None:
        follow = self._wanted.follow
        if self._asked and follow:
            job = await self._look()
            elsewhere = next_attempt(job, self._epoch) > 0
            if elsewhere or job.state.terminal:
                follow = False
                self._over_at = now if self._over_at is None else self._over_at
                if not self._patient:
                    if elsewhere:
                        return None
                    raise _incomplete(self._epoch)
                self._patient = now - self._over_at < REST_SECONDS
        self._asked = True
        return pb.LogsRequest(
            id=self._wanted.job_id,
            follow=follow,
            tail_lines=self._wanted.tail_lines,
            since=self._wanted.since,
            rank=self._wanted.rank,
            epoch=self._epoch,
            stream=self._wanted.stream,
            site_only=self._patient,
            after=[
                pb.LogCursor(rank=rank, stream=name, offset=offset)
                for (rank, name), offset in self._read.items()
            ],
        )


def next_attempt(job: Job, after: int) -> int:
    """The newest attempt later than `after` that has begun to run; 0 when there is none."""
    begun = (AttemptState.RUNNING, AttemptState.ORPHANED, AttemptState.ENDED)
    for attempt in reversed(job.attempts):
        if attempt.epoch > after and attempt.state in begun and attempt.started_at:
            return attempt.epoch
    return 0


def _kept(response: pb.LogsResponse) -> KeptLog | None:
    if not response.HasField("kept"):
        return None
    kept = response.kept
    return KeptLog(kept.code, kept.site, kept.at, kept.at_end)


def _incomplete(epoch: int) -> Unavailable:
    message = f"the last output of attempt {epoch} is missing: its site is away"
    return Unavailable(message, "`suan logs` has it once the site is back", "LogsIncomplete")
