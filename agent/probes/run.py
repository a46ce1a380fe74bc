"""Runs the vendors' tools on this machine: found, called, bounded in time and in output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from agent.probes import ascend, hygon, nvidia
from agent.probes.reading import Readings

TIMEOUT_SECONDS = 15.0  # of one call; npu-smi takes seconds on a full server
OUTPUT_BYTES_MAX = 4 * 1024 * 1024
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


async def read_cards(tool: str) -> Readings:
    """What `tool` says of this machine's devices. Raises ProbeFailed; KeyError: no such probe."""
    return await _PROBES[tool](tool)


async def call(tool: str, *arguments: str) -> str:
    """Standard output of one call; an exit status other than 0 fails unless it said something."""
    path = find_tool(tool)
    if not path:
        raise ProbeFailed(
            "ToolMissing", f"{tool} is not on this machine", "install the driver, or drop the probe"
        )
    loop = asyncio.get_running_loop()
    transport, capture = await loop.subprocess_exec(
        _Capture,
        path,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output = await capture.output
    except TimeoutError:
        raise ProbeFailed(
            "ToolTimedOut",
            f"{tool} gave no answer within {TIMEOUT_SECONDS:g} s",
            "a hanging driver; look at the kernel's log",
        ) from None
    finally:
        if transport.get_returncode() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
        transport.close()
    text = output.decode("utf-8", "replace")
    if transport.get_returncode() and not text.strip():
        status = transport.get_returncode()
        raise ProbeFailed("ToolFailed", f"{tool} ended with {status} and said nothing")
    return text


class _Capture(asyncio.SubprocessProtocol):
    """All output of a process, up to the limit, once it and its pipe are closed."""

    def __init__(self) -> None:
        self.output: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > OUTPUT_BYTES_MAX and not self.output.done():
            message = f"it printed more than {OUTPUT_BYTES_MAX} bytes"
            self.output.set_exception(ProbeFailed("ToolFailed", message))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.output.done():
            self.output.set_result(bytes(self._buffer))


def find_tool(tool: str) -> str:
    """The path of a tool; "" when this machine has none."""
    return shutil.which(tool) or shutil.which(tool, path=TOOL_PLACES) or ""


async def _nvidia(tool: str) -> Readings:
    return nvidia.parse(await call(tool, *nvidia.ARGUMENTS))


async def _ascend(tool: str) -> Readings:
    mapping = ""
    with contextlib.suppress(ProbeFailed):
        mapping = await call(tool, *ascend.MAPPING_ARGUMENTS)
    return ascend.parse(await call(tool, *ascend.ARGUMENTS), mapping)


async def _hygon(tool: str) -> Readings:
    detail = ""
    with contextlib.suppress(ProbeFailed):
        detail = await call(tool, *hygon.DETAIL_ARGUMENTS)
    return hygon.parse(await call(tool, *hygon.ARGUMENTS), detail, tool)


_PROBES: Mapping[str, Callable[[str], Awaitable[Readings]]] = MappingProxyType(
    {
        nvidia.TOOL: _nvidia,
        ascend.TOOL: _ascend,
        hygon.TOOL: _hygon,
        hygon.ROCM_TOOL: _hygon,
    }
)
PROBES = tuple(_PROBES)
