"""The leader and the planners as actors. They hold nothing that the store does not."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from broker.asks import Ask, P
from broker.collector import spare_the_rows
from broker.config import Config
from broker.core.messages import Event, Reply
from broker.feed import Changes
from broker.kept_logs import Tail, TailAck
from broker.leader import Leader, Outbound
from broker.leadership import Lead, not_leader, win
from broker.local_app import accelerators, forget_ready, open_kept_logs, open_store
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
from broker.store import StaleTerm, Store, StoreError
from scheduler.memo import Memo
from scheduler.merge import PAIRS_MIN, merge, policy_for, split
from scheduler.model import Demand, Explanation, Policy, Round, Snapshot
from scheduler.placement import place
from suan.errors import Unavailable

log = logging.getLogger(__name__)


class LeaderActor:
    """The leader behind Ray. Empty until `start`; one that loses the lead dies, whole.

    Ray then starts the actor again, and it stands by.
    """

    def __init__(self, config: Config) -> None:
        log_to(config, "leader")
        self._config = config
        self._leader: Leader | None = None
        self._living: asyncio.Task[None] | None = None
        self._waiting: dict[str, list[Outbound]] = {}
        self._arrived: dict[str, asyncio.Event] = {}

    async def start(self, planners: Sequence[Any]) -> int:
        """Stand by, and lead when it is our turn; the term. Begun already: nothing more.

        Without peers it returns once this broker leads, else at once. Raises StoreError.
        """
        if self._living is None:
            store = await _open_store(self._config)
            winning = asyncio.create_task(win(store))
            if not self._config.has_peers:
                await asyncio.wait({winning})
                if winning.exception() is not None:
                    store.close()
                    winning.result()
            self._living = asyncio.create_task(self._live(store, winning, planners))
            self._living.add_done_callback(_die)
            await asyncio.sleep(0)
        return await self.term()

    async def _live(
        self, store: Store, winning: asyncio.Task[Lead], planners: Sequence[Any]
    ) -> None:
        """One term, from standing by to its end."""
        try:
            place_there = place_on(planners)
            leader = Leader(
                store,
                await winning,
                accelerators(),
                place_there,
                self._config.limits,
                kept_logs=open_kept_logs(self._config),
            )
            spare_the_rows()
            self._leader = leader
            log.info("leading, term %d", leader.term)
            try:
                await leader.run()
            except StaleTerm as error:
                log.warning("%s", error)
                os._exit(1)  # at once: nothing of this process may answer any more
            finally:
                await leader.close()
        finally:
            await asyncio.to_thread(store.close)

    async def stop(self) -> None:
        """Give up the lead, or the wait for it; whoever waits for a reply gets one."""
        if self._living is not None:
            self._living.cancel()
            await asyncio.wait({self._living})

    async def begun(self) -> bool:
        """Whether it was started, be it to lead or to stand by."""
        return self._living is not None

    async def term(self) -> int:
        """0 while it does not lead."""
        return self._leader.term if self._leader else 0

    def _leading(self) -> Leader:
        if self._leader is None:
            raise not_leader()
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
            with suppress(TimeoutError):  # not wait_for: in Python 3.11 it may eat a cancellation
                async with asyncio.timeout(OUTBOUND_WAIT_SECONDS):
                    await arrived.wait()
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

    async def ask(self, site: str, ask: Ask[P]) -> P:
        return await self._leading().ask(site, ask)

    async def keep(self, site: str, tails: Sequence[Tail]) -> tuple[TailAck, ...]:
        return await self._leading().keep(site, tails)

    async def kept(self, job_id: str, epoch: int) -> Tail | None:
        return await self._leading().kept(job_id, epoch)


async def _open_store(config: Config) -> Store:
    """Wait for a leader that was killed a moment ago to let go of its lock."""
    end = asyncio.get_running_loop().time() + LOCK_SECONDS_MAX
    while True:
        try:
            store = await asyncio.to_thread(open_store, config)
            forget_ready(config)
            return store
        except StoreError as error:
            if error.code != "StoreLocked" or asyncio.get_running_loop().time() > end:
                raise
        await asyncio.sleep(WATCH_SECONDS)


def _die(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error("the leader ends", exc_info=task.exception())
        os._exit(1)


def place_on(planners: Sequence[Any]) -> Place:
    """Rounds on the planners: a small one on the next, a large one in parts on all."""
    turns = itertools.cycle(planners)

    async def place_there(snapshot: Snapshot, policy: Policy) -> Round:
        pairs = len(snapshot.queue) * len(snapshot.pools)
        parts = split(snapshot, len(planners)) if pairs >= PAIRS_MIN else (snapshot,)
        each = policy_for(policy, len(parts))
        deciding = [next(turns).place.remote(part, each) for part in parts]
        return merge(tuple(await asyncio.gather(*deciding)))

    return place_there


class PlannerActor:
    """Runs placement rounds; keeps only what saves work in the next."""

    def __init__(self) -> None:
        self._memo = Memo()

    def place(self, snapshot: Snapshot, policy: Policy) -> Round:
        return place(snapshot, policy, self._memo)
