"""A command beside a running job: what it writes, each byte once, and how it ends.

The client mints the command's id before the first send, so a stream that breaks is opened again
with the same id and goes on with the same command; nothing is started twice. Knows the messages
of `Jobs.Exec` and `Jobs.SendInput`.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from suan.errors import SuanError
from suan.transport import Transport
from suan.v1 import jobs_service_pb2 as pb

INPUT_BYTES = 32 << 10  # in one message
INPUT_PAUSE_SECONDS = 0.2  # where the site takes no more for now

ReadInput = Callable[[], bytes]  # blocks; b"": nothing follows


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What a command wrote since the last one; `exit_code` in the last one only."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int | None = None


class Command:
    """One command, from its start to its end."""

    def __init__(
        self,
        transport: Transport,
        stub: Any,
        job_id: str,
        argv: Sequence[str],
        rank: int,
        timeout_seconds: float,
        read_input: ReadInput | None,
    ) -> None:
        self._transport = transport
        self._stub = stub
        self._read_input = read_input
        self._request = pb.ExecRequest(
            id=job_id,
            command_id=secrets.token_hex(16),
            argv=argv,
            rank=rank,
            timeout_seconds=timeout_seconds,
            takes_input=read_input is not None,
        )
        self._sending: asyncio.Task[None] | None = None

    async def run(self) -> AsyncGenerator[CommandOutput, None]:
        """Until it ends; whoever stops reading ends it. Raises SuanError."""

        async def request() -> pb.ExecRequest:
            return self._request

        stream = self._transport.stream(self._stub.Exec, request, patient=False, endless=True)
        try:
            async with aclosing(stream) as responses:
                async for response in responses:
                    if self._begun(response) and self._read_input is not None:
                        self._sending = asyncio.create_task(self._send_input(self._read_input))
                    output = self._fresh(response)
                    if output.stdout or output.stderr or response.ended:
                        yield output
                    if response.ended:
                        return
        finally:
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.wait({self._sending})

    def _begun(self, response: pb.ExecResponse) -> bool:
        """Whether this is the first word of it."""
        is_first = not self._request.epoch
        self._request.epoch = response.epoch
        return is_first

    def _fresh(self, response: pb.ExecResponse) -> CommandOutput:
        """What of a response is new."""
        asked = self._request
        out = response.stdout[max(asked.stdout_offset - response.stdout_offset, 0) :]
        err = response.stderr[max(asked.stderr_offset - response.stderr_offset, 0) :]
        asked.stdout_offset += len(out)
        asked.stderr_offset += len(err)
        return CommandOutput(out, err, response.exit_code if response.ended else None)

    # --- input ----------------------------------------------------------------

    async def _send_input(self, read_input: ReadInput) -> None:
        """Hand on what is read until nothing follows, or the command takes no more."""
        offset, pieces = 0, _pieces(read_input)
        while True:
            data = await pieces.get()
            end = not data
            while data or end:
                sent = await self._send(offset, data, end)
                if sent is None:
                    return
                data, offset = data[max(sent - offset, 0) :], max(sent, offset)
                if end:
                    return
                if data:
                    await asyncio.sleep(INPUT_PAUSE_SECONDS)

    async def _send(self, offset: int, data: bytes, end: bool) -> int | None:
        """How many bytes of input the site has; None: it takes no more."""
        request = pb.SendInputRequest(
            id=self._request.id,
            command_id=self._request.command_id,
            epoch=self._request.epoch,
            rank=self._request.rank,
            offset=offset,
            data=data,
            end=end,
        )
        try:
            response = await self._transport.call(self._stub.SendInput, request)
        except SuanError:  # the stream tells what is the matter
            return None
        return None if response.ended else int(response.taken)


def _pieces(read_input: ReadInput) -> asyncio.Queue[bytes]:
    """What is read, by a thread that nobody waits for: reading may never end."""
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue[bytes](maxsize=4)

    def read() -> None:
        with suppress(RuntimeError):  # the loop is gone
            data = b"first"
            while data:
                try:
                    data = read_input()
                except (OSError, ValueError):
                    data = b""
                for start in range(0, max(len(data), 1), INPUT_BYTES):
                    piece = data[start : start + INPUT_BYTES]
                    asyncio.run_coroutine_threadsafe(pieces.put(piece), loop).result()

    threading.Thread(target=read, name="suan-input", daemon=True).start()
    return pieces
