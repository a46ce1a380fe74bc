"""Sends the newest output of runs to the broker, for the time when this site cannot be asked.

Beside everything else and after it: one message at a time, the next when the broker has kept
the last. What it cannot keep is left out; the site has all of it. Knows the backend and names
of runs; decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from agent.backends import Backend
from agent.reach.tail_messages import LogTail, SendTails, TailAck, TailPiece, TailsAcked, Where
from agent.supervisor.state import State
from agent.supervisor.values import Phase
from suan.log_windows import RANKS_MAX, window_bytes
from suan.overwritten import standing

LOOK_SECONDS = 2.0  # between two looks at which runs have something to send
FIRST_SECONDS, ROUND_SECONDS = 2.0, 30.0  # between two messages of a live run; at first sooner
MESSAGE_BYTES_MAX = 128 << 10  # so that a heartbeat never waits long behind one
TAILS_MAX = 200  # runs in a message
ASKED_BYTES = 64 << 10  # so much is not sent before the broker has said what it has already
BYTES_PER_SECOND_MAX = 2 << 20  # of this site
ENDED_MAX, ENDED_SECONDS = 1_000, 3_600.0  # of runs that are looked at after their end
ACK_SECONDS = 60.0  # that an answer may take …
REST_SECONDS = 120.0  # … before such a broker is left alone for a while

log = logging.getLogger(__name__)


def with_output(state: State, wall: float) -> Iterator[tuple[str, bool]]:
    """The runs here that may have written something, and whether they have ended.

    Of those that the broker knows to have ended, the last ones: it has most of their output.
    """
    for attempt in state.attempts.values():
        if attempt.phase is not Phase.ACCEPTED:
            yield attempt.name, attempt.phase is not Phase.RUNNING
    for name, ended_at in islice(reversed(state.kept.items()), ENDED_MAX):
        if wall - ended_at < ENDED_SECONDS:
            yield name, True


class _NotKept(Exception):
    """The broker keeps nothing now."""


@dataclass(slots=True)
class _Run:
    """What of a run the broker has."""

    ends: dict[Where, int] = field(default_factory=dict)
    asked: bool = False  # the broker has said what it had before
    ended: bool = False
    done: bool = False  # there is no more to send
    due: float = 0.0  # on the loop's clock
    pause_seconds: float = FIRST_SECONDS


class Tails:
    """The output of this site's runs on its way. Belongs to one event loop."""

    def __init__(
        self,
        backend: Backend,
        runs: Callable[[], Iterable[tuple[str, bool]]],
        ranks_of: Callable[[str], Awaitable[int]],
        send: Callable[[SendTails], None],
        spoken: Callable[[], str],
    ) -> None:
        """`runs` names those that began, and whether they have ended; `ranks_of` raises KeyError.

        `spoken`: the session in which the broker has spoken; "": there is none now.
        """
        self._backend = backend
        self._runs = runs
        self._ranks_of = ranks_of
        self._send = send
        self._spoken = spoken
        self._known: dict[str, _Run] = {}
        self._seq = 0
        self._acked: asyncio.Future[TailsAcked] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            seconds = LOOK_SECONDS
            if session := self._spoken():
                try:
                    await self._round(session)
                except _NotKept as error:
                    seconds = REST_SECONDS if self._spoken() == session else LOOK_SECONDS
                    log.info("no output is sent to the broker for a while: %s", error)
                except Exception:
                    log.exception("output cannot be sent to the broker")
            await asyncio.sleep(seconds)

    def acknowledged(self, acked: TailsAcked) -> None:
        """The broker answered."""
        is_awaited = self._acked is not None and not self._acked.done()
        if self._acked is not None and is_awaited and acked.seq == self._seq:
            self._acked.set_result(acked)

    async def _round(self, session: str) -> None:
        """Once over all runs that are due. Raises _NotKept."""
        runs, now = dict(self._runs()), asyncio.get_running_loop().time()
        self._known = {name: self._known.get(name) or _Run() for name in runs}
        batch: list[LogTail] = []
        size = 0
        for name in [name for name, ended in runs.items() if self._is_due(name, ended, now)]:
            for tail in await self._tails(session, name):
                length = sum(len(piece.data) for piece in tail.pieces)
                if batch and (size + length > MESSAGE_BYTES_MAX or len(batch) >= TAILS_MAX):
                    await self._ship(session, batch)
                    batch, size = [], 0
                batch.append(tail)
                size += length
        if batch:
            await self._ship(session, batch)

    def _is_due(self, name: str, ended: bool, now: float) -> bool:
        run = self._known[name]
        if run.done or (now < run.due and run.ended == ended):
            return False
        run.ended, run.due = ended, now + run.pause_seconds
        run.pause_seconds = min(2 * run.pause_seconds, ROUND_SECONDS)
        return True

    async def _tails(self, session: str, name: str) -> list[LogTail]:
        """What is new of a run, in parts that fit into messages. Raises _NotKept."""
        run = self._known[name]
        try:
            ranks = await self._ranks_of(name)
            sizes = await self._backend.log_sizes(name)
            if not run.asked and sum(sizes.values()) > ASKED_BYTES:
                await self._ship(session, [LogTail(name, ranks)])
            pieces = await self._new_pieces(name, run, sizes)
        except KeyError:
            run.done = True
            return []
        except OSError as error:
            log.debug("the output of %s cannot be read: %s", name, error)
            return []
        run.done = run.done or (run.ended and not any(sizes.values()))
        if run.done or not (pieces or run.ended):
            return []
        at = time.time()
        parts = [LogTail(name, ranks, part, at=at) for part in _parts(pieces)]
        if run.ended:
            last = parts.pop() if parts else LogTail(name, ranks)
            parts.append(LogTail(name, ranks, last.pieces, at_end=True, at=at))
        return parts

    async def _new_pieces(
        self, name: str, run: _Run, sizes: Mapping[Where, int]
    ) -> list[TailPiece]:
        """What stands of the newest bytes that the broker has not got."""
        fresh = {
            where: size - run.ends.get(where, 0)
            for where, size in sizes.items()
            if where[0] < RANKS_MAX and size > run.ends.get(where, 0)
        }
        window = window_bytes(fresh.values())
        pieces: list[TailPiece] = []
        for where, length in sorted(fresh.items()):
            begin = sizes[where] - min(length, window)
            data = await self._read(name, where, begin, sizes[where])
            if length > window:  # from the beginning of a line, where there is one
                line = data.find(b"\n") + 1
                begin, data = begin + line, data[line:]
            pieces += [TailPiece(where, offset, part) for offset, part in standing(data, begin)]
        return pieces

    async def _read(self, name: str, where: Where, begin: int, end: int) -> bytes:
        data = b""
        while begin + len(data) < end:
            left = end - begin - len(data)
            part = await self._backend.read_log(name, *where, begin + len(data), left)
            if not part.data:  # the file was cut
                break
            data += part.data
        return data

    async def _ship(self, session: str, tails: list[LogTail]) -> None:
        """Send them, and wait until they are kept. Raises _NotKept."""
        self._seq += 1
        loop = asyncio.get_running_loop()
        self._acked = loop.create_future()
        begun = loop.time()
        self._send(SendTails(session, self._seq, tuple(tails)))
        try:
            async with asyncio.timeout(ACK_SECONDS):
                acked = await self._acked
        except TimeoutError:
            raise _NotKept("it does not answer") from None
        if len(acked.acks) != len(tails):
            raise _NotKept("it cannot keep it")
        for tail, ack in zip(tails, acked.acks, strict=True):
            _note(self._known[tail.name], ack)
        size = sum(len(piece.data) for tail in tails for piece in tail.pieces)
        await asyncio.sleep(size / BYTES_PER_SECOND_MAX - (loop.time() - begun))


def _note(run: _Run, ack: TailAck) -> None:
    run.asked = True
    run.ends |= ack.ends
    run.done = ack.unwanted or (run.ended and ack.at_end)


def _parts(pieces: Iterable[TailPiece]) -> Iterator[tuple[TailPiece, ...]]:
    """The pieces, in groups of at most MESSAGE_BYTES_MAX."""
    group: list[TailPiece] = []
    room = MESSAGE_BYTES_MAX
    for piece in pieces:
        place = 0
        while place < len(piece.data):
            if not room:
                yield tuple(group)
                group, room = [], MESSAGE_BYTES_MAX
            data = piece.data[place : place + room]
            group.append(TailPiece(piece.where, piece.offset + place, data))
            place += len(data)
            room -= len(data)
    if group:
        yield tuple(group)
