"""The vendors' tools: which there are, how each is called, and what it says of its cards."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from agent.probes import ascend, hygon, nvidia
from agent.probes.reading import Readings
from agent.probes.tools import Bounds, ProbeFailed, call_tool

BOUNDS = Bounds(
    seconds=15.0,  # npu-smi takes seconds on a full server
    output_bytes=4 * 1024 * 1024,
    hint="a hanging driver; look at the kernel's log",
)


async def read_cards(tool: str) -> Readings:
    """What `tool` says of this machine's devices. Raises ProbeFailed; KeyError: no such probe."""
    return await _PROBES[tool](tool)


async def call(tool: str, *arguments: str) -> str:
    """What one call prints; an exit status other than 0 fails unless it said something."""
    said = await call_tool(
        tool, *arguments, bounds=BOUNDS, hint="install the driver, or drop the probe"
    )
    text = said.output + said.complaint
    if said.status and not text.strip():
        raise ProbeFailed("ToolFailed", f"{tool} ended with {said.status} and said nothing")
    return text


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
