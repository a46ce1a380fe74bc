"""A broker that says when to come again is believed, and not pressed before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from suan.errors import ResourceExhausted
from suan.status import encode
from suan.transport import Transport

METHOD = "/suan.v1.Jobs/Submit"
WAIT_SECONDS = 0.3


class Busy(grpc.GenericRpcHandler):
    """Refuses so often, then answers; notes when it was asked."""

    def __init__(self, refusals: int, retry_after_seconds: float) -> None:
        self.asked_at: list[float] = []
        self._refusals = refusals
        self._retry_after_seconds = retry_after_seconds

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, context: Any) -> bytes:
        self.asked_at.append(time.monotonic())
        if len(self.asked_at) <= self._refusals:
            refusal = ResourceExhausted("full", "wait", "Full", self._retry_after_seconds)
            await context.abort(*encode(refusal))
        return request


@asynccontextmanager
async def transport_to(handler: Busy, deadline_seconds: float) -> AsyncIterator[Transport]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address = f"127.0.0.1:{port}"
    async with grpc.aio.insecure_channel(address) as channel:
        yield Transport(channel, address, Path(), deadline_seconds=deadline_seconds)
    await server.stop(None)


async def call(transport: Transport) -> bytes:
    answer: bytes = await transport.call(transport.channel.unary_unary(METHOD), b"job")
    return answer


def test_it_is_asked_again_when_it_said() -> None:
    busy = Busy(2, WAIT_SECONDS)

    async def run() -> bytes:
        async with transport_to(busy, 20.0) as transport:
            return await call(transport)

    assert asyncio.run(run()) == b"job"
    first, second, third = busy.asked_at
    assert min(second - first, third - second) >= WAIT_SECONDS


@pytest.mark.parametrize(
    ("retry_after_seconds", "deadline_seconds"), [(0.0, 20.0), (WAIT_SECONDS, WAIT_SECONDS / 2)]
)
def test_it_is_not_asked_in_vain(retry_after_seconds: float, deadline_seconds: float) -> None:
    """Not when it named no time, and not when the caller will not wait so long."""
    busy = Busy(1, retry_after_seconds)

    async def run() -> None:
        async with transport_to(busy, deadline_seconds) as transport:
            with pytest.raises(ResourceExhausted) as raised:
                await call(transport)
            assert raised.value.code == "Full"
            assert raised.value.retry_after_seconds == retry_after_seconds

    asyncio.run(run())
    assert len(busy.asked_at) == 1
