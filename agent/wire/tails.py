"""Output that the broker keeps, from values to messages and back."""

from __future__ import annotations

from agent.backends import Stream, parse_run_name
from agent.reach.tail_messages import LogTail, SendTails, TailAck, TailsAcked
from suan.v1 import session_pb2

_STREAMS = {stream.value: stream for stream in Stream}


def tails_to_wire(send: SendTails) -> session_pb2.AgentMessage:
    tails = [_tail_to_wire(tail) for tail in send.tails]
    return session_pb2.AgentMessage(
        log_tails=session_pb2.LogTails(session=send.session, seq=send.seq, tails=tails)
    )


def tails_ack_from_wire(message: session_pb2.LogTailsAck) -> TailsAcked:
    return TailsAcked(message.session, message.seq, tuple(map(_ack_from_wire, message.acks)))


def _tail_to_wire(tail: LogTail) -> session_pb2.LogTail:
    job_id, epoch = parse_run_name(tail.name)
    return session_pb2.LogTail(
        id=session_pb2.AttemptId(job_id=job_id, epoch=epoch),
        ranks=tail.ranks,
        pieces=[
            session_pb2.LogPiece(
                rank=piece.where[0],
                stream=piece.where[1].value,
                offset=piece.offset,
                data=piece.data,
            )
            for piece in tail.pieces
        ],
        at_end=tail.at_end,
        at=tail.at,
    )


def _ack_from_wire(message: session_pb2.LogTailAck) -> TailAck:
    ends = {
        (end.rank, _STREAMS[end.stream]): end.offset
        for end in message.ends
        if end.stream in _STREAMS
    }
    return TailAck(ends, message.at_end, message.unwanted)
