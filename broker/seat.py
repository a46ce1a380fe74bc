"""The seat of the leader: a `Port` that is whoever leads now, and refuses while nobody does.

Services are bound to it once; leaders come and go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from broker.asks import Ask, P, Part
from broker.core.messages import Event, Reply
from broker.feed import Changes
from broker.kept_logs import Tail, TailAck
from broker.leader import Port
from broker.leadership import not_leader
from broker.queries import Query
from scheduler.model import Demand, Explanation


class Seat:
    """Serves `Port`. Raises Unavailable (NotLeader) while it is empty."""

    def __init__(self) -> None:
        self._taken_by: Port | None = None

    def take(self, leader: Port) -> None:
        self._taken_by = leader

    def leave(self) -> None:
        self._taken_by = None

    @property
    def _leader(self) -> Port:
        if self._taken_by is None:
            raise not_leader()
        return self._taken_by

    async def post(self, event: Event) -> Reply | None:
        return await self._leader.post(event)

    def post_soon(self, event: Event) -> None:
        if self._taken_by is not None:  # agents resend what matters
            self._taken_by.post_soon(event)

    async def read(self, query: Query) -> Any:
        return await self._leader.read(query)

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        return await self._leader.changes(after, wait_seconds)

    async def explain(self, key: str, job_id: str) -> tuple[Explanation | None, float]:
        return await self._leader.explain(key, job_id)

    async def plan(self, demand: Demand, tenant: str) -> Explanation:
        return await self._leader.plan(demand, tenant)

    async def ask(self, site: str, ask: Ask[P]) -> P:
        return await self._leader.ask(site, ask)

    def answer(self, request_id: str, part: Part) -> None:
        if self._taken_by is not None:
            self._taken_by.answer(request_id, part)

    async def keep(self, site: str, tails: Sequence[Tail]) -> tuple[TailAck, ...]:
        return await self._leader.keep(site, tails)

    async def kept(self, job_id: str, epoch: int) -> Tail | None:
        return await self._leader.kept(job_id, epoch)
