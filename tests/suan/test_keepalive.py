"""A peer that takes data and answers nothing, as a stopped process does, is noticed by pings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from suan.channel import KEEPALIVE_OPTIONS, KEEPALIVE_SECONDS, KEEPALIVE_TIMEOUT_SECONDS

FASTER = 10  # than in production
# gRPC's own patience, if it is not told otherwise, is a minute.
NOTICED_SECONDS = 20.0


def options() -> list[tuple[str, int]]:
    """Those of every channel, all times a tenth."""
    return [
        (name, value // FASTER if name.endswith("_ms") else value)
        for name, value in KEEPALIVE_OPTIONS
    ]


async def echo(requests: Any, _context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


class Road:
    """A TCP proxy that goes on taking bytes when it passes none on any more."""

    def __init__(self, port: int) -> None:
        self.open = True
        self._port = port

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self.open:
                writer.write(data)
        writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Road, str]]:
    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", {"E": handler}),))
    road = Road(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    proxy = await asyncio.start_server(road.carry, "127.0.0.1", 0)
    try:
        yield road, f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()
        await server.stop(None)


def test_a_silent_peer_is_noticed() -> None:
    async def watched() -> grpc.StatusCode:
        async with echoing() as (road, address):
            async with grpc.aio.insecure_channel(address, options()) as channel:
                call: Any = channel.stream_stream("/t/E")()
                await call.write(b"hello")
                assert await call.read() == b"hello"
                road.open = False
                try:
                    async with asyncio.timeout(NOTICED_SECONDS):
                        await call.read()
                except grpc.aio.AioRpcError as error:
                    return error.code()
        raise AssertionError("the stream ended well")

    assert asyncio.run(watched()) is grpc.StatusCode.UNAVAILABLE


def test_in_production_it_is_noticed_before_another_broker_leads() -> None:
    assert KEEPALIVE_SECONDS + KEEPALIVE_TIMEOUT_SECONDS <= 8.0
