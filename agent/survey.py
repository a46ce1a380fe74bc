"""Looks at this machine's cards now and then, and tells when what may be placed has changed.

Joins the probes to the inventory. A tool that fails says nothing about the cards: what was
known before stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from agent.config import AgentConfig, ProbedPool
from agent.inventory import Inventory, NodeCondition
from agent.probes.assess import assess
from agent.probes.reading import Readings
from agent.probes.run import read_cards
from agent.probes.tools import ProbeFailed
from agent.supervisor.messages import Event, InventoryChanged

log = logging.getLogger(__name__)

Read = Callable[[str], Awaitable[Readings]]


class Surveying(Protocol):
    """Who tells an agent what its site has. `held` gives a node's cards that runs of ours hold."""

    @property
    def rules(self) -> tuple[str, ...]:
        """Of the site's cluster manager, one line each, for people."""

    def inventory(self) -> Inventory:
        """What the site has, by the last reading; nothing of it is taken."""

    async def look(self, held: Callable[[str, str], frozenset[int]]) -> bool:
        """Read; whether anything has changed that the broker should know."""

    async def run(
        self, held: Callable[[str, str], frozenset[int]], post: Callable[[Event], None]
    ) -> None:
        """Read again and again, and post what has changed."""


class Survey:
    """The conditions of this site's cards, as last read."""

    def __init__(self, config: AgentConfig, read: Read = read_cards) -> None:
        self._config = config
        self._read = read
        self._conditions: dict[tuple[str, str], NodeCondition] = {}
        self._failing: set[str] = set()

    @property
    def rules(self) -> tuple[str, ...]:
        return self._config.rules

    def inventory(self) -> Inventory:
        """What the site has, by the last readings; nothing of it is taken."""
        pools = self._config.declared_pools
        return Inventory(self._config.site, pools, self._conditions.values())

    async def look(self, held: Callable[[str, str], frozenset[int]]) -> bool:
        """Read all cards; whether anything changed. `held` gives a node's cards of our runs."""
        before = dict(self._conditions)
        for pool in self._config.pools:
            readings = await self._readings(pool.probe) if pool.probe else None
            if readings is not None:
                self._judge(pool, readings, held)
        return self._conditions != before

    async def run(
        self, held: Callable[[str, str], frozenset[int]], post: Callable[[Event], None]
    ) -> None:
        """Until cancelled; returns at once where there is nothing to read."""
        while any(pool.probe for pool in self._config.pools):
            await asyncio.sleep(self._config.probe_seconds)
            if await self.look(held):
                post(InventoryChanged(self.inventory()))

    def _judge(
        self, pool: ProbedPool, readings: Readings, held: Callable[[str, str], frozenset[int]]
    ) -> None:
        name = pool.declared.name
        for node in pool.declared.nodes:
            condition = assess(pool.declared, node.name, readings, held(name, node.name))
            self._conditions[name, node.name] = condition

    async def _readings(self, tool: str) -> Readings | None:
        try:
            readings = await self._read(tool)
        except ProbeFailed as failed:
            if tool not in self._failing:
                log.warning("%s: %s (%s)", failed.code, failed.message, failed.hint)
            self._failing.add(tool)
            return None
        self._failing.discard(tool)
        return readings
