"""Calls to one broker: deadlines, trying again, streams that survive a break, errors.

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
from suan.errors import SuanError, Unavailable
from suan.retry import Backoff, call_until
from suan.status import decode, sent_by_broker

DEADLINE_SECONDS = 30.0  # of a call with all its tries, and of a stream without contact
TRY_SECONDS = 10.0
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
    """A channel, where it leads, and how patient it is."""

    channel: grpc.aio.Channel
    address: str
    identity: Path  # its directory
    deadline_seconds: float = DEADLINE_SECONDS
    backoff: Backoff = field(default_factory=Backoff)
    on_wait: Callable[[SuanError], None] = ignore  # told once a call, before waiting for a broker

    async def call(
        self,
        method: Callable[..., Any],
        request: Any,
        *,
        repeatable: bool = True,
        deadline_seconds: float = 0.0,
    ) -> Any:
        """The response to `request`; tried again while the broker is away.

        Not `repeatable`: a try that timed out may have been done, and is not tried again.
        `deadline_seconds` 0: that of the transport. Raises SuanError.
        """
        diagnosed = False
        refusal: grpc.RpcError | None = None  # the broker's own words are worth more than ours

        async def attempt(seconds_left: float) -> Any:
            nonlocal diagnosed, refusal
            try:
                return await method(request, timeout=min(seconds_left, TRY_SECONDS))
            except grpc.RpcError as error:
                refusal = error if sent_by_broker(error) else refusal
                if not diagnosed and _without_broker(error):
                    diagnosed = True
                    await self._raise_if_hopeless()
                raise

        def again(error: Exception) -> bool:
            if not isinstance(error, grpc.RpcError) or error.code() not in _AGAIN:
                return False
            return repeatable or error.code() is grpc.StatusCode.UNAVAILABLE

        try:
            return await call_until(
                attempt,
                again,
                deadline_seconds=deadline_seconds or self.deadline_seconds,
                backoff=self.backoff,
            )
        except grpc.RpcError as error:
            raise await self._explained(refusal or error) from error

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
        contact, failures = clock(), 0
        while (asked := await request()) is not None:
            opened = clock()
            call = method(asked, timeout=STREAM_SECONDS)
            try:
                async for response in call:
                    failures = 0
                    yield response
                    contact = clock()
                if not endless:
                    return
                contact = clock()
            except grpc.RpcError as error:
                if clock() - opened > CONTACT_SECONDS:  # quiet, but it was open
                    contact, failures = clock(), 0
                elif patient and sent_by_broker(error):
                    contact = clock()
                if not _is_break(error, patient) or clock() - contact >= self.deadline_seconds:
                    raise await self._explained(error) from error
                if failures == 0 and _without_broker(error):
                    await self._raise_if_hopeless()
            finally:
                call.cancel()
            failures += 1
            await self.backoff.sleep(self.backoff.pause_seconds(failures))

    async def close(self) -> None:
        await self.channel.close(None)

    async def _raise_if_hopeless(self) -> None:
        """A wrong certificate or a wrong port does not heal by waiting."""
        reason = await self._diagnosis()
        if not isinstance(reason, Unavailable) or reason.code != "BrokerUnreachable":
            raise reason
        self.on_wait(reason)

    async def _explained(self, error: grpc.RpcError) -> SuanError:
        return await self._diagnosis() if _without_broker(error) else decode(error)

    async def _diagnosis(self) -> SuanError:
        return await asyncio.to_thread(diagnose, self.address, self.identity)


def _without_broker(error: grpc.RpcError) -> bool:
    """Whether no broker was reached at all, so that only a diagnosis can say why."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and not sent_by_broker(error)


def _is_break(error: grpc.RpcError, patient: bool) -> bool:
    """Whether a stream ended for a reason that passes."""
    if sent_by_broker(error):
        return patient and error.code() in _AGAIN
    return error.code() in _BROKEN
