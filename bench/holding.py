"""An agent whose jobs run until they are stopped: real but for the processes of its jobs.

`python -m bench.holding suan-agent -c agent.yaml run` runs in place of that command, so that
thousands of jobs can live on a small machine. What would end a job ends it here too: a stop,
and a lease that is not renewed in time, as its guard would see it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from agent.backends import (
    BackendRefused,
    Exit,
    LogPart,
    Phase,
    RankPlace,
    Reason,
    RunOrder,
    RunState,
    Stream,
)
from agent.clock import lease_now
from agent.config.file import load_config
from agent.service import run_agent
from suan import catalogue
from suan.identity.tls import raise_tls_floor

LOOK_SECONDS = 0.5  # between two looks at the leases


class HoldingBackend:
    """See `agent.backends.Backend`. Remembers runs in memory."""

    def __init__(self) -> None:
        self._orders: dict[str, tuple[RunOrder, float]] = {}  # with when it began
        self._deadlines: dict[str, float] = {}
        self._ended: dict[str, Exit] = {}
        self._exits: asyncio.Queue[Exit | None] = asyncio.Queue()
        self._guard: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._guard = asyncio.create_task(self._guard_leases())

    async def close(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
        self._exits.put_nowait(None)

    async def submit(self, order: RunOrder, deadline: float) -> None:
        if order.name not in self._orders:
            self._orders[order.name] = order, time.time()
            self._deadlines[order.name] = deadline

    async def find(self, name: str) -> RunState | None:
        if name in self._ended:
            return RunState(name, Phase.EXITED, self._ended[name])
        return RunState(name, Phase.RUNNING) if name in self._orders else None

    async def list(self) -> tuple[str, ...]:
        return tuple(sorted(self._orders))

    async def renew(self, name: str, deadline: float) -> None:
        if name in self._deadlines:
            self._deadlines[name] = deadline

    async def stop(self, name: str, reason: str) -> None:
        if self._deadlines.pop(name, None) is not None:
            order, began = self._orders[name]
            codes = (137,) * len(order.nodes)
            ended = Exit(name, 137, 9, Reason.STOPPED, began, time.time(), codes, reason)
            self._ended[name] = ended
            self._exits.put_nowait(ended)

    async def exits(self) -> AsyncIterator[Exit]:
        while (ended := await self._exits.get()) is not None:
            yield ended

    async def read_log(
        self, name: str, rank: int, stream: Stream, offset: int, limit_bytes: int
    ) -> LogPart:
        return LogPart(b"", offset, at_end=name in self._ended)

    async def log_sizes(self, name: str) -> Mapping[tuple[int, Stream], int]:
        return {}

    async def log_offset(self, name: str, rank: int, stream: Stream, since: float) -> int:
        return 0

    async def beside(self, name: str, rank: int) -> RankPlace:
        raise BackendRefused("ExecUnsupported", "no process of a job runs here")

    async def roots(self, name: str) -> Mapping[str, str]:
        raise KeyError(name)

    async def forget(self, name: str) -> None:
        for kept in (self._orders, self._deadlines, self._ended):
            kept.pop(name, None)

    async def _guard_leases(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = lease_now()
            for name in [name for name, end in self._deadlines.items() if end < now]:
                await self.stop(name, "its lease has ended")


if __name__ == "__main__":
    raise_tls_floor()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    file = Path(sys.argv[sys.argv.index("-c") + 1])
    asyncio.run(run_agent(load_config(file, catalogue.load()), HoldingBackend()))
