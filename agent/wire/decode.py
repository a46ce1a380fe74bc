"""From the broker's messages to events, log requests and goodbyes.

A grant leaves here with all that is to be run; where is the supervisor's to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from agent.backends import LeaseClass, Stream, run_name
from agent.data_messages import PrestagesWanted
from agent.reach.command_messages import CommandRequest
from agent.reach.file_messages import FileRequest
from agent.reach.tail_messages import TailsAcked
from agent.supervisor.messages import (
    Event,
    GrantsReceived,
    HeartbeatReplied,
    ReportsAcknowledged,
    StopReceived,
    VerdictsReceived,
)
from agent.supervisor.values import AttemptId, Grant
from agent.wire.commands import command_request_from_wire
from agent.wire.data import commit_from_wire, prestages_from_wire
from agent.wire.files import file_request_from_wire
from agent.wire.specs import Specs
from agent.wire.tails import tails_ack_from_wire
from scheduler.model import Slice
from suan.v1 import session_pb2

PROTOCOL_UNSTATED = 1  # of a broker that does not name the version: it speaks the first


@dataclass(frozen=True, slots=True)
class LogRequest:
    """A part of one rank's output is wanted."""

    request_id: str
    name: str  # of the run
    rank: int
    stream: Stream | None  # None: there is no such stream
    offset: int
    limit_bytes: int
    wait_seconds: float  # for new bytes, when at the end
    since: float = 0.0  # wall seconds here: from the line begun then, not from `offset`; 0.0: no


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The broker ends the session and says why."""

    code: str
    message: str


Heard = Event | LogRequest | FileRequest | CommandRequest | PrestagesWanted | TailsAcked | Goodbye


class Decoder:
    """The messages of one session."""

    def __init__(self, grace_seconds: float) -> None:
        """`grace_seconds`: where a job names none."""
        self._specs = Specs(grace_seconds)

    def decode(self, message: session_pb2.BrokerMessage) -> tuple[Heard, ...]:
        """What the message says; nothing when it is newer than this agent.

        Raises SpecMissing: the session cannot go on.
        """
        kind = message.WhichOneof("body")
        reader = _READERS.get(kind or "")
        return reader(self, getattr(message, kind or "")) if reader else ()

    def _verdicts(self, body: session_pb2.Verdicts) -> tuple[Heard, ...]:
        verdicts = VerdictsReceived(
            session=body.session,
            term=body.term,
            keep=_ids(body.keep),
            stop=_ids(body.stop),
            acknowledge=_ids(body.acknowledge),
            expect=_ids(body.expect),
            heartbeat_seconds=body.heartbeat_seconds,
            hello=body.hello,
            protocol=body.protocol or PROTOCOL_UNSTATED,
        )
        return (verdicts,)

    def _heartbeat_reply(self, body: session_pb2.HeartbeatReply) -> tuple[Heard, ...]:
        reply = HeartbeatReplied(
            session=body.session,
            seq=body.seq,
            term=body.term,
            reconcile=body.reconcile,
            stop=_ids(body.stop),
            heartbeat_seconds=body.heartbeat_seconds,
            extension_seconds=body.extension_seconds,
        )
        return (reply,)

    def _grants(self, body: session_pb2.Grants) -> tuple[Heard, ...]:
        for digest, data in body.specs.items():
            self._specs.add(digest, data)
        grants = tuple(self._grant(grant) for grant in body.grants)
        return (GrantsReceived(body.session, body.term, grants),)

    def _stops(self, body: session_pb2.Stops) -> tuple[Heard, ...]:
        return tuple(
            StopReceived(body.session, AttemptId(stop.id.job_id, stop.id.epoch), stop.reason)
            for stop in body.stops
        )

    def _report_ack(self, body: session_pb2.ReportAck) -> tuple[Heard, ...]:
        return (ReportsAcknowledged(body.session, body.report_seq),)

    def _log_request(self, body: session_pb2.LogRequest) -> tuple[Heard, ...]:
        request = LogRequest(
            request_id=body.request_id,
            name=run_name(body.id.job_id, body.id.epoch),
            rank=body.rank,
            stream=_STREAMS.get(body.stream),
            offset=body.offset,
            limit_bytes=body.limit_bytes,
            wait_seconds=body.wait_seconds,
            since=body.since,
        )
        return (request,)

    def _prestages(self, body: session_pb2.Prestages) -> tuple[Heard, ...]:
        return (prestages_from_wire(body),)

    def _goodbye(self, body: session_pb2.Goodbye) -> tuple[Heard, ...]:
        return (Goodbye(body.code, body.message),)

    # --- grants --------------------------------------------------------------------

    def _grant(self, body: session_pb2.Grant) -> Grant:
        job_id, epoch = body.id.job_id, body.id.epoch
        return Grant(
            name=run_name(job_id, epoch),
            job_id=job_id,
            epoch=epoch,
            grant_seq=body.grant_seq,
            anchor_seq=body.anchor_seq,
            pool=body.pool,
            slices=tuple(Slice(part.supernode, part.num_nodes, part.cards) for part in body.slices),
            lease_class=_LEASE_CLASSES.get(body.lease_class, LeaseClass.RESTART),
            lease_seconds=body.lease_seconds,
            tenant=body.tenant,
            task=self._specs.task(body.spec_sha256, body.variant),
            job_name=body.name,
            preempted_count=body.preempted_count,
            array_id=body.array_id,
            array_index=body.array_index,
            data=tuple(body.data.items()),
            restore=commit_from_wire(body.restore) if body.HasField("restore") else None,
        )


_READERS: dict[str, Callable[[Decoder, Any], tuple[Heard, ...]]] = {
    "verdicts": Decoder._verdicts,
    "heartbeat_reply": Decoder._heartbeat_reply,
    "grants": Decoder._grants,
    "stops": Decoder._stops,
    "report_ack": Decoder._report_ack,
    "log_request": Decoder._log_request,
    "goodbye": Decoder._goodbye,
    "log_tails_ack": lambda _, body: (tails_ack_from_wire(body),),
    "prestages": Decoder._prestages,
    "command_request": lambda _, body: (command_request_from_wire(body),),
    "file_request": lambda _, body: (file_request_from_wire(body),),
}


# An unknown class is fenced: that is the safe one.
_LEASE_CLASSES = {lease_class.value: lease_class for lease_class in LeaseClass}
_STREAMS = {stream.value: stream for stream in Stream}


def _ids(ids: Iterable[session_pb2.AttemptId]) -> tuple[AttemptId, ...]:
    return tuple(AttemptId(id.job_id, id.epoch) for id in ids)
