"""A submit request on its way to the loop: in parts, so that no tenant's holds up another's.

Reads and checks the specifications part by part, each when it is its tenant's turn. Every
job stands for itself: a request may be taken in part, and sent again with the same ids.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any

from broker.core.messages import Accepted, Refusal, Refused, Results, Submission, Submit
from broker.core.rows import Spec
from broker.leader import Port
from broker.services.answers import granted
from broker.services.specs import read_spec
from broker.services.tenant_queues import TenantQueues
from suan.errors import InvalidRequest, InvalidSpec
from suan.identity.principal import Principal

JOBS_MAX = 1_000  # of one request
JOBS_PER_PART_MAX = 32
BYTES_PER_PART_MAX = 64 << 10  # of specifications, but for one that is larger
_JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}|")

Result = Accepted | Refused


class Submissions:
    """Those that come through one gateway."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._queues = TenantQueues()

    async def submit(self, request: Any, caller: Principal) -> list[Result]:
        """One result per job of the request. Raises InvalidRequest, ResourceExhausted."""
        if not _PROJECT.fullmatch(request.project):
            raise InvalidRequest(
                f"project {request.project[:80]!r} is not a name",
                "1 to 63 letters, digits, '.', '_' and '-', the first a letter or a digit",
                "ProjectInvalid",
            )
        if len(request.jobs) > JOBS_MAX:
            raise InvalidRequest(
                f"{len(request.jobs)} jobs in one request; at most {JOBS_MAX}",
                "send them in several requests",
                "BatchTooLarge",
            )
        parts = list(_parts(request.jobs))
        size_bytes = sum(len(item.spec) for item in request.jobs)
        async with self._queues.request(caller.tenant, len(request.jobs), size_bytes):
            if len(parts) == 1:
                return await self._submit(parts[0], request.project, caller)
            calls = (self._submit(part, request.project, caller) for part in parts)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        results: list[Result] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            results += outcome
        return results

    async def _submit(self, part: Sequence[Any], project: str, caller: Principal) -> list[Result]:
        async with self._queues.turn(caller.tenant, len(part)):
            read = [_read(item) for item in part]
            sound = [item for item in read if not isinstance(item, Refused)]
            specs = {spec.sha256: spec for spec, _ in sound}
            jobs = tuple(job for _, job in sound)
            event = Submit(caller.tenant, project, caller.name, jobs, tuple(specs.values()))
            taken = granted(await self._port.post(event), Results).results if jobs else ()
        answers = iter(taken)
        return [item if isinstance(item, Refused) else next(answers) for item in read]


def _parts(jobs: Sequence[Any]) -> Iterator[list[Any]]:
    part: list[Any] = []
    size_bytes = 0
    for item in jobs:
        full = len(part) == JOBS_PER_PART_MAX or size_bytes + len(item.spec) > BYTES_PER_PART_MAX
        if part and full:
            yield part
            part, size_bytes = [], 0
        part.append(item)
        size_bytes += len(item.spec)
    if part:
        yield part


def _read(item: Any) -> Refused | tuple[Spec, Submission]:
    if not _JOB_ID.fullmatch(item.id):
        refusal = Refusal("JobIdInvalid", f"{item.id[:80]!r} is not a UUID", "INVALID_ARGUMENT")
        return Refused(item.id, refusal)
    try:
        spec = read_spec(item.spec)
    except InvalidSpec as error:
        return Refused(item.id, Refusal(error.code, error.message, "INVALID_ARGUMENT", error.hint))
    return spec, Submission(item.id, spec.sha256, item.array_id, item.array_index)
