"""Watching jobs: the present state first, then every change, in messages of a bounded size.

A reader that is too slow for the changes gets the present state again, marked `reset`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from typing import Any

from broker.change_logs import Interest
from broker.core.rows import Job
from broker.feed import Changes
from broker.follow import Follow, Watcher
from broker.leader import Port
from broker.queries import JobPage, ListJobs
from broker.services import jobs_wire
from broker.services.roles import Sight, sight_of_job
from suan.errors import InvalidRequest
from suan.identity.principal import Principal
from suan.v1 import job_pb2, jobs_service_pb2

PAGE_SIZE = 1_000  # jobs of the present state that are read at once
RESPONSE_BYTES_MAX = 64 << 10  # but for one job that is larger
WRITERS_AT_ONCE = 4
MESSAGES_KEPT = 10_000  # jobs as messages, for the next watcher
QUIET_SECONDS = 30.0  # then an empty response says that the watch stands


class Watching:
    """The watches of one gateway."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._follow = Follow(port)
        self._writing = asyncio.Semaphore(WRITERS_AT_ONCE)

    async def watch(
        self, caller: Principal, ids: Iterable[str], token: str
    ) -> AsyncGenerator[Any, None]:
        """Responses for ever. Raises InvalidRequest, ResourceExhausted (TooManyWatchers)."""
        wanted = frozenset(ids)
        interest = Interest(wanted, caller.tenant, caller.site)
        whole = bool(token)  # who went on before must not miss the end of an old job
        async with self._follow.watch(interest, revision_of(token)) as watcher:
            while True:
                changes = await watcher.next(QUIET_SECONDS)
                if changes.reset:
                    said = self._present(caller, wanted, watcher, whole)
                    whole = True
                else:
                    said = self._changed(caller, changes)
                async with aclosing(said) as responses:
                    async for response in responses:
                        yield response

    async def _changed(self, caller: Principal, changes: Changes) -> AsyncGenerator[Any, None]:
        """What the caller may see of them; of no change at all an empty response."""
        seen = [job for job in changes.jobs if _sees(caller, job)]
        if not changes.jobs:
            yield _response([], str(changes.revision))
        async with aclosing(self._parts(seen)) as written:
            async for jobs in written:
                yield _response(jobs, str(jobs[-1].revision))

    async def _present(
        self, caller: Principal, wanted: frozenset[str], watcher: Watcher, whole: bool
    ) -> AsyncGenerator[Any, None]:
        """The jobs as they are. Only the last message says where to go on: a break begins anew."""
        first = last = 0
        said = _response([], "", reset=True)
        async for page in self._pages(caller, wanted, whole):
            first, last = first or page.revision, page.revision
            seen = [job for job in page.jobs if _sees(caller, job)]
            async with aclosing(self._parts(seen)) as written:
                async for jobs in written:
                    if said.jobs:
                        yield said
                        said = _response([], "")
                    said.jobs.extend(jobs)
        watcher.know(first, hold=last)
        said.resume_token = str(first)
        yield said

    async def _pages(
        self, caller: Principal, wanted: frozenset[str], whole: bool
    ) -> AsyncGenerator[JobPage, None]:
        """The jobs and arrays that are wanted; else all, or the newest when not `whole`."""
        query = ListJobs(tenant=caller.tenant, page_size=PAGE_SIZE, site=caller.site)
        if not wanted:
            yield (page := await self._port.read(query))
            while whole and page.next_before:
                yield (page := await self._port.read(replace(query, before=page.next_before)))
            return
        yield (named := await self._port.read(replace(query, ids=tuple(wanted))))
        for array_id in wanted - {job.id for job in named.jobs}:
            query = ListJobs(tenant=caller.tenant, page_size=PAGE_SIZE, array_id=array_id)
            yield (page := await self._port.read(query))
            while page.next_before:
                yield (page := await self._port.read(replace(query, before=page.next_before)))

    async def _parts(self, jobs: list[Job]) -> AsyncGenerator[list[job_pb2.Job], None]:
        """As `parts`; of a crowd that is owed much few write at once: others want to be heard."""
        written = parts(jobs, RESPONSE_BYTES_MAX)
        while True:
            async with self._writing:
                part = next(written, None)
                await asyncio.sleep(0)
            if part is None:
                return
            yield part


def parts(jobs: Iterable[Job], bytes_max: int) -> Iterator[list[job_pb2.Job]]:
    """The jobs as messages, in lists of at most `bytes_max` bytes; one job alone may be more."""
    part: list[job_pb2.Job] = []
    size_bytes = 0
    for job in jobs:
        message = _message(job)
        message_bytes = message.ByteSize()
        if part and size_bytes + message_bytes > bytes_max:
            yield part
            part, size_bytes = [], 0
        part.append(message)
        size_bytes += message_bytes
    if part:
        yield part


@lru_cache(maxsize=MESSAGES_KEPT)
def _message(job: Job) -> job_pb2.Job:
    """Not to be changed: many watchers are sent the same."""
    return jobs_wire.job_to_wire(job)


def revision_of(token: str) -> int:
    """Where a watch goes on; below 0: from the present state."""
    if not token:
        return -1
    if not token.isdecimal() or len(token) > 20:
        raise InvalidRequest(f"{token[:40]!r} is not a resume token", "", "ResumeTokenInvalid")
    return int(token)


def _response(jobs: list[job_pb2.Job], token: str, reset: bool = False) -> Any:
    return jobs_service_pb2.WatchResponse(jobs=jobs, resume_token=token, reset=reset)


def _sees(caller: Principal, job: Job) -> bool:
    sites = {attempt.site for attempt in job.attempts}
    return sight_of_job(caller, job.tenant, sites) is not Sight.NONE
