"""The agent's peer in tests: a real gRPC server that says what a test tells it to say.

Answers Hello, heartbeats and reports by itself unless told otherwise; keeps all it heard.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import grpc.aio

from suan.errors import NotFound
from suan.models import Bundle, JobSpec, Launch, Variant
from suan.status import encode
from suan.v1 import agents_service_pb2, agents_service_pb2_grpc, session_pb2
from suan.wire import spec_bytes

PATIENCE_SECONDS = 30.0  # a bound on hanging, far above what anything here takes
T = TypeVar("T")


@dataclass(slots=True)
class Talk:
    """One session as the broker sees it."""

    hello: session_pb2.Hello
    heard: list[session_pb2.AgentMessage] = field(default_factory=list)
    outgoing: asyncio.Queue[session_pb2.BrokerMessage | None] = field(default_factory=asyncio.Queue)
    heartbeat_seq: int = 0
    over: bool = False

    def say(self, **body: Any) -> None:
        self.outgoing.put_nowait(session_pb2.BrokerMessage(**body))

    def end(self) -> None:
        """Close the stream from this side."""
        self.outgoing.put_nowait(None)


class ScriptedBroker(agents_service_pb2_grpc.AgentsServicer):
    """The broker's side of `Agents`, as far as sessions and bundles go."""

    def __init__(self) -> None:
        self.talks: list[Talk] = []
        self.bundles: dict[str, bytes] = {}
        self.heartbeat_seconds = 0.1
        self.judging = self.replying = self.acknowledging = True
        self.goodbye = ""
        self.address = ""
        self.term = 1
        self.grant_seq = 0
        self._changed = asyncio.Condition()

    @property
    def talk(self) -> Talk:
        return self.talks[-1]

    # --- what the agent calls ----------------------------------------------------

    async def Session(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        first = await anext(aiter(request_iterator))
        talk = Talk(first.hello)
        self.talks.append(talk)
        await self._tell_waiters()
        if self.goodbye:
            yield session_pb2.BrokerMessage(
                goodbye=session_pb2.Goodbye(code=self.goodbye, message="said the test")
            )
            return
        if self.judging:
            self._judge(talk)
        reader = asyncio.create_task(self._read(request_iterator, talk))
        try:
            while (message := await talk.outgoing.get()) is not None:
                yield message
        finally:
            talk.over = True
            reader.cancel()
            await self._tell_waiters()

    async def GetBundle(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.sha256 not in self.bundles:
            await context.abort(*encode(NotFound("no such bundle", "", "BundleNotFound")))
        return agents_service_pb2.GetBundleResponse(data=self.bundles[request.sha256])

    async def _read(self, requests: Any, talk: Talk) -> None:
        try:
            async for message in requests:
                talk.heard.append(message)
                self._answer(talk, message)
                await self._tell_waiters()
        finally:
            talk.end()

    def _judge(self, talk: Talk) -> None:
        talk.say(
            verdicts=session_pb2.Verdicts(
                session=talk.hello.session,
                term=self.term,
                keep=[held.id for held in talk.hello.attempts],
                heartbeat_seconds=self.heartbeat_seconds,
                hello=True,
            )
        )

    def _answer(self, talk: Talk, message: session_pb2.AgentMessage) -> None:
        session = talk.hello.session
        kind = message.WhichOneof("body")
        if kind == "heartbeat" and self.replying:
            talk.heartbeat_seq = message.heartbeat.seq
            talk.say(
                heartbeat_reply=session_pb2.HeartbeatReply(
                    session=session, seq=message.heartbeat.seq, term=self.term
                )
            )
        if kind == "reports" and self.acknowledging:
            last = message.reports.reports[-1].report_seq
            talk.say(report_ack=session_pb2.ReportAck(session=session, report_seq=last))

    # --- what a test says ----------------------------------------------------------

    def grant(
        self,
        *jobs: tuple[str, int],
        spec: JobSpec | None = None,
        pool: str = "train",
        cards: int = 1,
        lease_class: str = "restart",
        lease_seconds: float = 600.0,
        with_spec: bool = True,
        data: Mapping[str, str] | None = None,
    ) -> None:
        """Grant these attempts, each of one node."""
        wish = spec_bytes(spec or job())
        digest = hashlib.sha256(wish).hexdigest()
        grants = []
        for job_id, epoch in jobs:
            self.grant_seq += 1
            grants.append(
                session_pb2.Grant(
                    id=session_pb2.AttemptId(job_id=job_id, epoch=epoch),
                    grant_seq=self.grant_seq,
                    anchor_seq=self.talk.heartbeat_seq,
                    pool=pool,
                    slices=[session_pb2.Slice(supernode=f"{pool}-0", num_nodes=1, cards=cards)],
                    tenant="team-a",
                    name="job",
                    spec_sha256=digest,
                    lease_class=lease_class,
                    lease_seconds=lease_seconds,
                    data=data or {},
                )
            )
        self.talk.say(
            grants=session_pb2.Grants(
                session=self.talk.hello.session,
                term=self.term,
                grants=grants,
                specs={digest: wish} if with_spec else {},
            )
        )

    def stop(self, job_id: str, epoch: int, reason: str) -> None:
        id = session_pb2.AttemptId(job_id=job_id, epoch=epoch)
        stops = [session_pb2.Stop(id=id, reason=reason)]
        self.talk.say(stops=session_pb2.Stops(session=self.talk.hello.session, stops=stops))

    async def read_log(self, job_id: str, epoch: int, **fields: Any) -> session_pb2.LogChunk:
        request_id = str(len(self.talk.heard))
        id = session_pb2.AttemptId(job_id=job_id, epoch=epoch)
        asked = {"stream": "stdout", "limit_bytes": 65_536} | fields
        self.talk.say(log_request=session_pb2.LogRequest(request_id=request_id, id=id, **asked))

        def answer() -> session_pb2.LogChunk | None:
            chunks = (message.log_chunk for message in self.talk.heard)
            return next((chunk for chunk in chunks if chunk.request_id == request_id), None)

        return await self.until(answer)

    # --- what a test waits for -------------------------------------------------------

    def reports(self, job_id: str = "") -> list[session_pb2.Report]:
        """All reports heard, in all sessions, each number once."""
        found = {
            report.report_seq: report
            for talk in self.talks
            for message in talk.heard
            for report in message.reports.reports
            if job_id in ("", report.id.job_id)
        }
        return [found[number] for number in sorted(found)]

    def told(self, job_id: str) -> list[str]:
        """What was reported of a job: started, or how it ended."""
        return [report.outcome or "started" for report in self.reports(job_id)]

    async def until(self, condition: Callable[[], T | None]) -> T:
        """Wait until the condition holds; its value."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            while not (value := condition()):
                await self._changed.wait()
        return value

    async def connected(self, sessions: int = 1) -> Talk:
        """The newest session, once there were so many and it has sent a heartbeat."""
        await self.until(
            lambda: (
                len(self.talks) >= sessions
                and any(message.HasField("heartbeat") for message in self.talk.heard)
            )
        )
        return self.talk

    async def _tell_waiters(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def serving(broker: ScriptedBroker, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """The broker, reachable without TLS on loopback; its address."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    agents_service_pb2_grpc.add_AgentsServicer_to_server(broker, server)
    port = server.add_insecure_port(address)
    await server.start()
    broker.address = f"127.0.0.1:{port}"
    try:
        yield broker.address
    finally:
        await server.stop(None)


def job(
    run: str = "true",
    *,
    environment: Iterable[tuple[str, str]] = (),
    bundle: bytes = b"",
    launch: Launch = Launch.PER_NODE,
    cards: int = 1,
    **fields: Any,
) -> JobSpec:
    """A job of one node."""
    archive = Bundle(hashlib.sha256(bundle).hexdigest(), len(bundle)) if bundle else None
    return JobSpec(
        variants=(Variant("ascend-910b", 1, cards, run=run),),
        environment=tuple(environment),
        bundle=archive,
        launch=launch,
        **fields,
    )
