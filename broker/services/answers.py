"""Errors on their way out: every servicer raises SuanError, this turns it into a status.

What is not a SuanError is our bug: it is logged with a number that the caller is told.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import grpc
import grpc.aio

from broker.core.messages import Refusal, Reply
from suan.errors import InternalError, SuanError, from_status
from suan.status import encode

log = logging.getLogger(__name__)
R = TypeVar("R")

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = Any


def granted(reply: Reply | None, kind: type[R]) -> R:
    """The reply, when it is of the hoped-for kind; raises the error a refusal stands for."""
    if isinstance(reply, kind):
        return reply
    if isinstance(reply, Refusal):
        raise from_status(reply.status, reply.message, reply.hint, reply.code)
    raise InternalError(f"the core answered {reply!r}")


def unary(
    method: Callable[[Any, Any, Context], Awaitable[Any]],
) -> Callable[[Any, Any, Context], Awaitable[Any]]:
    """A servicer method that may raise SuanError."""

    @functools.wraps(method)
    async def answered(self: Any, request: Any, context: Context) -> Any:
        try:
            return await method(self, request, context)
        except Exception as error:
            await _abort(error, context)

    return answered


def stream(
    method: Callable[[Any, Any, Context], AsyncIterator[Any]],
) -> Callable[[Any, Any, Context], AsyncIterator[Any]]:
    """A servicer method that yields responses and may raise SuanError."""

    @functools.wraps(method)
    async def answered(self: Any, request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            said = cast(AsyncGenerator[Any, None], method(self, request, context))
            async with aclosing(said) as responses:
                async for response in responses:
                    yield response
        except Exception as error:
            await _abort(error, context)

    return answered


async def _abort(error: Exception, context: Context) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
        raise error
    if not isinstance(error, SuanError):
        number = secrets.token_hex(4)
        log.error("fault %s", number, exc_info=error)
        error = InternalError(
            f"the broker made a mistake (fault {number})", "report it with this number"
        )
    await context.abort(*encode(error))
    raise AssertionError("abort returns never")
