"""A TCP proxy that can be cut in each direction, for machines without network namespaces.

What is cut is held back, not lost, as TCP would send it again; a connection that is asked
for during a cut is made when both directions pass. Runs on a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

PIECE_BYTES = 64 * 1024


class Proxy:
    """One port on loopback that leads to `target` (HOST:PORT)."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._into = asyncio.Event()  # set: bytes pass from the target to who dialled
        self._out = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.address = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.pass_only(into=True, out=True)

    def pass_only(self, *, into: bool, out: bool) -> None:
        """Let pass what is named and hold back the rest, from now on."""

        def change() -> None:
            for gate, is_open in ((self._into, into), (self._out, out)):
                (gate.set if is_open else gate.clear)()

        self._loop.call_soon_threadsafe(change)

    def close(self) -> None:
        """End all connections and the thread."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _hang_up(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _listen(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        pumps: list[asyncio.Task[None]] = []
        try:
            await self._out.wait()
            await self._into.wait()
            host, _, port = self._target.rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            ends.append(far_writer)
            pumps.append(asyncio.create_task(_pump(reader, far_writer, self._out)))
            pumps.append(asyncio.create_task(_pump(far_reader, writer, self._into)))
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # nobody listens there now
        finally:
            for pump in pumps:
                pump.cancel()
            for end in ends:
                end.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            await gate.wait()
            writer.write(piece)
            await writer.drain()
