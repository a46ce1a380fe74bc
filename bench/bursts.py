# ruff: noqa: ASYNC240
"""A cluster manager through the agent's backend, beside the same without us: starts and bursts."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from agent.backends import Backend, NodeShare, RunOrder
from agent.clock import lease_now

LEASE_SECONDS = 3600.0
END_SECONDS_MAX = 600.0
SUBMITS_AT_ONCE = 4  # of the rival; the backend does as many


def nobody(pool: str, node: str) -> frozenset[int]:
    """Which cards of a node are held by runs of ours, for a survey."""
    return frozenset()


def order(number: int, nodes: Sequence[str], run: str) -> RunOrder:
    """One card of one of the nodes, in turn."""
    share = NodeShare(nodes[number % len(nodes)], "127.0.0.1", (0,))
    return RunOrder(f"suan-{number}-1", str(number), 1, "bench", (share,), 1, run, kind="npu")


async def submit(made: Backend, nodes: Sequence[str], number: int, run: str) -> None:
    """Put a run through the backend."""
    await made.submit(order(number, nodes, run), lease_now() + LEASE_SECONDS)


async def first_line(mark: Path, put: Callable[[str], Awaitable[object]]) -> float:
    """Seconds from the submission until the job's script has begun."""
    began = time.time()
    await put(f"date +%s.%N > '{mark}.new'; mv '{mark}.new' '{mark}'")
    end = time.monotonic() + END_SECONDS_MAX
    while not mark.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{mark.name} does not start")
        await asyncio.sleep(0.02)
    return float(mark.read_text()) - began


def print_starts(rival: str, bare: Sequence[float], ours: Sequence[float]) -> None:
    for name, seconds in ((rival, bare), ("through us", ours)):
        middle, most = statistics.median(seconds), max(seconds)
        print(f"start      {name:12} median {middle:6.2f} s, at most {most:6.2f} s")
    more = statistics.median(ours) - statistics.median(bare)
    print(f"start      overhead     median {more:6.2f} s")


async def our_burst(
    made: Backend, nodes: Sequence[str], first: int, count: int, run: str = "true"
) -> tuple[float, float]:
    """Seconds until the manager has them all, and until all are over."""
    began = time.monotonic()
    numbers = range(first, first + count)
    submits = [asyncio.create_task(submit(made, nodes, n, run)) for n in numbers]
    ending = asyncio.create_task(all_end(made, count))
    await asyncio.gather(*submits)
    accepted = time.monotonic() - began
    await asyncio.wait_for(ending, END_SECONDS_MAX)
    return accepted, time.monotonic() - began


async def bare_burst(
    put: Callable[[int], Awaitable[object]], empty: Callable[[], Awaitable[None]], count: int
) -> tuple[float, float]:
    """The same of the rival; `empty` waits until nothing of it is left."""
    slots = asyncio.Semaphore(SUBMITS_AT_ONCE)

    async def in_turn(number: int) -> None:
        async with slots:
            await put(number)

    began = time.monotonic()
    await asyncio.gather(*map(in_turn, range(count)))
    accepted = time.monotonic() - began
    await empty()
    return accepted, time.monotonic() - began


async def all_end(made: Backend, count: int) -> None:
    """Until so many runs have ended well."""
    async for each in made.exits():
        assert each.succeeded, each
        count -= 1
        if not count:
            return


def print_bursts(
    rival: str, bare: tuple[float, float], ours: tuple[float, float], count: int
) -> None:
    for name, (accepted, over) in ((rival, bare), ("through us", ours)):
        print(
            f"burst      {name:12} {count} jobs: submitted in {accepted:.1f} s"
            f" ({count / accepted:.1f}/s), over in {over:.1f} s ({count / over:.1f}/s)"
        )
    print(
        f"burst      ours over bare: {ours[0] / bare[0]:.2f} to submit, {ours[1] / bare[1]:.2f} to"
        " the end; nodes, head and agent share this machine's cores"
    )
