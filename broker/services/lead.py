"""Calls pass while this broker leads, and end when it no longer does.

An interceptor that knows nothing of methods but that health and reflection are no
business of a leader's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from broker.leadership import not_leader
from broker.services.behaviours import surrounded
from suan.status import encode

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the stubs only
    Interceptor = grpc.aio.ServerInterceptor

_ALWAYS: Final = ("/grpc.health.", "/grpc.reflection.")


class LeadGate(Interceptor):
    """Refuses all calls with NotLeader until `open`, and ends those under way at `close`."""

    def __init__(self) -> None:
        self._leads = False
        self._calls: set[asyncio.Task[Any] | None] = set()
        self._guarded: dict[str, tuple[Any, Any]] = {}  # handler as served, and as guarded

    def open(self) -> None:
        """This broker leads."""
        self._leads = True

    def close(self) -> None:
        """It leads no longer: no call of its term is answered any more."""
        self._leads = False
        ended, self._calls = self._calls, set()
        for call in ended:
            if call is not None:
                call.cancel()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """gRPC's entry."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_ALWAYS):
            return handler
        known, guarded = self._guarded.get(method, (None, None))
        if known is not handler:
            guarded = surrounded(handler, self._call, self._stream)
            self._guarded[method] = (handler, guarded)
        return guarded

    def _call(self, behaviour: Any) -> Any:
        async def call(request: Any, context: Context) -> Any:
            async with self._while_leading(context):
                return await behaviour(request, context)

        return call

    def _stream(self, behaviour: Any) -> Any:
        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._while_leading(context), aclosing(behaviour(request, context)) as said:
                async for response in said:
                    yield response

        return stream

    @asynccontextmanager
    async def _while_leading(self, context: Context) -> AsyncIterator[None]:
        call = asyncio.current_task()
        if not self._leads:
            await context.abort(*encode(not_leader()))
        self._calls.add(call)
        try:
            yield
        except asyncio.CancelledError:
            if call is None or call in self._calls:  # the caller went away
                raise
            call.uncancel()
            with suppress(grpc.aio.UsageError):  # it was being refused for another reason
                await context.abort(*encode(not_leader()))
            raise
        finally:
            self._calls.discard(call)
