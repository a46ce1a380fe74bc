"""A small broker for tests of the SDK and the CLI: real gRPC, real certificates, few rules.

It keeps jobs and their changes in memory, and does as it is told by the test: `fail` ends
the next call of a method, before its effect or after; `cut` breaks its next stream after
so many responses. What a broker decides is tested with the broker itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from suan.errors import NotFound, SuanError, Unavailable
from suan.identity.directory import load_identity
from suan.identity.issue import initialise, issue
from suan.identity.principal import Principal, Role
from suan.status import encode
from suan.v1 import admin_service_pb2 as admin_pb
from suan.v1 import admin_service_pb2_grpc, job_pb2, jobs_service_pb2_grpc, network_pb2
from suan.v1 import jobs_service_pb2 as pb

TENANT = "team-a"
RUNNING, ENDED = job_pb2.ATTEMPT_STATE_RUNNING, job_pb2.ATTEMPT_STATE_ENDED
TERMINAL = {
    job_pb2.JOB_STATE_SUCCEEDED,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
}


@dataclass(frozen=True)
class Fault:
    """An error that ends a call, by the broker (`error`) or as the transport would (`status`)."""

    error: SuanError | None = None
    status: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    after: bool = False  # the effect is there, its answer is lost
    meanwhile: Callable[[], None] | None = None  # what happens just before it

    async def strike(self, context: Any) -> None:
        if self.meanwhile:
            self.meanwhile()
        if self.error:
            await context.abort(*encode(self.error))
        await context.abort(self.status, "the connection broke")


class StandIn(jobs_service_pb2_grpc.JobsServicer, admin_service_pb2_grpc.AdminServicer):
    """What it keeps is open to the test; change it with `change`, so that watchers hear."""

    def __init__(self) -> None:
        self.jobs: dict[str, job_pb2.Job] = {}
        self.specs: dict[str, bytes] = {}
        self.bundles: dict[str, bytes] = {}
        self.requests: list[tuple[str, Any]] = []
        self.explanation = pb.Explanation(verdict="wait")
        self.offers: list[pb.Offer] = []
        self.logs: dict[tuple[int, int, str], bytes] = {}  # (epoch, rank, stream)
        self.logs_open: set[int] = set()  # epochs whose log may still grow
        self.logs_lost: set[int] = set()  # epochs whose site is away
        self.logs_kept: dict[int, bytes] = {}  # of such an epoch, what the site had sent
        self.refusals: dict[str, str] = {}  # job name -> code
        self.sites: dict[str, Any] = {}
        self.audit: list[admin_pb.AuditEntry] = []
        self.pending: list[admin_pb.PendingJoin] = []
        self.datasets: dict[str, Any] = {}
        self.tenants: dict[str, Any] = {}
        self.network = network_pb2.Network()
        self.ca_pem = b""
        self.join_address = "127.0.0.1:1"
        self.on_watch: Callable[[], object] = lambda: None
        self._changes: list[job_pb2.Job] = []
        self._changed = asyncio.Event()
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._cuts: dict[str, deque[int]] = defaultdict(deque)

    # --- what a test may do (in the server's loop, see `Served.do`) ----------

    def fail(self, method: str, *faults: Fault) -> None:
        self._faults[method].extend(faults)

    def remember(self, before: StandIn) -> None:
        """What was durable in a broker that ended is still there in the next."""
        self.jobs, self.specs, self._changes = before.jobs, before.specs, before._changes

    def forgive(self) -> None:
        self._faults.clear()

    def cut(self, method: str, *after: int) -> None:
        self._cuts[method].extend(after)

    def change(self, job_id: str, **fields: Any) -> None:
        """Sets fields of a job and tells the watchers."""
        job = self.jobs[job_id]
        for name, value in fields.items():
            if isinstance(value, list):
                del getattr(job, name)[:]
                getattr(job, name).extend(value)
            elif isinstance(value, job_pb2.Failure):
                getattr(job, name).CopyFrom(value)
            else:
                setattr(job, name, value)
        self._publish(job)

    def begin(self, job_id: str, site: str = "shenzhen", cards: int = 1) -> None:
        """The job's next attempt runs."""
        job = self.jobs[job_id]
        for attempt in job.attempts:
            attempt.state = ENDED
        job.attempts.add(
            epoch=len(job.attempts) + 1,
            state=RUNNING,
            site=site,
            pool=f"{site}/npu",
            accelerator="ascend-910b",
            cards=cards,
            num_nodes=1,
            placed_at=job.submitted_at + 1,
            started_at=job.submitted_at + 2,
        )
        self.change(job_id, state=job_pb2.JOB_STATE_RUNNING)

    def end(self, job_id: str, exit_code: int = 0, state: str = "", code: str = "") -> None:
        """The job ends, with its last attempt if there is one."""
        job = self.jobs[job_id]
        named = state or ("SUCCEEDED" if exit_code == 0 else "FAILED")
        for attempt in job.attempts[-1:]:
            attempt.state = ENDED
            attempt.ended_at = attempt.started_at + 60
            attempt.exit_code = exit_code
            self.logs_open.discard(attempt.epoch)
        if code:
            job.failure.CopyFrom(job_pb2.Failure(category="user", code=code, message="it broke"))
        self.change(
            job_id, state=job_pb2.JobState.Value(f"JOB_STATE_{named}"), exit_code=exit_code,
            finished_at=job.submitted_at + 62,
        )  # fmt: skip

    def _publish(self, job: job_pb2.Job) -> None:
        job.revision += 1
        copy = job_pb2.Job()
        copy.CopyFrom(job)
        self._changes.append(copy)
        self._changed.set()
        self._changed = asyncio.Event()

    def count(self, method: str) -> int:
        return sum(1 for name, _ in self.requests if name == method)

    # --- Jobs ----------------------------------------------------------------

    async def _unary(self, method: str, request: Any, context: Any, work: Callable[[], Any]) -> Any:
        self.requests.append((method, request))
        fault = self._faults[method].popleft() if self._faults[method] else None
        if fault and not fault.after:
            await fault.strike(context)
        try:
            answer = work()
        except SuanError as error:
            await context.abort(*encode(error))
        if fault:
            await fault.strike(context)
        return answer

    async def Submit(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._unary("Submit", request, context, lambda: self._submit(request))

    def _submit(self, request: Any) -> Any:
        results = []
        for item in request.jobs:
            name = job_pb2.JobSpec.FromString(item.spec).name
            if code := self.refusals.get(name):
                refusal = job_pb2.Failure(category="policy", code=code, message="no room")
                results.append(pb.SubmitResult(id=item.id, refusal=refusal, hint="wait"))
                continue
            existed = item.id in self.jobs
            if not existed:
                self.specs[item.id] = item.spec
                self.jobs[item.id] = job_pb2.Job(
                    id=item.id,
                    name=name,
                    tenant=TENANT,
                    user="li.wei",
                    state=job_pb2.JOB_STATE_QUEUED,
                    submitted_at=1_700_000_000.0 + len(self.jobs),
                    array_id=item.array_id,
                    array_index=item.array_index,
                    spec_sha256=hashlib.sha256(item.spec).hexdigest(),
                )
                self._publish(self.jobs[item.id])
            results.append(pb.SubmitResult(id=item.id, accepted=True, existed=existed))
        return pb.SubmitResponse(results=results)

    def _job(self, wanted: str) -> job_pb2.Job:
        fits = [job for key, job in self.jobs.items() if wanted and key.endswith(wanted)]
        if len(fits) != 1:
            raise NotFound(f"no job {wanted}", "see `suan ps`", "JobNotFound")
        return fits[0]

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        def answer() -> Any:
            job = self._job(request.id)
            return pb.GetResponse(job=job, spec=self.specs[job.id])

        return await self._unary("Get", request, context, answer)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._unary("List", request, context, lambda: self._list(request))

    def _list(self, request: Any) -> Any:
        fitting = [
            job
            for job in reversed(self.jobs.values())
            if (not request.states or job.state in request.states)
            and (not request.array_id or job.array_id == request.array_id)
            and job.name.startswith(request.name_prefix)
        ]
        first = int(request.page_token or 0)
        page = fitting[first : first + (request.page_size or 100)]
        after = first + len(page)
        token = str(after) if after < len(fitting) else ""
        return pb.ListResponse(jobs=page, next_page_token=token)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.requests.append(("Watch", pb.WatchRequest.FromString(request.SerializeToString())))
        wanted = set(request.ids)

        def seen(job: Any) -> bool:
            return not wanted or job.id in wanted or job.array_id in wanted

        left = self._cuts["Watch"].popleft() if self._cuts["Watch"] else -1
        after = int(request.resume_token) if request.resume_token else len(self._changes)
        self.on_watch()
        if not request.resume_token:
            present = [job for job in self.jobs.values() if seen(job)]
            yield pb.WatchResponse(jobs=present, resume_token=str(after), reset=True)
            left -= 1
        while True:
            if left == 0:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
            changed = self._changed
            if after == len(self._changes):
                await changed.wait()
            job = self._changes[after]
            after += 1
            if seen(job):
                yield pb.WatchResponse(jobs=[job], resume_token=str(after))
                left -= 1

    async def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        def answer() -> Any:
            for job_id in request.ids:
                self.end(job_id, state="CANCELLED", code="Cancelled")
            return pb.CancelResponse(
                results=[pb.SubmitResult(id=each, accepted=True) for each in request.ids]
            )

        return await self._unary("Cancel", request, context, answer)

    async def Logs(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.requests.append(("Logs", request))
        if self._faults["Logs"]:
            await self._faults["Logs"].popleft().strike(context)
        left = self._cuts["Logs"].popleft() if self._cuts["Logs"] else -1
        job = self._job(request.id)
        epoch = request.epoch or len(job.attempts)
        waits = request.follow or request.site_only
        if epoch in self.logs_lost and epoch in self.logs_kept and not waits:
            begin = max((each.offset for each in request.after), default=0)
            note = pb.KeptLog(code="SiteAway", site="east", at=1.8e9)
            data = self.logs_kept[epoch][begin:]
            yield pb.LogsResponse(stream="stdout", data=data, epoch=epoch, offset=begin, kept=note)
            return
        if epoch in self.logs_lost:
            await context.abort(*encode(Unavailable("not connected now", "wait", "SiteAway")))
        sent = {(each.rank, each.stream): each.offset for each in request.after}
        while True:
            changed = self._changed
            ended = epoch not in self.logs_open
            for (of, rank, stream), data in sorted(self.logs.items()):
                if of != epoch or (request.HasField("rank") and request.rank != rank):
                    continue
                tail = b"".join(data.splitlines(True)[-(request.tail_lines or len(data)) :])
                begin = sent.setdefault((rank, stream), len(data) - len(tail))
                for start in range(begin, max(len(data), begin + 1), 4):  # small parts
                    if left == 0:
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
                    part = data[start : start + 4]
                    yield pb.LogsResponse(
                        rank=rank, stream=stream, data=part, epoch=epoch, offset=start
                    )
                    left -= 1
                sent[rank, stream] = len(data)
            if ended or not request.follow:
                return
            await changed.wait()

    async def Explain(self, request: Any, context: Any) -> Any:  # noqa: N802
        def answer() -> Any:
            return pb.ExplainResponse(job=self._job(request.id), explanation=self.explanation)

        return await self._unary("Explain", request, context, answer)

    async def Plan(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = pb.PlanResponse(explanation=self.explanation)
        return await self._unary("Plan", request, context, lambda: answer)

    async def Offers(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = pb.OffersResponse(offers=self.offers)
        return await self._unary("Offers", request, context, lambda: answer)

    async def PutBundle(self, request: Any, context: Any) -> Any:  # noqa: N802
        digest = hashlib.sha256(request.data).hexdigest()
        self.bundles[digest] = request.data
        response = pb.PutBundleResponse(
            bundle=job_pb2.Bundle(sha256=digest, size_bytes=len(request.data))
        )
        return await self._unary("PutBundle", request, context, lambda: response)

    # --- Admin ---------------------------------------------------------------

    async def ListSites(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = admin_pb.ListSitesResponse(sites=self.sites.values())
        return await self._unary("ListSites", request, context, lambda: answer)

    async def GetSite(self, request: Any, context: Any) -> Any:  # noqa: N802
        def answer() -> Any:
            if request.name not in self.sites:
                raise NotFound(f"no site {request.name!r}", "see `suan site list`", "SiteNotFound")
            return admin_pb.GetSiteResponse(site=self.sites[request.name])

        return await self._unary("GetSite", request, context, answer)

    async def CreateToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = admin_pb.CreateTokenResponse(
            token="abc123." + "x" * 25,
            expires_at=4_000_000_000.0,
            ca_pem=self.ca_pem,
            join_address=self.join_address,
        )
        return await self._unary("CreateToken", request, context, lambda: answer)

    async def ApplyNetwork(self, request: Any, context: Any) -> Any:  # noqa: N802
        changed = request.network != self.network
        if not request.dry_run:
            self.network = request.network
        answer = admin_pb.ApplyNetworkResponse(
            nodes=len(request.network.nodes), links=len(request.network.links), changed=changed
        )
        return await self._unary("ApplyNetwork", request, context, lambda: answer)

    async def GetNetwork(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = admin_pb.GetNetworkResponse(network=self.network)
        return await self._unary("GetNetwork", request, context, lambda: answer)

    async def PutTenant(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.tenants[request.tenant.name] = request.tenant
        answer = admin_pb.PutTenantResponse(tenant=request.tenant)
        return await self._unary("PutTenant", request, context, lambda: answer)

    async def ListTenants(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = admin_pb.ListTenantsResponse(tenants=self.tenants.values())
        return await self._unary("ListTenants", request, context, lambda: answer)

    async def PutDataset(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.datasets[request.dataset.name] = request.dataset
        answer = admin_pb.PutDatasetResponse(dataset=request.dataset)
        return await self._unary("PutDataset", request, context, lambda: answer)

    async def ListDatasets(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = admin_pb.ListDatasetsResponse(datasets=self.datasets.values())
        return await self._unary("ListDatasets", request, context, lambda: answer)

    async def DeleteDataset(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.datasets.pop(request.name, None)
        answer = admin_pb.DeleteDatasetResponse()
        return await self._unary("DeleteDataset", request, context, lambda: answer)

    async def ListPending(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = admin_pb.ListPendingResponse(pending=self.pending)
        return await self._unary("ListPending", request, context, lambda: answer)

    async def Approve(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = admin_pb.ApproveResponse(certificate_expires_at=4_000_000_000.0)
        return await self._unary("Approve", request, context, lambda: answer)

    async def ListAudit(self, request: Any, context: Any) -> Any:  # noqa: N802
        newer = [entry for entry in self.audit if entry.seq > request.after_seq]
        answer = admin_pb.ListAuditResponse(entries=newer[: request.limit])
        return await self._unary("ListAudit", request, context, lambda: answer)


@dataclass(frozen=True)
class Identities:
    """A federation's keys on the disk."""

    authority: Path
    broker: Path
    admin: Path
    user: Path


def identities(folder: Path, federation: str = "demo") -> Identities:
    made = initialise(folder / "federation", federation, ["127.0.0.1:1"])
    user = folder / "user"
    issue(made.authority, Principal(federation, Role.USER, "li.wei", tenant=TENANT), user)
    return Identities(made.authority, made.broker, made.admin, user)


@dataclass(frozen=True)
class Served:
    """A stand-in that serves, in a loop on a thread of its own."""

    broker: StandIn
    address: str
    keys: Identities
    loop: asyncio.AbstractEventLoop

    def do(self, work: Callable[[], Any]) -> Any:
        """Runs `work` in the server's loop and answers its result."""

        async def done() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(10)


@contextmanager
def served(keys: Identities, before: Served | None = None) -> Iterator[Served]:
    """A stand-in on loopback until the context is left; at the port of the one `before`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)  # type: ignore[arg-type]

    port = int(before.address.rpartition(":")[2]) if before else 0
    broker, server, taken = run(_start(keys, port))
    try:
        yield Served(broker, f"127.0.0.1:{taken}", keys, loop)
    finally:
        run(server.stop(0))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _start(keys: Identities, port: int) -> tuple[StandIn, grpc.aio.Server, int]:
    identity = load_identity(keys.broker)
    credentials = grpc.ssl_server_credentials(
        [(identity.key_pem, identity.certificate_pem)], identity.ca_pem, True
    )
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    broker = StandIn()
    broker.ca_pem = identity.ca_pem
    jobs_service_pb2_grpc.add_JobsServicer_to_server(broker, server)
    admin_service_pb2_grpc.add_AdminServicer_to_server(broker, server)
    taken = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    return broker, server, taken
