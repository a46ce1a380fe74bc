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
KILL_SECONDS = 1.0
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
    process = await asyncio.create_subprocess_exec(
        path,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output = await _read(process.stdout)
            await process.wait()
    except TimeoutError:
        raise ProbeFailed(
            "ToolTimedOut",
            f"{tool} gave no answer within {TIMEOUT_SECONDS:g} s",
            "a hanging driver; look at the kernel's log",
        ) from None
    finally:
        if process.returncode is None:
            await _kill(process)
    text = output.decode("utf-8", "replace")
    if process.returncode and not text.strip():
        raise ProbeFailed("ToolFailed", f"{tool} ended with {process.returncode} and said nothing")
    return text


def find_tool(tool: str) -> str:
    """The path of a tool; "" when this machine has none."""
    return shutil.which(tool) or shutil.which(tool, path=TOOL_PLACES) or ""


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        os.killpg(process.pid, signal.SIGKILL)
        async with asyncio.timeout(KILL_SECONDS):  # one that hangs in the driver cannot die
            await process.wait()


async def _read(stream: asyncio.StreamReader) -> bytes:
    output = bytearray()
    while chunk := await stream.read(65_536):
        output += chunk
        if len(output) > OUTPUT_BYTES_MAX:
            raise ProbeFailed("ToolFailed", f"more than {OUTPUT_BYTES_MAX} bytes of output")
    return bytes(output)


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
