"""The no-op backend: every run is over, with exit 0, the moment it is submitted.

For measuring the road from client to site and back without the cost of processes. It says
what it is wherever it is named; no command of the user is run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

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


class NoopBackend:
    """See `agent.backends.Backend`. Remembers runs in memory, until they are forgotten."""

    def __init__(self) -> None:
        self._ended: dict[str, Exit] = {}
        self._exits: asyncio.Queue[Exit | None] = asyncio.Queue()

    async def open(self) -> None:
        return

    async def close(self) -> None:
        self._exits.put_nowait(None)

    async def submit(self, order: RunOrder, deadline: float) -> None:
        if order.name in self._ended:
            return
        now = time.time()
        codes = (0,) * len(order.nodes)
        ended = Exit(order.name, 0, 0, Reason.EXITED, now, now, codes, "no-op backend: nothing ran")
        self._ended[order.name] = ended
        self._exits.put_nowait(ended)

    async def find(self, name: str) -> RunState | None:
        ended = self._ended.get(name)
        return RunState(name, Phase.EXITED, ended) if ended is not None else None

    async def list(self) -> tuple[str, ...]:
        return tuple(sorted(self._ended))

    async def renew(self, name: str, deadline: float) -> None:
        return

    async def stop(self, name: str, reason: str) -> None:
        return

    async def exits(self) -> AsyncIterator[Exit]:
        while (ended := await self._exits.get()) is not None:
            yield ended

    async def read_log(
        self, name: str, rank: int, stream: Stream, offset: int, limit_bytes: int
    ) -> LogPart:
        if name not in self._ended:
            raise KeyError(name)
        return LogPart(b"", offset, at_end=True)

    async def log_sizes(self, name: str) -> Mapping[tuple[int, Stream], int]:
        return {}

    async def log_offset(self, name: str, rank: int, stream: Stream, since: float) -> int:
        return 0

    async def beside(self, name: str, rank: int) -> RankPlace:
        raise BackendRefused("ExecUnsupported", "no process of a job runs here")

    async def roots(self, name: str) -> Mapping[str, str]:
        raise KeyError(name)

    async def forget(self, name: str) -> None:
        self._ended.pop(name, None)
