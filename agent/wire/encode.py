"""From what the supervisor wants said to messages for the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.json_format import MessageToDict

from agent.data_messages import SendCache, SendStaging
from agent.reach.tail_messages import SendTails
from agent.supervisor.messages import (
    SendCapacity,
    SendHeartbeat,
    SendHello,
    SendReconcile,
    SendReports,
)
from agent.supervisor.values import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    AttemptId,
    Failure,
    Held,
    Phase,
    Report,
    ReportKind,
)
from agent.wire.data import cache_to_wire, commit_to_wire, staging_to_wire
from agent.wire.tails import tails_to_wire
from suan.v1 import job_pb2, session_pb2, site_pb2
from suan.wire import pool_to_wire

ATTEMPTS_PER_MESSAGE_MAX = 20_000  # named in one message: about a MiB

Send = (
    SendHello
    | SendReconcile
    | SendHeartbeat
    | SendCapacity
    | SendReports
    | SendCache
    | SendStaging
    | SendTails
)
Message = session_pb2.AgentMessage

_PHASES = {
    Phase.ACCEPTED: job_pb2.ATTEMPT_STATE_OFFERED,
    Phase.RUNNING: job_pb2.ATTEMPT_STATE_RUNNING,
    Phase.PUBLISHING: job_pb2.ATTEMPT_STATE_RUNNING,  # its end is still to be told
    Phase.ENDED: job_pb2.ATTEMPT_STATE_ENDED,
}
_KINDS = {
    ReportKind.REJECTED: session_pb2.REPORT_KIND_REJECTED,
    ReportKind.STARTED: session_pb2.REPORT_KIND_STARTED,
    ReportKind.RELEASED: session_pb2.REPORT_KIND_RELEASED,
    ReportKind.COMMITTED: session_pb2.REPORT_KIND_COMMITTED,
    ReportKind.ENDED: session_pb2.REPORT_KIND_ENDED,
}


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """A part of one rank's output, or why there is none."""

    request_id: str
    data: bytes = b""
    next_offset: int = 0
    at_end: bool = False  # nothing more will come
    ranks: int = 0  # how many the attempt has
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class SiteProfile:
    """What the site says of itself, beyond its cards."""

    site: str
    agent_id: str  # of the state directory
    boot_id: str
    city: str
    region: str = ""
    pue: float = 0.0
    grid_kg_per_kwh: float = 0.0
    failures_per_card_day: float = 0.0
    restart_seconds: float = 0.0
    checkpoint_gb_per_second: float = 0.0
    egress_yuan_per_gb: float = 0.0
    runs_images: bool = False
    has_store: bool = False
    tenants_allowed: tuple[str, ...] = ()
    tenants_denied: tuple[str, ...] = ()
    time_limit_seconds_max: float = 0.0
    agent_version: str = ""
    backend: str = ""


def encode(send: Send, profile: SiteProfile) -> Message:
    """The message that says `send`."""
    return _ENCODERS[type(send)](send, profile)


def encode_parts(send: Send, profile: SiteProfile) -> Iterator[Message]:
    """The messages that say `send`: a long list of attempts goes on in Reconcile messages.

    A broker that does not know of parts answers each for itself; what it then expects of the
    attempts in the others is no promise, for they are held here.
    """
    if not isinstance(send, SendHello | SendReconcile):
        yield encode(send, profile)
        return
    listed, size = send.attempts, ATTEMPTS_PER_MESSAGE_MAX
    first = encode(replace(send, attempts=listed[:size]), profile)
    (first.hello if isinstance(send, SendHello) else first.reconcile).more = len(listed) > size
    yield first
    seen = send.grant_seq_seen if isinstance(send, SendReconcile) else 0
    for start in range(size, len(listed), size):
        part = _reconcile(SendReconcile(send.session, listed[start : start + size], seen), profile)
        part.reconcile.more = start + size < len(listed)
        yield part


def readable(message: Message) -> dict[str, Any]:
    """A message as plain values, by the names of its fields."""
    return MessageToDict(message, preserving_proto_field_name=True)


def _hello(send: SendHello, profile: SiteProfile) -> Message:
    return Message(
        hello=session_pb2.Hello(
            site=profile.site,
            session=send.session,
            boot_id=profile.boot_id,
            term_seen=send.term_seen,
            attempts=_held(send.attempts),
            capacity=_capacity_body(send.capacity),
            facts=_facts(profile, send.capacity),
            protocol=PROTOCOL_MAX,
            protocol_min=PROTOCOL_MIN,
            report_seq_head=send.report_seq_head,
            agent_id=profile.agent_id,
        )
    )


def _reconcile(send: SendReconcile, profile: SiteProfile) -> Message:
    return Message(
        reconcile=session_pb2.Reconcile(
            session=send.session,
            attempts=_held(send.attempts),
            grant_seq_seen=send.grant_seq_seen,
        )
    )


def _heartbeat(send: SendHeartbeat, profile: SiteProfile) -> Message:
    return Message(
        heartbeat=session_pb2.Heartbeat(
            session=send.session,
            seq=send.seq,
            digest=send.digest,
            grant_seq_seen=send.grant_seq_seen,
            report_seq_head=send.report_seq_head,
            extended_seq=send.extended_seq,
        )
    )


def _capacity(send: SendCapacity, profile: SiteProfile) -> Message:
    body = _capacity_body(send)
    if send.full:
        body.facts.CopyFrom(_facts(profile, send))
    return Message(capacity=body)


def _reports(send: SendReports, profile: SiteProfile) -> Message:
    reports = [_report(report) for report in send.reports]
    return Message(
        reports=session_pb2.Reports(
            session=send.session, reports=reports, report_seq_tail=send.report_seq_tail
        )
    )


_ENCODERS: dict[type[Send], Callable[[Any, SiteProfile], Message]] = {
    SendHello: _hello,
    SendReconcile: _reconcile,
    SendHeartbeat: _heartbeat,
    SendCapacity: _capacity,
    SendReports: _reports,
    SendCache: lambda send, _: cache_to_wire(send),
    SendStaging: lambda send, _: staging_to_wire(send),
    SendTails: lambda send, _: tails_to_wire(send),
}


def _held(attempts: Iterable[Held]) -> list[session_pb2.HeldAttempt]:
    return [
        session_pb2.HeldAttempt(
            id=_id(held.id),
            state=_PHASES[held.phase],
            remaining_seconds=held.remaining_seconds,
        )
        for held in attempts
    ]


def _id(id: AttemptId) -> session_pb2.AttemptId:
    return session_pb2.AttemptId(job_id=id.job_id, epoch=id.epoch)


def _capacity_body(send: SendCapacity) -> session_pb2.Capacity:
    return session_pb2.Capacity(
        session=send.session,
        seq=send.seq,
        pools=[pool_to_wire(pool) for pool in send.pools],
        reflects_grant_seq=send.reflects_grant_seq,
        full=send.full,
    )


def _facts(profile: SiteProfile, send: SendCapacity) -> site_pb2.SiteFacts:
    return site_pb2.SiteFacts(
        city=profile.city,
        region=profile.region,
        pue=profile.pue,
        grid_kg_per_kwh=profile.grid_kg_per_kwh,
        failures_per_card_day=profile.failures_per_card_day,
        restart_seconds=profile.restart_seconds,
        checkpoint_gb_per_second=profile.checkpoint_gb_per_second,
        egress_yuan_per_gb=profile.egress_yuan_per_gb,
        runs_images=profile.runs_images,
        has_store=profile.has_store,
        tenants_allowed=profile.tenants_allowed,
        tenants_denied=profile.tenants_denied,
        time_limit_seconds_max=profile.time_limit_seconds_max,
        agent_version=profile.agent_version,
        backend=profile.backend,
        paused=send.paused,
        rules=send.rules,
    )


def _report(report: Report) -> session_pb2.Report:
    message = session_pb2.Report(
        report_seq=report.report_seq,
        id=session_pb2.AttemptId(job_id=report.job_id, epoch=report.epoch),
        kind=_KINDS[report.kind],
        at=report.at,
        exit_code=report.exit_code,
        outcome=report.outcome,
    )
    if report.failure is not None:
        message.failure.CopyFrom(_failure(report.failure))
    if report.commit is not None:
        message.commit.CopyFrom(commit_to_wire(report.commit))
    return message


def log_chunk(session: str, answer: LogAnswer) -> Message:
    """The answer to a log request."""
    chunk = session_pb2.LogChunk(
        session=session,
        request_id=answer.request_id,
        data=answer.data,
        next_offset=answer.next_offset,
        at_end=answer.at_end,
        ranks=answer.ranks,
    )
    if answer.failure is not None:
        chunk.failure.CopyFrom(_failure(answer.failure))
    return Message(log_chunk=chunk)


def _failure(failure: Failure) -> job_pb2.Failure:
    return job_pb2.Failure(category=failure.category, code=failure.code, message=failure.message)
