"""The session: dials a broker, keeps one stream, and dials the next when it ends.

Hands in what the broker says and writes what it is given; that a stream ends changes
nothing for what runs here. Each stream is a session of its own, with a new name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from agent.data_messages import PrestagesWanted
from agent.reach.tail_messages import TailsAcked
from agent.session.lanes import LaneOverflow, Lanes
from agent.session.reasons import REFUSALS, SILENCES, farewell, hint_of, refusal
from agent.supervisor.messages import Closed, Event, Opened
from agent.wire.answers import Answer, Request, answer_to_wire
from agent.wire.decode import Decoder, Goodbye
from agent.wire.encode import Send, SiteProfile, encode_parts
from agent.wire.specs import SpecMissing
from suan.errors import (
    InternalError,
    ResourceExhausted,
    SuanError,
    Unavailable,
)
from suan.retry import Backoff
from suan.v1 import agents_service_pb2_grpc

CONNECT_SECONDS = 10.0
CONNECT_SECONDS_OF_SEVERAL = 3.0  # brokers: then another one may answer sooner
CLOSE_SECONDS = 2.0
RECONNECT_SECONDS, RECONNECT_SECONDS_MAX = 0.5, 30.0
# Where a broker says that it does not lead, one soon will: pauses stay below two seconds.
STANDBY_FAILURES_MAX = 3
RETRY_SPREAD = 0.25  # of the time that a broker tells us to wait, added at random

log = logging.getLogger(__name__)

Connect = Callable[[], grpc.aio.Channel]
Deliver = Callable[[Event], Awaitable[None]]
AnswerOf = Callable[[Request], Awaitable[Answer]]
Diagnose = Callable[[], SuanError]


@dataclass(slots=True)
class _Stream:
    """The stream that stands now."""

    session: str
    channel: grpc.aio.Channel
    lanes: Lanes
    ending: asyncio.Future[None]  # done, or failed, when the stream is to end
    spoken: bool = False  # the broker has said something


class Session:
    """The connection to the broker, over as many streams as it takes."""

    def __init__(
        self,
        profile: SiteProfile,
        grace_seconds: float,
        connect: Connect,
        deliver: Deliver,
        answer_of: AnswerOf,
        diagnose: Diagnose,
        backoff: Backoff | None = None,
        brokers: int = 1,
        on_silence: Callable[[], None] = lambda: None,
        on_prestages: Callable[[PrestagesWanted], None] = lambda heard: None,
        on_tails: Callable[[TailsAcked], None] = lambda heard: None,
    ) -> None:
        """`connect` gives the connection for a try; of several `brokers`, to each in turn.

        `on_silence` hears when a broker did not say why a stream ended.
        """
        self._brokers = brokers
        self._on_silence = on_silence
        self._on_prestages = on_prestages
        self._on_tails = on_tails
        self.profile = profile  # as it is told from the next message on
        self._grace_seconds = grace_seconds
        self._connect = connect
        self._deliver = deliver
        self._answer_of = answer_of
        self._diagnose = diagnose
        self._backoff = backoff or Backoff(RECONNECT_SECONDS, RECONNECT_SECONDS_MAX)
        self._stream: _Stream | None = None
        self._failures = 0  # to speak with a broker, in a row
        self._told: set[str] = set()  # what was logged since
        self._welcome = False  # the broker has spoken to this process before
        self.problem: SuanError | None = None  # why there is no stream

    @property
    def connected(self) -> bool:
        return self._stream is not None

    @property
    def spoken(self) -> str:
        """The session in which the broker has spoken; "": there is none now."""
        return self._stream.session if self._stream is not None and self._stream.spoken else ""

    async def run(self) -> None:
        """Until cancelled. Raises Conflict (SiteNameTaken) when another agent was first."""
        while True:
            try:
                await self._converse()
                problem: SuanError = Unavailable("the broker ended the session", "", "SessionEnded")
                self.problem = problem
            except SuanError as error:
                if error.code == "SiteNameTaken" and not self._welcome:
                    raise
                if error.code in SILENCES:
                    self._on_silence()
                self._note(error)
                problem = error
            self._failures += problem.code != "BrokerPassedOver"  # the round goes on
            if problem.code in REFUSALS:
                self._failures = min(self._failures, STANDBY_FAILURES_MAX)
            await self._backoff.sleep(self._pause_seconds(self._failures, problem))

    def _pause_seconds(self, failures: int, problem: SuanError) -> float:
        """Until the next try: by our own patience, but not before the broker wants us."""
        pause = self._backoff.pause_seconds(failures)
        if not isinstance(problem, ResourceExhausted):
            return pause
        return max(pause, problem.retry_after_seconds * (1 + RETRY_SPREAD * self._backoff.random()))

    def send(self, send: Send) -> None:
        """Write on the stream of that session; without it the message is of no use."""
        stream = self._stream
        if stream is None or stream.session != send.session:
            return
        try:
            stream.lanes.put(send)
        except LaneOverflow as error:
            self._end(stream, Unavailable(f"the broker does not read: {error}", "", "BrokerStuck"))

    def close(self, session: str, code: str) -> None:
        """End that session; another follows."""
        stream = self._stream
        if stream is not None and stream.session == session:
            hint = hint_of(code)
            self._end(stream, Unavailable(f"this agent ended the session: {code}", hint, code))

    def renew(self) -> None:
        """Go on over a new connection: the identity has changed."""
        if self._stream is not None:
            self.close(self._stream.session, "IdentityRenewed")

    @property
    def channel(self) -> grpc.aio.Channel:
        """The connection, for single calls. Raises Unavailable (NotConnected)."""
        if self._stream is None:
            raise Unavailable("the site is not connected to the broker now", "", "NotConnected")
        return self._stream.channel

    # --- one stream ------------------------------------------------------------------

    async def _converse(self) -> None:
        """One stream, to its end. Raises SuanError."""
        channel = self._connect()
        try:
            await self._ready(channel)
            ending = asyncio.get_running_loop().create_future()
            await self._hold(_Stream(secrets.token_hex(16), channel, Lanes(), ending))
        finally:
            await channel.close(CLOSE_SECONDS)

    async def _ready(self, channel: grpc.aio.Channel) -> None:
        """Until it is connected. Raises the reason when it is not in time.

        A single broker that refuses us now may take us a moment later; among several the
        next one is tried at once.
        """
        several = self._brokers > 1
        try:
            async with asyncio.timeout(CONNECT_SECONDS_OF_SEVERAL if several else CONNECT_SECONDS):
                state = channel.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.READY:
                    if several and state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        raise TimeoutError
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
        except TimeoutError:
            raise await asyncio.to_thread(self._diagnose) from None

    async def _hold(self, stream: _Stream) -> None:
        call = agents_service_pb2_grpc.AgentsStub(stream.channel).Session()
        reader = _Reader(stream, self._grace_seconds, self)
        reading = asyncio.create_task(reader.read(call))
        writing = asyncio.create_task(self._write(call, stream))
        self._stream = stream
        try:
            await self._deliver(Opened(stream.session))
            await _first(reading, writing, stream.ending)
            if writing.done():
                writing.result()
                async with asyncio.timeout(CLOSE_SECONDS):
                    await _first(reading, stream.ending)
            (stream.ending if stream.ending.done() else reading).result()
        except TimeoutError as error:
            raise Unavailable("the stream broke", "", "StreamBroken") from error
        except grpc.RpcError as error:
            raise refusal(error) from error
        finally:
            self._stream = None
            reader.close()
            call.cancel()
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            await self._deliver(Closed(stream.session))

    async def _write(self, call: Any, stream: _Stream) -> None:
        """Until the stream breaks; why it broke is for the reader to hear."""
        with contextlib.suppress(grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            while True:
                item = await stream.lanes.next()
                if isinstance(item, Answer):
                    await call.write(answer_to_wire(stream.session, item))
                    continue
                for message in encode_parts(item, self.profile):
                    await call.write(message)

    def _end(self, stream: _Stream, error: SuanError) -> None:
        if not stream.ending.done():
            stream.ending.set_exception(error)

    def _note(self, error: SuanError) -> None:
        """Tell each reason once, for brokers that are asked in turn answer in turn."""
        level = logging.DEBUG if error.code in self._told else logging.WARNING
        hint = f" ({error.hint})" if error.hint else ""
        log.log(level, "%s: %s%s", error.code, error, hint)
        self._told.add(error.code)
        self.problem = error

    async def hear(self, event: Event) -> None:
        """Hand in what the broker said."""
        if not self._welcome or self.problem is not None:
            log.info("connected to the broker")
        self._welcome, self.problem, self._failures = True, None, 0
        if self._stream is not None:
            self._stream.spoken = True
        self._told.clear()
        await self._deliver(event)

    def want(self, stream: _Stream, heard: PrestagesWanted) -> None:
        """Hand on what the broker wants ahead of need."""
        if heard.session == stream.session:
            self._on_prestages(heard)

    def kept(self, stream: _Stream, heard: TailsAcked) -> None:
        """Hand on what the broker has kept."""
        if heard.session == stream.session:
            self._on_tails(heard)

    async def answer(self, stream: _Stream, request: Request) -> None:
        """Look for an answer and queue it on the stream that asked."""
        answer = await self._answer_of(request)
        try:
            stream.lanes.put_log(answer)
        except LaneOverflow as error:
            self._end(stream, Unavailable(f"the broker does not read: {error}", "", "BrokerStuck"))


class _Reader:
    """Reads one stream; questions are answered beside it."""

    REQUESTS_MAX = 256  # such questions open at a time

    def __init__(self, stream: _Stream, grace_seconds: float, owner: Session) -> None:
        self._stream = stream
        self._decoder = Decoder(grace_seconds)
        self._owner = owner
        self._answers: set[asyncio.Task[None]] = set()

    async def read(self, call: Any) -> None:
        """Until the broker ends the stream. Raises SuanError after a Goodbye."""
        try:
            async for message in call:
                for heard in self._decoder.decode(message):
                    if isinstance(heard, Goodbye):
                        raise farewell(heard)
                    if isinstance(heard, Request):
                        self._ask(self._owner.answer(self._stream, heard))
                    elif isinstance(heard, PrestagesWanted):
                        self._owner.want(self._stream, heard)
                    elif isinstance(heard, TailsAcked):
                        self._owner.kept(self._stream, heard)
                    else:
                        await self._owner.hear(heard)
        except SpecMissing as error:
            message = f"the broker named a spec that it had not sent: {error}"
            raise InternalError(message, "", "SpecMissing") from error

    def close(self) -> None:
        for task in self._answers:
            task.cancel()

    def _ask(self, answer: Coroutine[Any, Any, None]) -> None:
        if len(self._answers) >= self.REQUESTS_MAX:
            answer.close()  # the broker's own deadline answers its reader
            return
        task = asyncio.create_task(answer)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)


async def _first(*waits: asyncio.Future[Any]) -> None:
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
