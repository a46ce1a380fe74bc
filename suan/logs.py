"""Reading a job's logs: through broken streams, and from one attempt to the next.

A stream that breaks is asked for again from its beginning, and what was seen already is
left out by counting bytes; where only the tail was asked for, counting cannot help, and
lines around the break may come twice. Knows the messages of `Jobs.Logs`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from suan.models import AttemptState, Job
from suan.transport import Transport
from suan.v1 import jobs_service_pb2 as pb
from suan.views import LogChunk


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of one job's logs is wanted; see `Client.logs`."""

    job_id: str
    follow: bool = False
    tail_lines: int = 0
    rank: int | None = None
    epoch: int = 0
    stream: str = ""

    def request(self, epoch: int) -> pb.LogsRequest:
        return pb.LogsRequest(
            id=self.job_id,
            follow=self.follow,
            tail_lines=self.tail_lines,
            rank=self.rank,
            epoch=epoch,
            stream=self.stream,
        )


class AttemptLog:
    """The log of one attempt (epoch 0: the last one), each byte once.

    `look` answers how the job stands: it is asked after each break, because a lost site may
    never answer again.
    """

    def __init__(self, wanted: Wanted, epoch: int, look: Callable[[], Awaitable[Job]]) -> None:
        self._wanted = wanted
        self._epoch = epoch
        self._look = look
        self._asked = False
        self._seen: dict[tuple[int, str], int] = {}  # bytes, by rank and stream
        self._skip: dict[tuple[int, str], int] = {}

    async def read(self, transport: Transport, method: Any) -> AsyncGenerator[LogChunk, None]:
        """Raises SuanError; ends early when the job runs elsewhere by now."""
        stream = transport.stream(method, self._request, patient=self._wanted.follow)
        async with aclosing(stream) as responses:
            async for response in responses:
                key = (response.rank, response.stream)
                known = min(self._skip.get(key, 0), len(response.data))
                self._skip[key] = self._skip.get(key, 0) - known
                if fresh := response.data[known:]:
                    self._seen[key] = self._seen.get(key, 0) + len(fresh)
                    yield LogChunk(response.rank, response.stream, fresh, response.epoch)

    async def _request(self) -> pb.LogsRequest | None:
        if self._asked and self._wanted.follow:
            job = await self._look()
            if next_attempt(job, self._epoch):
                return None
            if job.state.terminal:
                self._wanted = replace(self._wanted, follow=False)
        self._asked = True
        self._skip = {} if self._wanted.tail_lines else dict(self._seen)
        return self._wanted.request(self._epoch)


def next_attempt(job: Job, after: int) -> int:
    """The newest attempt later than `after` that has begun to run; 0 when there is none."""
    begun = (AttemptState.RUNNING, AttemptState.ORPHANED, AttemptState.ENDED)
    for attempt in reversed(job.attempts):
        if attempt.epoch > after and attempt.state in begun and attempt.started_at:
            return attempt.epoch
    return 0
