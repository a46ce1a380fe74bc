"""Kept output on its way: in from the sites, out to readers when a site cannot be asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from broker.core.rows import Attempt
from broker.kept_logs import Piece, Tail, TailAck
from broker.leader import Port
from broker.services.sites_wire import finite
from suan.errors import SuanError
from suan.log_windows import ATTEMPT_BYTES_MAX, RANKS_MAX, STREAMS
from suan.overwritten import last_lines
from suan.v1 import jobs_service_pb2, session_pb2

TAILS_MAX = 1_000  # in one message
PIECES_MAX = 20_000  # of one attempt in one message
OFFSET_MAX = 1 << 62  # bytes; no file is longer
# Why a site does not answer, where what is kept may answer for it.
UNASKED = frozenset({"SiteAway", "SiteSilent", "LogsForgotten", "LogsUnreadable"})

log = logging.getLogger(__name__)

Where = tuple[int, str]  # rank and stream


class Keeping:
    """What one session's agent sends to be kept: one message at a time, the rest is dropped."""

    def __init__(self, port: Port, site: str, put: Callable[[Any], None]) -> None:
        """`put` queues a message for the agent."""
        self._port = port
        self._site = site
        self._put = put
        self._task: asyncio.Task[None] | None = None

    def take(self, message: session_pb2.LogTails) -> None:
        """Keep it, and then answer."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep(message))

    async def _keep(self, message: session_pb2.LogTails) -> None:
        tails = [_tail_from_wire(tail) for tail in islice(message.tails, TAILS_MAX)]
        try:
            acks = await self._port.keep(self._site, tails)
        except SuanError as error:
            log.info("the output that %s sends is not kept: %s", self._site, error)
            return  # the agent sends it again
        answer = session_pb2.LogTailsAck(session=message.session, seq=message.seq)
        answer.acks.extend(_ack_to_wire(ack) for ack in acks)
        self._put(session_pb2.BrokerMessage(log_tails_ack=answer))


def responses(
    kept: Tail, attempt: Attempt, request: Any, why: SuanError
) -> Iterator[jobs_service_pb2.LogsResponse]:
    """What is kept, as a reader wants it. The first of each stream has no data."""
    streams = (request.stream,) if request.stream else STREAMS
    ranks = (request.rank,) if request.HasField("rank") else range(max(kept.ranks, 1))[:RANKS_MAX]
    note = jobs_service_pb2.KeptLog(
        code=why.code, site=attempt.site, at=kept.at, at_end=kept.at_end
    )
    for where in ((rank, stream) for rank in ranks for stream in streams):
        pieces = _wanted(kept, where, request)
        begin = pieces[0].offset if pieces else _end(kept, where)
        for piece in (Piece(*where, begin, b""), *pieces):
            yield jobs_service_pb2.LogsResponse(
                rank=piece.rank,
                stream=piece.stream,
                data=piece.data,
                epoch=attempt.epoch,
                offset=piece.offset,
                kept=note,
            )


def _wanted(kept: Tail, where: Where, request: Any) -> list[Piece]:
    """After its cursor, or else as `since` and `tail_lines` say."""
    pieces = [piece for piece in kept.pieces if (piece.rank, piece.stream) == where]
    for cursor in request.after:
        if (cursor.rank, cursor.stream) == where:
            return [_from(piece, cursor.offset) for piece in pieces if piece.end > cursor.offset]
    if request.since:
        pieces = [piece for piece in pieces if piece.at >= request.since]
    return _last_lines(pieces, request.tail_lines) if request.tail_lines else pieces


def _last_lines(pieces: list[Piece], lines: int) -> list[Piece]:
    """From where the last `lines` lines begin."""
    whole = b"".join(piece.data for piece in pieces)
    left = len(last_lines(whole, lines))
    wanted: list[Piece] = []
    for piece in reversed(pieces):
        if left > 0:
            wanted.append(_from(piece, max(piece.offset, piece.end - left)))
            left -= len(piece.data)
    return wanted[::-1]


def _from(piece: Piece, offset: int) -> Piece:
    begin = max(piece.offset, offset)
    return replace(piece, offset=begin, data=piece.data[begin - piece.offset :])


def _end(kept: Tail, where: Where) -> int:
    return max((p.end for p in kept.pieces if (p.rank, p.stream) == where), default=0)


def _tail_from_wire(message: session_pb2.LogTail) -> Tail:
    """What makes no sense in it is left out."""
    at = finite(message.at)
    return Tail(
        job_id=message.id.job_id,
        epoch=message.id.epoch,
        ranks=message.ranks,
        pieces=tuple(_pieces(message.pieces, at)),
        at_end=message.at_end,
        at=at,
    )


def _pieces(messages: Iterable[session_pb2.LogPiece], at: float) -> Iterator[Piece]:
    left = ATTEMPT_BYTES_MAX
    for message in islice(messages, PIECES_MAX):
        left -= len(message.data)
        if left < 0:
            return
        if message.rank < RANKS_MAX and message.stream in STREAMS and message.offset <= OFFSET_MAX:
            yield Piece(message.rank, message.stream, message.offset, message.data, at)


def _ack_to_wire(ack: TailAck) -> session_pb2.LogTailAck:
    ends = [
        session_pb2.LogEnd(rank=rank, stream=stream, offset=end) for rank, stream, end in ack.ends
    ]
    return session_pb2.LogTailAck(ends=ends, at_end=ack.at_end, unwanted=ack.unwanted)
