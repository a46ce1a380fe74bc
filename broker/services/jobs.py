"""`Jobs`: what AI engineers use. Translates and enqueues; decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from broker.core.datasets import foreign
from broker.core.messages import Cancel, Done, PutBundle, Results
from broker.core.queue import class_key
from broker.core.rows import Bundle, Job
from broker.leader import Port
from broker.queries import GetJob, JobFound, JobPage, ListJobs, ListSites, SiteView
from broker.services import jobs_wire
from broker.services.answers import Context, granted, stream, unary
from broker.services.auth import principal_of
from broker.services.bundles import checked_bundle
from broker.services.commands import Commands, require_command_right
from broker.services.files import Files
from broker.services.logs import read_logs
from broker.services.offers import offers_of
from broker.services.roles import Sight, sight_of_job
from broker.services.specs import read_spec
from broker.services.submitting import Submissions
from broker.services.watching import Watching, parts
from scheduler.model import Explanation, Verdict
from suan import catalogue
from suan.errors import InvalidRequest, NotFound, PermissionDenied
from suan.identity.principal import Principal, Role
from suan.v1 import accelerator_pb2, jobs_service_pb2, jobs_service_pb2_grpc

PAGE_SIZE = 100
PAGE_SIZE_MAX = 1_000
IDS_MAX = 1_000
RESPONSE_BYTES_MAX = 2 << 20  # of jobs in one page; the page ends there


class Jobs(jobs_service_pb2_grpc.JobsServicer):
    """Bound to a leader's port."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._submissions = Submissions(port)
        self._watching = Watching(port)
        self._files = Files(port)
        self._commands = Commands(port)

    @unary
    async def Submit(self, request: Any, context: Context) -> Any:  # noqa: N802
        results = await self._submissions.submit(request, principal_of(context))
        return jobs_service_pb2.SubmitResponse(
            results=[jobs_wire.result_to_wire(result) for result in results]
        )

    @unary
    async def Get(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = principal_of(context)
        found = await self._find(request.id, caller)
        assert found.job is not None and found.spec is not None
        whole = _sight(caller, found.job) is Sight.WHOLE
        return jobs_service_pb2.GetResponse(
            job=jobs_wire.job_to_wire(found.job, found.staging),
            spec=found.spec.data if whole else b"",
        )

    @unary
    async def List(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = principal_of(context)
        if request.all_tenants and caller.role not in (Role.ADMIN, Role.AUDITOR):
            raise PermissionDenied("only administrators and auditors see all tenants' jobs")
        if len(request.ids) > IDS_MAX:
            raise InvalidRequest(f"at most {IDS_MAX} ids in one request")
        query = ListJobs(
            tenant=caller.tenant,
            page_size=min(request.page_size or PAGE_SIZE, PAGE_SIZE_MAX),
            before=request.page_token,
            states=tuple(jobs_wire.JOB_STATES_BY_WIRE[s] for s in request.states if s),
            site=caller.site or request.site,
            array_id=request.array_id,
            name_prefix=request.name_prefix,
            ids=tuple(request.ids),
        )
        page: JobPage = await self._port.read(query)
        fitting: list[Any] = next(parts(page.jobs, RESPONSE_BYTES_MAX), [])
        cut = len(fitting) < len(page.jobs)
        return jobs_service_pb2.ListResponse(
            jobs=fitting,
            next_page_token=fitting[-1].id if cut else page.next_before,
            revision=page.revision,
        )

    @stream
    async def Watch(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802
        if len(request.ids) > IDS_MAX:
            raise InvalidRequest(f"at most {IDS_MAX} ids in one request")
        caller, token = principal_of(context), request.resume_token
        async with aclosing(self._watching.watch(caller, request.ids, token)) as responses:
            async for response in responses:
                yield response

    @unary
    async def Cancel(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = principal_of(context)
        if len(request.ids) > IDS_MAX:
            raise InvalidRequest(f"at most {IDS_MAX} ids in one request")
        event = Cancel(tuple(request.ids), caller.tenant, caller.uri, request.reason[:200])
        results = granted(await self._port.post(event), Results).results
        return jobs_service_pb2.CancelResponse(
            results=[jobs_wire.result_to_wire(result) for result in results]
        )

    @stream
    async def Logs(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802
        caller = principal_of(context)
        found = await self._find(request.id, caller)
        assert found.job is not None
        if _sight(caller, found.job) is not Sight.WHOLE:
            raise PermissionDenied("the logs of a job are its tenant's own")
        async for response in read_logs(self._port, found.job, request):
            yield response

    @unary
    async def ListFiles(self, request: Any, context: Context) -> Any:  # noqa: N802
        return await self._files.list(await self._own(request.id, context), request)

    @stream
    async def ReadFile(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802
        async with aclosing(
            self._files.read(await self._own(request.id, context), request)
        ) as responses:
            async for response in responses:
                yield response

    @stream
    async def Exec(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802
        caller, job = principal_of(context), await self._own(request.id, context)
        require_command_right(caller, job)
        async with aclosing(self._commands.run(job, request, caller)) as responses:
            async for response in responses:
                yield response

    @unary
    async def SendInput(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller, job = principal_of(context), await self._own(request.id, context)
        require_command_right(caller, job)
        return await self._commands.send_input(job, request, caller)

    @unary
    async def Explain(self, request: Any, context: Context) -> Any:  # noqa: N802
        found = await self._find(request.id, principal_of(context))
        assert found.job is not None and found.spec is not None
        key = class_key(found.job, found.spec)
        explanation, decided_at = await self._port.explain(key, found.job.id)
        explanation = explanation or Explanation(Verdict.WAIT, 0, 0)
        return jobs_service_pb2.ExplainResponse(
            job=jobs_wire.job_to_wire(found.job, found.staging),
            explanation=jobs_wire.explanation_to_wire(explanation, decided_at),
            condition=jobs_wire.condition_to_wire(found.condition),
        )

    @unary
    async def Plan(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = principal_of(context)
        spec = read_spec(request.spec)
        granted(foreign(caller.tenant, spec) or Done(), Done)
        explanation = await self._port.plan(spec.demand, caller.tenant)
        return jobs_service_pb2.PlanResponse(
            explanation=jobs_wire.explanation_to_wire(explanation, 0.0)
        )

    @unary
    async def Offers(self, request: Any, context: Context) -> Any:  # noqa: N802
        sites: tuple[SiteView, ...] = await self._port.read(ListSites())
        return jobs_service_pb2.OffersResponse(offers=offers_of(sites, request))

    @unary
    async def Accelerators(self, request: Any, context: Context) -> Any:  # noqa: N802
        entries = catalogue.load()
        return jobs_service_pb2.AcceleratorsResponse(
            accelerators=[_accelerator(entries.get(model)) for model in entries.models()]
        )

    @unary
    async def PutBundle(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = principal_of(context)
        digest = checked_bundle(request.data)
        bundle = Bundle(digest, request.data, caller.tenant, 0.0)
        granted(await self._port.post(PutBundle(bundle)), Done)
        response = jobs_service_pb2.PutBundleResponse()
        response.bundle.sha256 = digest
        response.bundle.size_bytes = len(request.data)
        return response

    async def _own(self, wanted: str, context: Context) -> Job:
        """A job whose run the caller may look into. Raises NotFound, PermissionDenied."""
        caller = principal_of(context)
        found = await self._find(wanted, caller)
        assert found.job is not None
        if _sight(caller, found.job) is not Sight.WHOLE:
            raise PermissionDenied("the run of a job is its tenant's own")
        return found.job

    async def _find(self, wanted: str, caller: Principal) -> JobFound:
        """The job that `wanted` names, when the caller may see it. Raises NotFound."""
        found: JobFound = await self._port.read(GetJob(wanted, caller.tenant))
        if found.matches > 1:
            raise InvalidRequest(
                f"{wanted} fits {found.matches} jobs", "give more of the id", "JobIdAmbiguous"
            )
        if found.job is None or _sight(caller, found.job) is Sight.NONE:
            raise NotFound(f"no job {wanted[:80]}", "see `suan ps`", "JobNotFound")
        return found


def _sight(caller: Principal, job: Job) -> Sight:
    return sight_of_job(caller, job.tenant, {attempt.site for attempt in job.attempts})


def _accelerator(entry: Any) -> accelerator_pb2.Accelerator:
    return accelerator_pb2.Accelerator(
        model=entry.model,
        vendor=entry.vendor,
        kind=entry.kind,
        dies_per_card=entry.dies_per_card,
        memory_gib=entry.memory_gib,
        memory_tb_per_second=entry.memory_tb_per_second,
        peak_tflops={name.value: value for name, value in entry.peak_tflops},
        supernode_cards=entry.supernode_cards,
        power_watts=entry.power_watts,
    )
