# ruff: noqa: ASYNC110, ASYNC240
"""What the tests of all kinds of sites share: orders, waiting for a run, and reading its output."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

from agent.backends import Backend, Exit, Phase, RunOrder, Stream, run_name
from agent.clock import lease_now
from tests.conformance.kinds import Site

PATIENCE_SECONDS = 90.0  # a bound on hanging, far above what anything here takes
LOOK_SECONDS = 0.02
PART_BYTES = 1 << 20  # of output that is read at once
SEAT = "席 seat"  # where a run and its test leave things for each other


def order(site: Site, state: Path, run: str, epoch: int = 1, **fields: Any) -> RunOrder:
    """One card of the first node; what it puts out lies in the test's own `seat`."""
    given = {
        "nodes": site.nodes[:1],
        "cards_per_node": 1,
        "kind": "npu",
        "model": "ascend-910b",
        "grace_seconds": 20.0,
        "output_directory": str(seat(state)),
        **fields,
    }
    cards = given["cards_per_node"]
    given["nodes"] = tuple(replace(node, devices=node.devices[:cards]) for node in given["nodes"])
    # A cluster manager may take a name once for ever, and its site is shared by the tests.
    job = given.pop("job_id", f"life-{crc32(os.fsencode(state)):08x}")
    return RunOrder(run_name(job, epoch), job, epoch, "shenzhen", run=run, **given)


def seat(state: Path) -> Path:
    return state.parent / SEAT


def lease(seconds: float = 600.0) -> float:
    return lease_now() + seconds


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[Backend]:
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def next_exit(of: Backend) -> Exit:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(of.exits())  # type: ignore[call-overload]


async def reached(of: Backend, name: str, phase: Phase = Phase.RUNNING) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := await of.find(name)) is None or found.phase is not phase:
            await asyncio.sleep(LOOK_SECONDS)


async def written(path: Path) -> str:
    """A whole line that a run wrote, once it is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (path.exists() and path.read_text().endswith("\n")):
            await asyncio.sleep(LOOK_SECONDS)
    return path.read_text().strip()


async def read_all(
    of: Backend, name: str, rank: int = 0, stream: Stream = Stream.STDOUT, offset: int = 0
) -> bytes:
    """A rank's output from `offset` to the end of the run, read part by part."""
    parts = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            part = await of.read_log(name, rank, stream, offset, PART_BYTES)
            assert len(part.data) <= PART_BYTES
            assert part.next_offset == offset + len(part.data)
            parts.append(part.data)
            offset = part.next_offset
            if part.at_end:
                return b"".join(parts)
            if not part.data:
                await asyncio.sleep(LOOK_SECONDS)
