"""Between the core's messages and those on an agent's session stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from broker.asks import LogAsk, LogPart
from broker.core.data_messages import Prestages
from broker.core.messages import (
    AttemptKey,
    Capacity,
    CapacityReport,
    Event,
    Goodbye,
    Grant,
    Grants,
    Heartbeat,
    HeartbeatReply,
    Held,
    Hello,
    Reconcile,
    Report,
    ReportAck,
    Reports,
    SiteMessage,
    Stops,
    Verdicts,
)
from broker.core.rows import Failure
from broker.services.data_wire import (
    cache_report_from_wire,
    commit_from_wire,
    commit_to_wire,
    prestages_to_wire,
    staging_report_from_wire,
)
from broker.services.sites_wire import facts_from_wire, finite, pool_from_wire
from suan.v1 import job_pb2, session_pb2, site_pb2

T = TypeVar("T")

GRANTS_PER_MESSAGE_MAX = 500
ATTEMPTS_PER_MESSAGE_MAX = 20_000  # named in one message: about a MiB
AGENT_ID_MAX = 128  # characters
SPEC_BYTES_PER_MESSAGE_MAX = 2 << 20
FAILURE_TEXT_MAX = 2_000  # characters of a site's own words that are kept
_REPORT_KINDS: dict[Any, str] = {
    session_pb2.REPORT_KIND_REJECTED: "rejected",
    session_pb2.REPORT_KIND_STARTED: "started",
    session_pb2.REPORT_KIND_ENDED: "ended",
    session_pb2.REPORT_KIND_RELEASED: "released",
    session_pb2.REPORT_KIND_COMMITTED: "committed",
}

# --- up ---------------------------------------------------------------------


def hello_from_wire(message: session_pb2.Hello, gateway: str) -> Hello:
    facts = facts_from_wire(message.site, message.facts)
    return Hello(
        site=message.site,
        session=message.session,
        agent_id=message.agent_id[:AGENT_ID_MAX],
        boot_id=message.boot_id[:AGENT_ID_MAX],
        gateway=gateway,
        held=held_from_wire(message.attempts),
        facts=facts,
        capacity=capacity_from_wire(message.site, message.capacity),
        term_seen=message.term_seen,
        protocols=(message.protocol_min or message.protocol, message.protocol),
    )


def capacity_from_wire(site: str, message: session_pb2.Capacity) -> CapacityReport:
    return CapacityReport(
        seq=message.seq,
        pools=tuple(pool_from_wire(site, pool) for pool in message.pools),
        reflects_grant_seq=message.reflects_grant_seq,
        full=message.full,
        facts=_facts(site, message) if message.HasField("facts") else None,
    )


def _facts(site: str, message: session_pb2.Capacity) -> Any:
    facts: site_pb2.SiteFacts = message.facts
    return facts_from_wire(site, facts)


def held_from_wire(attempts: Iterable[session_pb2.HeldAttempt]) -> tuple[Held, ...]:
    return tuple(
        Held(
            job_id=item.id.job_id,
            epoch=item.id.epoch,
            running=item.state == job_pb2.ATTEMPT_STATE_RUNNING,
            ended=item.state == job_pb2.ATTEMPT_STATE_ENDED,
        )
        for item in attempts
    )


def event_from_wire(site: str, message: session_pb2.AgentMessage) -> Event | None:
    """The core's event for a message after Hello; None for what the core need not see.

    The session is the one that the message names: the core ignores one that is not its own.
    """
    kind = message.WhichOneof("body")
    if kind == "heartbeat":
        beat = message.heartbeat
        return Heartbeat(
            site,
            beat.session,
            beat.seq,
            beat.digest,
            beat.grant_seq_seen,
            beat.report_seq_head,
            beat.extended_seq,
        )
    if kind == "reports":
        reports = message.reports
        return Reports(
            site,
            reports.session,
            tuple(_report(item) for item in reports.reports),
            reports.report_seq_tail,
        )
    if kind == "capacity":
        body = message.capacity
        return Capacity(site, body.session, capacity_from_wire(site, body))
    if kind == "reconcile":
        listed = message.reconcile
        return Reconcile(
            site, listed.session, held_from_wire(listed.attempts), listed.grant_seq_seen
        )
    if kind == "cache_report":
        return cache_report_from_wire(site, message.cache_report)
    if kind == "staging_report":
        return staging_report_from_wire(site, message.staging_report)
    return None


def _report(message: session_pb2.Report) -> Report:
    return Report(
        report_seq=message.report_seq,
        job_id=message.id.job_id,
        epoch=message.id.epoch,
        kind=_REPORT_KINDS.get(message.kind, ""),
        at=finite(message.at),
        outcome=message.outcome,
        exit_code=message.exit_code,
        failure=failure_from_wire(message),
        commit=commit_from_wire(message.commit) if message.HasField("commit") else None,
    )


def failure_from_wire(message: session_pb2.Report | session_pb2.LogChunk) -> Failure | None:
    if not message.HasField("failure"):
        return None
    failure = message.failure
    return Failure(failure.category[:32], failure.code[:64], failure.message[:FAILURE_TEXT_MAX])


def log_part_from_wire(message: session_pb2.LogChunk) -> LogPart:
    return LogPart(
        data=message.data,
        next_offset=message.next_offset,
        at_end=message.at_end,
        ranks=message.ranks,
        failure=failure_from_wire(message),
    )


# --- down -------------------------------------------------------------------


def log_request_to_wire(request_id: str, ask: LogAsk) -> session_pb2.BrokerMessage:
    return session_pb2.BrokerMessage(
        log_request=session_pb2.LogRequest(
            request_id=request_id,
            id=_attempt_id((ask.job_id, ask.epoch)),
            rank=ask.rank,
            stream=ask.stream,
            offset=ask.offset,
            limit_bytes=ask.limit_bytes,
            wait_seconds=ask.wait_seconds,
            since=ask.since,
        )
    )


def message_to_wire(session: str, message: SiteMessage) -> Iterator[session_pb2.BrokerMessage]:
    """The message, in parts where it could outgrow gRPC's limit."""
    return _ENCODERS[type(message)](session, message)


def _attempt_id(key: AttemptKey) -> session_pb2.AttemptId:
    return session_pb2.AttemptId(job_id=key[0], epoch=key[1])


def _ids(keys: Iterable[AttemptKey]) -> list[session_pb2.AttemptId]:
    return [_attempt_id(key) for key in keys]


def _verdicts(session: str, message: Verdicts) -> Iterator[session_pb2.BrokerMessage]:
    """In parts where there are many. Only the last says `hello`: until then nothing begins."""
    parts = list(_verdict_parts(message)) or [session_pb2.Verdicts()]
    for part in parts:
        part.session, part.term, part.protocol = session, message.term, message.protocol
        part.heartbeat_seconds = message.heartbeat_seconds
        part.hello = message.hello and part is parts[-1]
        yield session_pb2.BrokerMessage(verdicts=part)


def _verdict_parts(message: Verdicts) -> Iterator[session_pb2.Verdicts]:
    part, room = session_pb2.Verdicts(), ATTEMPTS_PER_MESSAGE_MAX
    for name in ("stop", "acknowledge", "expect", "keep"):
        for keys in _batched(getattr(message, name), ATTEMPTS_PER_MESSAGE_MAX):
            if len(keys) > room:
                yield part
                part, room = session_pb2.Verdicts(), ATTEMPTS_PER_MESSAGE_MAX
            getattr(part, name).extend(_ids(keys))
            room -= len(keys)
    if room < ATTEMPTS_PER_MESSAGE_MAX:
        yield part


def _batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _heartbeat_reply(session: str, message: HeartbeatReply) -> Iterator[session_pb2.BrokerMessage]:
    yield session_pb2.BrokerMessage(
        heartbeat_reply=session_pb2.HeartbeatReply(
            session=session,
            seq=message.seq,
            term=message.term,
            reconcile=message.reconcile,
            stop=_ids(message.stop),
            heartbeat_seconds=message.heartbeat_seconds,
            extension_seconds=message.extension_seconds,
        )
    )


def _grants(session: str, message: Grants) -> Iterator[session_pb2.BrokerMessage]:
    """Specs go ahead of the first grant that needs them; both in bounded messages."""
    for specs in _spec_batches(message.specs):
        yield session_pb2.BrokerMessage(
            grants=session_pb2.Grants(session=session, term=message.term, specs=specs)
        )
    for part in _batched(message.grants, GRANTS_PER_MESSAGE_MAX):
        yield session_pb2.BrokerMessage(
            grants=session_pb2.Grants(
                session=session, term=message.term, grants=[_grant(grant) for grant in part]
            )
        )


def _spec_batches(specs: tuple[tuple[str, bytes], ...]) -> Iterator[dict[str, bytes]]:
    batch: dict[str, bytes] = {}
    size = 0
    for digest, data in specs:
        if batch and size + len(data) > SPEC_BYTES_PER_MESSAGE_MAX:
            yield batch
            batch, size = {}, 0
        batch[digest] = data
        size += len(data)
    if batch:
        yield batch


def _grant(grant: Grant) -> session_pb2.Grant:
    return session_pb2.Grant(
        id=_attempt_id((grant.job_id, grant.epoch)),
        grant_seq=grant.grant_seq,
        anchor_seq=grant.anchor_seq,
        pool=grant.pool,
        slices=[
            session_pb2.Slice(supernode=part.supernode, num_nodes=part.nodes, cards=part.cards)
            for part in grant.slices
        ],
        variant=grant.variant,
        tenant=grant.tenant,
        project=grant.project,
        user=grant.user,
        name=grant.name,
        spec_sha256=grant.spec_sha256,
        lease_class=grant.lease_class,
        lease_seconds=grant.lease_seconds,
        array_index=grant.array_index,
        array_id=grant.array_id,
        preempted_count=grant.preempted_count,
        data=dict(grant.data),
        restore=commit_to_wire(grant.restore) if grant.restore else None,
    )


def _stops(session: str, message: Stops) -> Iterator[session_pb2.BrokerMessage]:
    for part in _batched(message.stops, ATTEMPTS_PER_MESSAGE_MAX):
        stops = [
            session_pb2.Stop(id=_attempt_id((job_id, epoch)), reason=reason)
            for job_id, epoch, reason in part
        ]
        yield session_pb2.BrokerMessage(stops=session_pb2.Stops(session=session, stops=stops))


def _report_ack(session: str, message: ReportAck) -> Iterator[session_pb2.BrokerMessage]:
    yield session_pb2.BrokerMessage(
        report_ack=session_pb2.ReportAck(session=session, report_seq=message.report_seq)
    )


def _goodbye(_session: str, message: Goodbye) -> Iterator[session_pb2.BrokerMessage]:
    yield session_pb2.BrokerMessage(
        goodbye=session_pb2.Goodbye(code=message.code, message=message.message)
    )


_ENCODERS: dict[type, Callable[[str, Any], Iterator[session_pb2.BrokerMessage]]] = {
    Verdicts: _verdicts,
    HeartbeatReply: _heartbeat_reply,
    Grants: _grants,
    Stops: _stops,
    ReportAck: _report_ack,
    Goodbye: _goodbye,
    Prestages: prestages_to_wire,
}
