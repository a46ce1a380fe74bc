"""`Port` over a leader actor: what a gateway behind Ray asks the leader through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ray.exceptions

from broker.asks import Ask, P, Part
from broker.core.messages import Event, Reply
from broker.feed import Changes
from broker.gaps import Gaps
from broker.kept_logs import Tail, TailAck
from broker.queries import Query
from broker.ray_app.settings import OUTBOUND_MAX, Answer
from scheduler.model import Demand, Explanation
from suan.errors import Unavailable

POSTS_IN_FLIGHT = 3  # calls with events that somebody waits for


class RayPort:
    """`Port` over a leader actor: calls are batched, agents' events keep their order."""

    def __init__(self, leader: Any) -> None:
        self._leader = leader
        self._admits: list[Event | Answer] = []
        self._gaps = Gaps()
        self._admitting: asyncio.Task[None] | None = None
        self._posts: list[tuple[Event, asyncio.Future[Reply | None]]] = []
        self._posters: set[asyncio.Task[None] | None] = set()

    async def post(self, event: Event) -> Reply | None:
        if len(self._posts) >= OUTBOUND_MAX:
            raise Unavailable("too many requests wait", "try again shortly", "BrokerBusy")
        future: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._posts.append((event, future))
        if len(self._posters) < POSTS_IN_FLIGHT:
            self._posters.add(asyncio.create_task(self._flush_posts()))
        return await future

    async def _flush_posts(self) -> None:
        """While some are under way the next gather: a call to an actor costs a millisecond."""
        while self._posts:
            batch, self._posts = self._posts, []
            await self._post_batch(batch)
        # Here and not in a callback: nothing may be posted between the last look and this.
        self._posters.discard(asyncio.current_task())

    async def _post_batch(self, batch: list[tuple[Event, asyncio.Future[Reply | None]]]) -> None:
        try:
            replies = await self._call(self._leader.post.remote([event for event, _ in batch]))
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            if not future.done():
                future.set_result(reply)

    def post_soon(self, event: Event) -> None:
        if len(self._admits) >= OUTBOUND_MAX:
            self._gaps.lose(event)
        elif self._gaps.admit(event):
            self._admit(event)

    def answer(self, request_id: str, part: Part) -> None:
        self._admit((request_id, part))

    def _admit(self, item: Event | Answer) -> None:
        if len(self._admits) >= OUTBOUND_MAX:
            return  # the leader is away; agents say everything again in their next session
        self._admits.append(item)
        if self._admitting is None or self._admitting.done():
            self._admitting = asyncio.ensure_future(self._flush_admits())

    async def _flush_admits(self) -> None:
        while self._admits:
            batch, self._admits = self._admits, []
            with suppress(Unavailable):
                await self._call(self._leader.admit.remote(batch))

    async def read(self, query: Query) -> Any:
        return await self._call(self._leader.read.remote(query))

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        found: Changes = await self._call(self._leader.changes.remote(after, wait_seconds))
        return found

    async def explain(self, key: str, job_id: str) -> tuple[Explanation | None, float]:
        found: tuple[Explanation | None, float] = await self._call(
            self._leader.explain.remote(key, job_id)
        )
        return found

    async def plan(self, demand: Demand, tenant: str) -> Explanation:
        found: Explanation = await self._call(self._leader.plan.remote(demand, tenant))
        return found

    async def ask(self, site: str, ask: Ask[P]) -> P:
        found: P = await self._call(self._leader.ask.remote(site, ask))
        return found

    async def keep(self, site: str, tails: Sequence[Tail]) -> tuple[TailAck, ...]:
        acks: tuple[TailAck, ...] = await self._call(self._leader.keep.remote(site, tails))
        return acks

    async def kept(self, job_id: str, epoch: int) -> Tail | None:
        found: Tail | None = await self._call(self._leader.kept.remote(job_id, epoch))
        return found

    async def _call(self, pending: Any) -> Any:
        try:
            return await pending
        except ray.exceptions.RayActorError:
            raise Unavailable(
                "the leader is starting again", "nothing was lost; try again", "LeaderStarting"
            ) from None
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
