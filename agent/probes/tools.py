"""Runs other people's commands: found, called, bounded in time and in what they print.

A command that is stopped is killed with all its process group, and its pipes are closed
unread: a pipe that nobody reads would keep `wait()` of a dead process waiting for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass

# Where the vendors put their tools when they are not on the path.
TOOL_PLACES = (
    "/usr/local/bin:/usr/local/sbin:/usr/local/Ascend/driver/tools:/opt/hyhal/bin:/opt/rocm/bin"
)


class ProbeFailed(Exception):
    """A tool gave no answer. `code`: "ToolMissing", "ToolTimedOut", "ToolFailed"."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a call may take, and what to do when it takes longer."""

    seconds: float
    output_bytes: int
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """The end of a call."""

    status: int
    output: str
    complaint: str  # what it wrote to its standard error


def find_tool(tool: str) -> str:
    """The path of a tool; "" when this machine has none."""
    return shutil.which(tool) or shutil.which(tool, path=TOOL_PLACES) or ""


async def call_tool(
    tool: str,
    *arguments: str,
    bounds: Bounds,
    text: bytes = b"",
    environment: Mapping[str, str] | None = None,
    hint: str = "install it",
) -> Said:
    """Run `tool` to its end with `text` as its input; None: the agent's own environment.

    Raises ProbeFailed: it is missing (`hint` says what to do), takes longer than
    `bounds.seconds` or prints more than `bounds.output_bytes` to either stream.
    """
    path = find_tool(tool)
    if not path:
        raise ProbeFailed("ToolMissing", f"{tool} is not on this machine", hint)
    loop = asyncio.get_running_loop()
    transport, capture = await loop.subprocess_exec(
        lambda: _Capture(bounds.output_bytes),
        path,
        *arguments,
        stdin=asyncio.subprocess.PIPE if text else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        if isinstance(pipe := transport.get_pipe_transport(0), asyncio.WriteTransport):
            pipe.write(text)
            pipe.write_eof()
        async with asyncio.timeout(bounds.seconds):
            output, complaint = await capture.ended
    except TimeoutError:
        message = f"{tool} gave no answer within {bounds.seconds:g} s"
        raise ProbeFailed("ToolTimedOut", message, bounds.hint) from None
    finally:
        if transport.get_returncode() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
        transport.close()
    status = transport.get_returncode() or 0
    return Said(status, output.decode("utf-8", "replace"), complaint.decode("utf-8", "replace"))


class _Capture(asyncio.SubprocessProtocol):
    """All that a process prints, up to the limit, once it and its pipes are closed."""

    def __init__(self, bytes_max: int) -> None:
        self.ended: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._bytes_max = bytes_max
        self._said = {1: bytearray(), 2: bytearray()}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._said[fd] += data
        if len(self._said[fd]) > self._bytes_max and not self.ended.done():
            message = f"it printed more than {self._bytes_max} bytes"
            self.ended.set_exception(ProbeFailed("ToolFailed", message))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result((bytes(self._said[1]), bytes(self._said[2])))
