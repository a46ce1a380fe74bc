"""The leader: the loop, the planner, the feed and the open questions, as one.

Everything that gateways need of it stands in `Port`, so that a gateway cannot tell
whether the leader lives in its own process or behind Ray.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from broker.asks import Asks, LogAsk, LogPart, SiteAsk
from broker.clock import Clock, system_clock
from broker.core.core import Core
from broker.core.limits import Limits
from broker.core.messages import Event, Reply, Send
from broker.core.rows import Job, Put, Record
from broker.feed import Changes, Feed
from broker.leadership import StandbyState
from broker.loop import Loop
from broker.planner import Place, Planner
from broker.queries import Query, answer
from broker.store import Store
from scheduler.explain import explain, plan
from scheduler.model import Accelerator, Demand, Explanation, Policy

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
ROUND_SECONDS = 0.02
Outbound = Send | SiteAsk
Deliver = Callable[[Sequence[Outbound]], None]


class Port(Protocol):
    """What a gateway may ask of the leader."""

    async def post(self, event: Event) -> Reply | None:
        """The reply to `event`, when its effect is durable."""

    def post_soon(self, event: Event) -> None:
        """Hand in an event of an agent; nobody waits for it."""

    async def read(self, query: Query) -> Any:
        """The answer to a query about the present."""

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        """Jobs that changed after revision `after`."""

    async def explain(self, key: str, job_id: str) -> tuple[Explanation | None, float]:
        """Why the class `key` is where it is, and when that was decided (wall seconds)."""

    async def plan(self, demand: Demand, tenant: str) -> Explanation:
        """What would become of a job, were it submitted now."""

    async def ask(self, site: str, ask: LogAsk) -> LogPart:
        """A site's answer."""

    def answer(self, request_id: str, part: LogPart) -> None:
        """Hand in a site's answer."""


class Leader:
    """Serves `Port` in this process. `run` until cancelled."""

    def __init__(
        self,
        store: Store,
        accelerators: tuple[Accelerator, ...],
        place: Place,
        limits: Limits | None = None,
        clock: Clock | None = None,
        policy: Policy | None = None,
    ) -> None:
        clock = clock or system_clock()
        self._policy = policy or Policy()
        standby = StandbyState()
        term = store.campaign(standby)
        core = Core(standby.state, limits or Limits(), term, clock())
        self.term = term
        self._memory = core.memory
        self._loop = Loop(core, store, clock, self._release)
        self._planner = Planner(self._loop, accelerators, self._policy, place, ROUND_SECONDS)
        self._feed = Feed(core.memory.state.revision)
        self._asks = Asks(lambda ask: self._deliver_to(ask.gateway, [ask]))
        self._gateways: dict[str, Deliver] = {}

    async def run(self) -> None:
        """Serve for ever. Raises StaleTerm when another leader has begun."""
        planning = asyncio.create_task(self._planner.run())
        try:
            await self._loop.run(TICK_SECONDS)
        finally:
            planning.cancel()
            with suppress(asyncio.CancelledError):
                await planning

    def attach(self, gateway: str, deliver: Deliver) -> None:
        """Where sends for the sessions of `gateway` go."""
        self._gateways[gateway] = deliver

    # --- Port -------------------------------------------------------------

    async def post(self, event: Event) -> Reply | None:
        return await self._loop.post(event)

    def post_soon(self, event: Event) -> None:
        self._loop.post_soon(event)

    async def read(self, query: Query) -> Any:
        return answer(self._memory, query)

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        return await self._feed.changes(after, wait_seconds)

    async def explain(self, key: str, job_id: str) -> tuple[Explanation | None, float]:
        job = self._memory.state.jobs.get(job_id)
        if job is not None and job.state == "queued":
            snapshot = self._planner.snapshot()
            with suppress(KeyError):  # beyond the classes of one round: its last word stands
                return await asyncio.to_thread(explain, snapshot, key, self._policy), snapshot.now
        return self._memory.explanations.get(key, (None, 0.0))

    async def plan(self, demand: Demand, tenant: str) -> Explanation:
        snapshot = self._planner.snapshot()
        return await asyncio.to_thread(plan, snapshot, demand, tenant, policy=self._policy)

    async def ask(self, site: str, ask: LogAsk) -> LogPart:
        return await self._asks.ask(self._memory.presence.get(site), ask)

    def answer(self, request_id: str, part: LogPart) -> None:
        self._asks.answer(request_id, part)

    # --- after a commit ---------------------------------------------------

    def _release(self, sends: Sequence[Send], records: Sequence[Record]) -> None:
        by_gateway: dict[str, list[Outbound]] = {}
        for send in sends:
            by_gateway.setdefault(send.gateway, []).append(send)
        for gateway, batch in by_gateway.items():
            self._deliver_to(gateway, batch)
        jobs = [r.row for r in records if isinstance(r, Put) and isinstance(r.row, Job)]
        if jobs:
            self._feed.publish(jobs)
        self._planner.wake()

    def _deliver_to(self, gateway: str, batch: Sequence[Outbound]) -> None:
        deliver = self._gateways.get(gateway)
        if deliver is None:
            log.warning("gateway %s is gone; %d messages dropped", gateway, len(batch))
        else:
            deliver(batch)
