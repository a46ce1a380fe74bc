"""Calls to the broker that leads: deadlines, trying again, streams that survive a break, errors.

The only module of the SDK that handles gRPC statuses. Knows no message and no method: the
client hands it the stub's methods. `suan.status` says how errors travel, `suan.channel`
what a connection is and why there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from suan.channel import diagnose
from suan.errors import ResourceExhausted, SuanError, Unavailable
from suan.identity.address import split_addresses
from suan.retry import Backoff, call_until
from suan.status import decode, sent_by_broker
from suan.turns import Turns

DEADLINE_SECONDS = 30.0  # of a call with all its tries, and of a stream without contact
TRY_SECONDS = 10.0
FIRST_TRY_SECONDS = 4.0  # among several brokers; twice as long after each time-out
STREAM_SECONDS = 3600.0  # then a stream is opened anew, unnoticed
CONTACT_SECONDS = 20.0  # no connection attempt takes as long: such a stream was open

_AGAIN = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
# What the transport says when a connection ends under a stream.
_BROKEN = _AGAIN | {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}


def ignore(_: SuanError) -> None:
    """What is done while waiting, unless somebody wants to know."""


@dataclass(slots=True)
class Transport:
    """A channel, where it leads, and how patient it is.

    `address` may be a list of brokers with commas; then `turns` are those of the channel.
    """

    channel: grpc.aio.Channel
    address: str
    identity: Path  # its directory
    deadline_seconds: float = DEADLINE_SECONDS
    backoff: Backoff = field(default_factory=Backoff)
    on_wait: Callable[[SuanError], None] = ignore  # told once a call, before waiting for a broker
    turns: Turns = field(default_factory=lambda: Turns(1))

    async def call(
        self,
        method: Callable[..., Any],
        request: Any,
        *,
        repeatable: bool = True,
        deadline_seconds: float = 0.0,
    ) -> Any:
        """The response to `request`; tried again while no broker leads.

        Not `repeatable`: a try that timed out may have been done, and is not tried again.
        `deadline_seconds` 0: that of the transport. Raises SuanError.
        """
        search = _Search(self)

        async def attempt(seconds_left: float) -> Any:
            number = self.turns.current
            try_seconds = search.try_seconds if repeatable else TRY_SECONDS
            try:
                response = await method(request, timeout=min(seconds_left, try_seconds))
            except grpc.RpcError as error:
                await search.failed(number, error)
                raise
            self.turns.heard(number)
            return response

        def again(error: Exception) -> bool:
            if _asked_seconds(error):
                return True
            if not isinstance(error, grpc.RpcError) or error.code() not in _AGAIN:
                return False
            return repeatable or error.code() is grpc.StatusCode.UNAVAILABLE

        try:
            return await call_until(
                attempt,
                again,
                deadline_seconds=deadline_seconds or self.deadline_seconds,
                backoff=self.backoff,
                alternatives=self.turns.count,
                asked_seconds=_asked_seconds,
            )
        except grpc.RpcError as error:
            raise await self._explained(search.refusal or search.unreached or error) from error

    async def stream(
        self,
        method: Callable[..., Any],
        request: Callable[[], Awaitable[Any]],
        *,
        patient: bool,
        endless: bool = False,
    ) -> AsyncGenerator[Any, None]:
        """The responses to `await request()`, which is asked for again after each break.

        It must then ask for what is still missing; None ends the stream. `patient`: a broker
        that says "not now" is asked again, for ever; `endless`: also one that ends the stream.
        Raises SuanError, after `deadline_seconds` without contact to a broker.
        """
        clock = self.backoff.clock
        contact, search = clock(), _Search(self)
        while (wanted := await request()) is not None:
            opened, number, asked = clock(), self.turns.current, 0.0
            call = method(wanted, timeout=STREAM_SECONDS)
            try:
                async for response in call:
                    search = _Search(self)
                    self.turns.heard(number)
                    yield response
                    contact = clock()
                if not endless:
                    return
                contact = clock()
                search.failures += 1
            except grpc.RpcError as error:
                if clock() - opened > CONTACT_SECONDS:  # quiet, but it was open
                    contact, search = clock(), _Search(self)
                elif patient and sent_by_broker(error):
                    contact = clock()
                asked = _asked_seconds(error)
                if not _is_break(error, patient) or clock() - contact >= self.deadline_seconds:
                    raise await self._explained(error) from error
                await search.failed(number, error)
            finally:
                call.cancel()
            pause = self.backoff.pause_after_round(search.failures, self.turns.count)
            await self.backoff.sleep(max(pause, asked))

    async def close(self) -> None:
        await self.channel.close(None)

    async def diagnose(self) -> SuanError:
        """Why there is no connection; of several brokers, all that may pass together."""
        addresses = split_addresses(self.address)
        reasons = await asyncio.gather(
            *(asyncio.to_thread(diagnose, address, self.identity) for address in addresses)
        )
        passing = [reason for reason in reasons if _may_pass(reason)]
        if len(passing) <= 1:
            return (passing or reasons)[0]
        why = "; ".join(reason.message for reason in passing)
        return Unavailable(f"no broker can be reached: {why}", passing[0].hint, passing[0].code)

    async def _explained(self, error: grpc.RpcError) -> SuanError:
        if _without_broker(error):
            return await self.diagnose()
        told = decode(error)
        if told.code != "NotLeader" or self.turns.count == 1:
            return told
        return Unavailable(
            f"none of the brokers {self.address} leads now",
            "try again; if it goes on, see their logs, and whether their store is well",
            "NotLeader",
        )


@dataclass(slots=True)
class _Search:
    """One call's way to the broker that leads."""

    transport: Transport
    failures: int = 0
    refusal: grpc.RpcError | None = None  # a broker's own words are worth more than ours
    unreached: grpc.RpcError | None = None  # and no broker at all is more than a try cut short
    _told: bool = False
    _timeouts: int = 0

    @property
    def try_seconds(self) -> float:
        """How long the next try may take: among several, one that hangs must not cost much."""
        if self.transport.turns.count == 1:
            return TRY_SECONDS
        return min(TRY_SECONDS, FIRST_TRY_SECONDS * 2.0**self._timeouts)

    async def failed(self, number: int, error: grpc.RpcError) -> None:
        """Go on to the next broker. Raises SuanError when no waiting can help."""
        turns = self.transport.turns
        self.failures += 1
        self._timeouts += error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if sent_by_broker(error):
            self.refusal, self.unreached = error, None
        elif _without_broker(error):
            self.unreached = error
        if error.code() in _BROKEN:
            silent = error.code() in _AGAIN and not sent_by_broker(error)
            turns.pass_on(number, silent=silent)
        if self._told or self.failures < turns.count:
            return
        if turns.count > 1 and self.refusal is not None:
            self._told = True
            self.transport.on_wait(decode(self.refusal))
        elif _without_broker(error):
            self._told = True
            reason = await self.transport.diagnose()
            if not _may_pass(reason):  # a wrong certificate or a wrong port
                raise reason
            self.transport.on_wait(reason)


def _asked_seconds(error: Exception) -> float:
    """How long the broker asks to wait before the next try; 0.0: it does not."""
    told = decode(error) if isinstance(error, grpc.RpcError) and sent_by_broker(error) else None
    return told.retry_after_seconds if isinstance(told, ResourceExhausted) else 0.0


def _may_pass(reason: SuanError) -> bool:
    return isinstance(reason, Unavailable) and reason.code == "BrokerUnreachable"


def _without_broker(error: grpc.RpcError) -> bool:
    """Whether no broker was reached at all, so that only a diagnosis can say why."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and not sent_by_broker(error)


def _is_break(error: grpc.RpcError, patient: bool) -> bool:
    """Whether a stream ended for a reason that passes."""
    if sent_by_broker(error):
        if patient and _asked_seconds(error):
            return True
        return error.code() in _AGAIN and (patient or decode(error).code == "NotLeader")
    return error.code() in _BROKEN
