"""The asynchronous SDK: `async with Client.connect() as client: …`.

Every call has a deadline and is tried again, with the same ids, while the broker is away;
so a job is submitted once however often it is sent. Every failure is a SuanError. What
administrators and operators use stands in `suan.administration`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from suan.administration import Administration
from suan.bundle import pack
from suan.channel import secure_channels
from suan.contexts import resolve
from suan.errors import NotFound, SuanError
from suan.logs import AttemptLog, Wanted, next_attempt
from suan.models import Bundle, Job, JobSpec, JobState
from suan.reading import read, read_all
from suan.retry import Backoff
from suan.run_access import RunAccess
from suan.submission import batches, require_accepted, submission, submissions
from suan.transport import DEADLINE_SECONDS, Transport, ignore
from suan.v1 import jobs_service_pb2 as pb
from suan.v1.jobs_service_pb2_grpc import JobsStub
from suan.views import (
    Accelerator,
    Condition,
    Explained,
    Explanation,
    LogChunk,
    Offer,
    Submission,
)
from suan.wire import job_from_wire, spec_bytes, spec_from_bytes

PAGE_JOBS = 500
IDS_MAX = 1_000  # in one request
PROGRESS_SECONDS = 2.0  # between two looks at how far a job's inputs are
LOOK_SECONDS_MAX = 10.0  # of one such look
SEARCH_SECONDS_MAX = 1.0  # of a pause while none of several brokers leads


class Client(Administration, RunAccess):
    """A connection to a federation's broker, whichever leads, as one identity."""

    def __init__(self, transport: Transport, project: str = "") -> None:
        super().__init__(transport)
        self.project = project
        self._jobs: Any = JobsStub(transport.channel)

    @classmethod
    def connect(
        cls,
        context: str | None = None,
        address: str | None = None,
        identity: str | os.PathLike[str] | None = None,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        on_wait: Callable[[SuanError], None] = ignore,
    ) -> Self:
        """The client of a context (default: the current one), of which parts may be replaced.

        `address`: HOST:PORT, or all brokers with commas, of which the one that leads is found.
        To be called in a running event loop; connects at the first call. `on_wait` is told when
        no broker serves, before one is waited for. Raises SuanError when no broker or no
        identity is named, or the identity cannot be used.
        """
        environ = os.environ | ({"SUAN_IDENTITY": os.fspath(identity)} if identity else {})
        chosen = resolve(context, address, environ)
        place = Path(identity or chosen.identity)
        brokers = secure_channels(chosen.address, place)
        several = brokers.turns.count > 1
        transport = Transport(
            brokers,
            chosen.address,
            place,
            deadline_seconds,
            Backoff(seconds_max=SEARCH_SECONDS_MAX) if several else Backoff(),
            on_wait,
            brokers.turns,
        )
        return cls(transport, chosen.project)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.transport.close()

    # --- submitting ---------------------------------------------------------

    async def submit(
        self,
        specs: JobSpec | Iterable[JobSpec],
        *,
        project: str | None = None,
        directory: Path | None = None,
    ) -> tuple[Submission, ...]:
        """Submits jobs; an array becomes one job per index, all with its `array_id`.

        A relative `working_directory` is packed and sent along; it counts from `directory`
        (default: the current one). Returns once all are durable at the broker. Raises
        SubmitRefused when one is refused, InvalidSpec, and what `suan.bundle.pack` raises.
        """
        wanted = [specs] if isinstance(specs, JobSpec) else list(specs)
        ready = await self._with_bundles(wanted, directory or Path.cwd())
        submitted: list[Submission] = []
        for batch in batches(job for spec in ready for job in submissions(spec)):
            request = pb.SubmitRequest(
                jobs=batch, project=self.project if project is None else project
            )
            response = await self.transport.call(self._jobs.Submit, request)
            submitted += map(submission, batch, response.results)
        require_accepted(tuple(submitted))
        return tuple(submitted)

    async def put_bundle(self, data: bytes) -> Bundle:
        """Keeps an archive (tar.gz, at most 2 MiB) at the broker; the same content, once."""
        response = await self.transport.call(self._jobs.PutBundle, pb.PutBundleRequest(data=data))
        return Bundle(response.bundle.sha256, response.bundle.size_bytes)

    async def plan(self, spec: JobSpec) -> Explanation:
        """Where `spec` would go if it were submitted now. Changes nothing."""
        request = pb.PlanRequest(spec=spec_bytes(spec))
        response = await self.transport.call(self._jobs.Plan, request)
        return read(Explanation, response.explanation)

    # --- looking ------------------------------------------------------------

    async def get(self, job_id: str) -> Job:
        """One job by its id, or by an unambiguous beginning or ending of at least 4 characters."""
        return job_from_wire((await self._get(job_id)).job)

    async def spec(self, job_id: str) -> JobSpec:
        """The spec a job was submitted with. Raises NotFound where one may not see it."""
        data = (await self._get(job_id)).spec
        if not data:
            raise NotFound(f"the spec of job {job_id} is its tenant's alone", "", "SpecHidden")
        return spec_from_bytes(data)

    async def list(
        self,
        *,
        states: Iterable[JobState] = (),
        site: str = "",
        array_id: str = "",
        name_prefix: str = "",
        all_tenants: bool = False,
    ) -> AsyncGenerator[Job, None]:
        """Jobs that match all that is given, newest first, fetched page by page."""
        request = pb.ListRequest(
            page_size=PAGE_JOBS,
            states=[f"JOB_STATE_{state}" for state in states],
            site=site,
            array_id=array_id,
            name_prefix=name_prefix,
            all_tenants=all_tenants,
        )
        while True:
            page = await self.transport.call(self._jobs.List, request)
            for job in page.jobs:
                yield job_from_wire(job)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch(self, ids: Iterable[str] = ()) -> AsyncGenerator[Job, None]:
        """Each job as it is now, then again at each change; survives breaks; never ends.

        `ids` are of jobs or arrays, at most 1,000; none: all that one may see.
        """
        request = pb.WatchRequest(ids=ids)

        async def again() -> pb.WatchRequest:
            return request

        stream = self.transport.stream(self._jobs.Watch, again, patient=True, endless=True)
        async with aclosing(stream) as responses:
            async for response in responses:
                request.resume_token = response.resume_token
                for job in response.jobs:
                    yield job_from_wire(job)

    async def starting(self, job_id: str) -> AsyncGenerator[Job, None]:
        """As `watch` of one job, and while it is PLACED also every `PROGRESS_SECONDS`, with how
        far its inputs are: what is fetched is told to who asks, and to no watch."""
        job: Job | None = None
        async with aclosing(self.watch([job_id])) as changes:
            change = asyncio.ensure_future(anext(changes))
            try:
                while True:
                    waits = job is not None and job.state is JobState.PLACED
                    await asyncio.wait({change}, timeout=PROGRESS_SECONDS if waits else None)
                    if change.done():
                        job = change.result()
                        change = asyncio.ensure_future(anext(changes))
                        yield job
                        continue
                    seen: Job | None = None
                    with suppress(SuanError, TimeoutError):  # the watch says what is the matter
                        async with asyncio.timeout(LOOK_SECONDS_MAX):
                            seen = await self.get(job_id)
                    if seen is not None and not change.done():
                        yield seen
            finally:
                change.cancel()
                await asyncio.wait({change})

    async def wait(self, ids: Sequence[str]) -> tuple[Job, ...]:
        """The jobs, in the order of their (whole) ids, once all have ended."""
        ended: dict[str, Job] = {}
        for part in _parts(ids):  # one after the other: all must end anyway
            pending = set(part)
            async with aclosing(self.watch(part)) as jobs:
                async for job in jobs:
                    if job.state.terminal:
                        ended[job.id] = job
                        pending.discard(job.id)
                    if not pending:
                        break
        return tuple(ended[job_id] for job_id in ids)

    async def logs(
        self,
        job_id: str,
        *,
        follow: bool = False,
        tail_lines: int = 0,
        since: float = 0.0,
        rank: int | None = None,
        epoch: int = 0,
        stream: str = "",
    ) -> AsyncGenerator[LogChunk, None]:
        """What the job's ranks wrote, each byte once, though streams break.

        `follow`: waits for the job to start and goes on, over further attempts, until it has
        ended. `tail_lines`: at most so many lines of what is there, 0: all; `since`: from
        about that moment on by the site's clock (wall seconds; lines that came a little
        earlier may be among them, none that came later is missing), 0.0: from the beginning;
        both are about the first attempt read. `rank` None: all; `epoch` 0: the last attempt;
        `stream`: "stdout", "stderr" or "" for both.
        """
        wanted = Wanted(job_id, follow, tail_lines, since, rank, stream)

        def log_of(attempt: int) -> AsyncGenerator[LogChunk, None]:
            log = AttemptLog(wanted, attempt, lambda: self.get(job_id))
            return log.read(self.transport, self._jobs.Logs)

        along = follow and not epoch  # from attempt to attempt
        number = await self._begun(job_id, 0) if along else epoch
        while number or not along:
            async with aclosing(log_of(number)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if not along:
                return
            number = await self._begun(job_id, number)
            wanted = replace(wanted, tail_lines=0, since=0.0)  # of what comes, all

    async def cancel(self, ids: Sequence[str], reason: str = "") -> tuple[Submission, ...]:
        """Cancels jobs and whole arrays; the answer has one entry per job.

        `existed`: it was being cancelled already. Not `accepted`: `failure` says why.
        """
        answers: list[Submission] = []
        for part in _parts(ids):
            request = pb.CancelRequest(ids=part, reason=reason)
            response = await self.transport.call(self._jobs.Cancel, request)
            answers += [submission(pb.JobSubmission(id=r.id), r) for r in response.results]
        return tuple(answers)

    async def explain(self, job_id: str) -> Explained:
        """Why a job is where it is."""
        response = await self.transport.call(self._jobs.Explain, pb.ExplainRequest(id=job_id))
        unusual = response.HasField("condition")
        return Explained(
            job_from_wire(response.job),
            read(Explanation, response.explanation),
            read(Condition, response.condition) if unusual else None,
        )

    async def offers(
        self, accelerator: str = "", num_nodes: int = 0, accelerators_per_node: int = 0
    ) -> tuple[Offer, ...]:
        """What the sites put at the federation's disposal now, for a shape or for any."""
        request = pb.OffersRequest(
            accelerator=accelerator,
            num_nodes=num_nodes,
            accelerators_per_node=accelerators_per_node,
        )
        response = await self.transport.call(self._jobs.Offers, request)
        return read_all(Offer, response.offers)

    async def accelerators(self) -> tuple[Accelerator, ...]:
        """The models that the broker knows."""
        response = await self.transport.call(self._jobs.Accelerators, pb.AcceleratorsRequest())
        return read_all(Accelerator, response.accelerators)

    # --- inside -------------------------------------------------------------

    async def _get(self, job_id: str) -> Any:
        return await self.transport.call(self._jobs.Get, pb.GetRequest(id=job_id))

    async def _begun(self, job_id: str, after: int) -> int:
        """Waits for an attempt later than `after` to begin; 0: the job has ended without."""
        whole_id = (await self.get(job_id)).id
        async with aclosing(self.watch([whole_id])) as jobs:
            async for job in jobs:
                if (epoch := next_attempt(job, after)) or job.state.terminal:
                    return epoch
        raise AssertionError("a watch never ends")

    async def _with_bundles(self, specs: Sequence[JobSpec], directory: Path) -> tuple[JobSpec, ...]:
        """The specs, with their directories sent along; each directory is packed once."""
        sent: dict[str, Bundle] = {}
        for spec in specs:
            place = spec.working_directory
            if not place or spec.bundle or Path(place).is_absolute() or place in sent:
                continue
            archive = await asyncio.to_thread(pack, directory / place)
            sent[place] = await self.put_bundle(archive.data)
        return tuple(
            replace(spec, bundle=sent[spec.working_directory], working_directory="")
            if spec.bundle is None and spec.working_directory in sent
            else spec
            for spec in specs
        )


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + IDS_MAX] for start in range(0, len(ids), IDS_MAX))
