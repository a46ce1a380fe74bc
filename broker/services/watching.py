"""Watching jobs: the present state first, then every change, in messages of a bounded size.

A reader that is too slow for the changes gets the present state again, marked `reset`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from broker.core.rows import Job
from broker.follow import Follow, Interest, Watcher
from broker.leader import Port
from broker.queries import JobPage, ListJobs
from broker.services import jobs_wire
from broker.services.roles import Sight, sight_of_job
from suan.errors import InvalidRequest
from suan.identity.principal import Principal
from suan.v1 import job_pb2, jobs_service_pb2

PAGE_SIZE = 500  # jobs of the present state read at once
PRESENT_JOBS_MAX = 1_000  # of a watch of everything; named jobs and arrays are shown whole
RESPONSE_BYTES_MAX = 256 << 10  # but for one job that is larger
QUIET_SECONDS = 30.0  # then an empty response says that the watch stands


async def watch(
    port: Port, follow: Follow, caller: Principal, ids: Iterable[str], token: str
) -> AsyncGenerator[Any, None]:
    """Responses for ever. Raises InvalidRequest, ResourceExhausted (TooManyWatchers)."""
    wanted = frozenset(ids)
    interest = Interest(wanted, caller.tenant, caller.site)
    async with follow.watch(interest, revision_of(token)) as watcher:
        while True:
            changes = await watcher.next(QUIET_SECONDS)
            if changes.reset:
                async with aclosing(_present(port, caller, wanted, watcher)) as present:
                    async for response in present:
                        yield response
                continue
            seen = [job for job in changes.jobs if _sees(caller, job)]
            if seen or not changes.jobs:
                for jobs in parts(seen, RESPONSE_BYTES_MAX) if seen else ([],):
                    yield _response(jobs, str(changes.revision))


async def _present(
    port: Port, caller: Principal, wanted: frozenset[str], watcher: Watcher
) -> AsyncGenerator[Any, None]:
    """The jobs as they are. Only the last message says where to go on: a break begins anew."""
    first = last = 0
    said = _response([], "", reset=True)
    async for page in _pages(port, caller, wanted):
        first, last = first or page.revision, page.revision
        seen = [job for job in page.jobs if _sees(caller, job)]
        for jobs in parts(seen, RESPONSE_BYTES_MAX):
            if said.jobs:
                yield said
                said = _response([], "")
            said.jobs.extend(jobs)
    watcher.know(first, hold=last)
    said.resume_token = str(first)
    yield said


async def _pages(
    port: Port, caller: Principal, wanted: frozenset[str]
) -> AsyncGenerator[JobPage, None]:
    everything = ListJobs(tenant=caller.tenant, page_size=PRESENT_JOBS_MAX, site=caller.site)
    if not wanted:
        yield await port.read(everything)
        return
    found: set[str] = set()
    page: JobPage = await port.read(replace(everything, ids=tuple(wanted)))
    found.update(job.id for job in page.jobs)
    yield page
    for array_id in wanted - found:
        query = ListJobs(tenant=caller.tenant, page_size=PAGE_SIZE, array_id=array_id)
        while True:
            page = await port.read(query)
            yield page
            if not page.next_before:
                break
            query = replace(query, before=page.next_before)


def parts(jobs: Iterable[Job], bytes_max: int) -> Iterator[list[job_pb2.Job]]:
    """The jobs as messages, in lists of at most `bytes_max` bytes; one job alone may be more."""
    part: list[job_pb2.Job] = []
    size_bytes = 0
    for job in jobs:
        message = jobs_wire.job_to_wire(job)
        message_bytes = message.ByteSize()
        if part and size_bytes + message_bytes > bytes_max:
            yield part
            part, size_bytes = [], 0
        part.append(message)
        size_bytes += message_bytes
    if part:
        yield part


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
