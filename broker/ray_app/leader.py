"""The leader and the planners as actors. They hold nothing that the store does not."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from broker.asks import LogAsk, LogPart
from broker.collector import spare_the_rows
from broker.config import Config
from broker.core.messages import Event, Reply
from broker.feed import Changes
from broker.leader import Leader, Outbound
from broker.local_app import accelerators, open_store
from broker.planner import Place
from broker.queries import Query
from broker.ray_app.settings import (
    LOCK_SECONDS_MAX,
    OUTBOUND_MAX,
    OUTBOUND_WAIT_SECONDS,
    WATCH_SECONDS,
    Answer,
    log_to,
)
from broker.store import Store, StoreError
from scheduler.model import Demand, Explanation, Policy, Round, Snapshot
from scheduler.placement import place
from suan.errors import Unavailable

log = logging.getLogger(__name__)


class LeaderActor:
    """The leader behind Ray. Empty until `start`."""

    def __init__(self, config: Config) -> None:
        log_to(config, "leader")
        self._config = config
        self._leader: Leader | None = None
        self._waiting: dict[str, list[Outbound]] = {}
        self._arrived: dict[str, asyncio.Event] = {}

    async def start(self, planners: Sequence[Any]) -> int:
        """Load the state and lead; the term. Leading already: the same term again."""
        if self._leader is None:
            leader = Leader(
                await _open_store(self._config),
                accelerators(),
                _place_on(planners),
                self._config.limits,
            )
            self._leader = leader
            spare_the_rows()
            task = asyncio.create_task(leader.run())
            task.add_done_callback(_die)  # Ray starts the actor again
        return self._leader.term

    async def term(self) -> int:
        """0 until `start`."""
        return self._leader.term if self._leader else 0

    def _leading(self) -> Leader:
        if self._leader is None:
            raise Unavailable("the leader is starting", "try again shortly", "LeaderStarting")
        return self._leader

    async def attach(self, gateway: str) -> int:
        """A gateway is there, with no session open; the term it is for."""
        leader = self._leading()
        self._waiting[gateway] = []
        self._arrived[gateway] = asyncio.Event()
        leader.attach(gateway, lambda batch: self._queue(gateway, batch))
        return leader.term

    def _queue(self, gateway: str, batch: Sequence[Outbound]) -> None:
        waiting = self._waiting[gateway]
        if len(waiting) < OUTBOUND_MAX:
            waiting.extend(batch)
            self._arrived[gateway].set()

    async def outbound(self, gateway: str, term: int) -> list[Outbound]:
        """What waits for a gateway; Unavailable when it attached to an earlier term."""
        if self._leading().term != term or gateway not in self._arrived:
            raise Unavailable("the leader has changed", "say Hello again", "LeaderChanged")
        arrived = self._arrived[gateway]
        if not self._waiting[gateway]:
            with suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), OUTBOUND_WAIT_SECONDS)
        arrived.clear()
        batch, self._waiting[gateway] = self._waiting[gateway], []
        return batch

    async def admit(self, items: list[Event | Answer]) -> None:
        """Events of agents, in their order, and sites' answers; nobody waits for an effect."""
        leader = self._leading()
        for item in items:
            if isinstance(item, tuple):
                leader.answer(*item)
            else:
                leader.post_soon(item)

    async def post(self, events: list[Event]) -> list[Reply | None]:
        """The replies to `events`."""
        leader = self._leading()
        return list(await asyncio.gather(*(leader.post(event) for event in events)))

    async def read(self, query: Query) -> Any:
        return await self._leading().read(query)

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        return await self._leading().changes(after, wait_seconds)

    async def explain(self, key: str, job_id: str) -> tuple[Explanation | None, float]:
        return await self._leading().explain(key, job_id)

    async def plan(self, demand: Demand, tenant: str) -> Explanation:
        return await self._leading().plan(demand, tenant)

    async def ask(self, site: str, ask: LogAsk) -> LogPart:
        return await self._leading().ask(site, ask)


async def _open_store(config: Config) -> Store:
    """Wait for a leader that was killed a moment ago to let go of its lock."""
    end = asyncio.get_running_loop().time() + LOCK_SECONDS_MAX
    while True:
        try:
            return open_store(config)
        except StoreError as error:
            if error.code != "StoreLocked" or asyncio.get_running_loop().time() > end:
                raise
        await asyncio.sleep(WATCH_SECONDS)


def _die(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error("the leader ends", exc_info=task.exception())
        os._exit(1)


def _place_on(planners: Sequence[Any]) -> Place:
    turns = itertools.cycle(planners)

    async def place_there(snapshot: Snapshot, policy: Policy) -> Round:
        result: Round = await next(turns).place.remote(snapshot, policy)
        return result

    return place_there


class PlannerActor:
    """Runs placement rounds; keeps nothing."""

    def place(self, snapshot: Snapshot, policy: Policy) -> Round:
        return place(snapshot, policy)
