"""Whose submission goes next: each tenant has a share of what is under way, and a bounded queue.

A tenant that submits without end fills its own queue and is then refused, with the time after
which it should try again; what others submit passes by. Alone, a tenant has it all.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from suan.errors import ResourceExhausted

JOBS_ALONE_MAX = 512  # of one tenant on their way to the store, while no other submits
JOBS_SHARING_MAX = 32  # … and while others do
REQUESTS_WAITING_MAX = 4_000  # of one tenant
JOBS_WAITING_MAX = 50_000
BYTES_WAITING_MAX = 16 << 20
TENANTS_WAITING_MAX = 16  # times what one tenant may have waiting: of all together
ACTIVE_SECONDS = 1.0  # a tenant that submitted so lately shares
JOBS_PER_SECOND = 2_000.0  # taken for the rate at which a queue is worked off
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.1, 30.0


@dataclass(slots=True)
class _Load:
    """What waits: of one tenant, or of all."""

    requests: int = 0
    jobs: int = 0
    size_bytes: int = 0

    def add(self, jobs: int, size_bytes: int, sign: int) -> None:
        self.requests += sign
        self.jobs += sign * jobs
        self.size_bytes += sign * size_bytes

    def fills(self, times: int) -> bool:
        return (
            self.requests >= times * REQUESTS_WAITING_MAX
            or self.jobs >= times * JOBS_WAITING_MAX
            or self.size_bytes >= times * BYTES_WAITING_MAX
        )


@dataclass(slots=True)
class _Tenant:
    load: _Load = field(default_factory=_Load)
    under_way: int = 0  # jobs
    active_at: float = 0.0
    turns: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)


class TenantQueues:
    """The submissions of one gateway."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tenants: dict[str, _Tenant] = {}
        self._all = _Load()

    @asynccontextmanager
    async def request(self, tenant: str, jobs: int, size_bytes: int) -> AsyncIterator[None]:
        """Room for a request while it is worked on. Raises ResourceExhausted."""
        queue = self._tenants.setdefault(tenant, _Tenant())
        if queue.load.fills(1):
            raise _refusal("TooManySubmissions", f"tenant {tenant}", queue.load)
        if self._all.fills(TENANTS_WAITING_MAX):
            raise _refusal("BrokerBusy", "the broker", self._all)
        for load in (queue.load, self._all):
            load.add(jobs, size_bytes, +1)
        try:
            yield
        finally:
            for load in (queue.load, self._all):
                load.add(jobs, size_bytes, -1)
            if not queue.load.requests:
                self._forget_idle()

    @asynccontextmanager
    async def turn(self, tenant: str, jobs: int) -> AsyncIterator[None]:
        """A part of a request, when it is its turn; parts of one tenant go in order."""
        queue = self._tenants[tenant]
        queue.active_at = self._clock()
        if queue.turns or not self._fits(queue, jobs):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            queue.turns.append((jobs, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._done(queue, jobs)
                raise
        else:
            queue.under_way += jobs
        try:
            yield
        finally:
            self._done(queue, jobs)

    def _fits(self, queue: _Tenant, jobs: int) -> bool:
        """Whether `jobs` more are within the tenant's share; one part always is."""
        return not queue.under_way or queue.under_way + jobs <= self._share()

    def _share(self) -> int:
        since = self._clock() - ACTIVE_SECONDS
        active = sum(1 for queue in self._tenants.values() if queue.active_at >= since)
        return JOBS_ALONE_MAX if active <= 1 else JOBS_SHARING_MAX

    def _done(self, queue: _Tenant, jobs: int) -> None:
        queue.under_way -= jobs
        while queue.turns:
            size, turn = queue.turns[0]
            if not turn.cancelled() and not self._fits(queue, size):
                return
            queue.turns.popleft()
            if not turn.cancelled():
                queue.under_way += size
                turn.set_result(None)

    def _forget_idle(self) -> None:
        since = self._clock() - ACTIVE_SECONDS
        idle = [
            name
            for name, queue in self._tenants.items()
            if not queue.load.requests and queue.active_at < since
        ]
        for name in idle:
            del self._tenants[name]


def _refusal(code: str, who: str, load: _Load) -> ResourceExhausted:
    seconds = min(max(load.jobs / JOBS_PER_SECOND, RETRY_SECONDS_MIN), RETRY_SECONDS_MAX)
    return ResourceExhausted(
        f"{who} has {load.requests:,} requests with {load.jobs:,} jobs waiting to be stored",
        "send fewer at once; the SDK waits by itself and tries again",
        code,
        seconds,
    )
