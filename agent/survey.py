"""Looks at this machine's cards now and then, and tells when what may be placed has changed.

Joins the probes to the inventory. A tool that fails says nothing about the cards: what was
known before stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from agent.cards.health import CardHealth
from agent.config.file import AgentConfig, ProbedPool
from agent.inventory import DeclaredPool, Inventory, NodeCondition
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

    @property
    def declared_pools(self) -> tuple[DeclaredPool, ...]:
        """By the last reading."""

    @property
    def conditions(self) -> Iterable[NodeCondition]:
        """Of the nodes that somebody has read, by the last reading."""

    @property
    def readings(self) -> Mapping[tuple[str, str], Readings]:
        """What tools and exporters said last, by pool and node."""

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

    def __init__(
        self, config: AgentConfig, read: Read = read_cards, cards: CardHealth | None = None
    ) -> None:
        """`cards`: of the pools that name an exporter."""
        self._config = config
        self._read = read
        self._cards = cards or CardHealth(config.probe_seconds)
        self._conditions: dict[tuple[str, str], NodeCondition] = {}
        self._readings_of: dict[tuple[str, str], Readings] = {}  # of tools
        self._failing: set[str] = set()

    @property
    def rules(self) -> tuple[str, ...]:
        return self._config.rules

    @property
    def declared_pools(self) -> tuple[DeclaredPool, ...]:
        return self._config.declared_pools

    @property
    def conditions(self) -> Iterable[NodeCondition]:
        return (*self._conditions.values(), *self._cards.conditions)

    @property
    def readings(self) -> Mapping[tuple[str, str], Readings]:
        return {**self._readings_of, **self._cards.readings}

    def inventory(self) -> Inventory:
        """What the site has, by the last readings; nothing of it is taken."""
        return Inventory(self._config.site, self._config.declared_pools, self.conditions)

    async def look(self, held: Callable[[str, str], frozenset[int]]) -> bool:
        """Read all cards; whether anything changed. `held` gives a node's cards of our runs."""
        before = dict(self._conditions)
        for pool in self._config.pools:
            readings = await self._readings(pool.probe) if pool.probe else None
            if readings is not None:
                self._judge(pool, readings, held)
            elif pool.probe:
                self._lose_sight(pool)
        found = await self._cards.look(self._config.declared_pools, held)
        return found or self._conditions != before

    async def run(
        self, held: Callable[[str, str], frozenset[int]], post: Callable[[Event], None]
    ) -> None:
        """Until cancelled; returns at once where there is nothing to read."""
        while any(pool.probe or pool.declared.probe for pool in self._config.pools):
            await asyncio.sleep(self._config.probe_seconds)
            if await self.look(held):
                post(InventoryChanged(self.inventory(), self.rules))

    def _judge(
        self, pool: ProbedPool, readings: Readings, held: Callable[[str, str], frozenset[int]]
    ) -> None:
        name = pool.declared.name
        for node in pool.declared.nodes:
            condition = assess(pool.declared, node.name, readings, held(name, node.name))
            self._conditions[name, node.name] = condition
            self._readings_of[name, node.name] = readings

    def _lose_sight(self, pool: ProbedPool) -> None:
        """What was known stands, but nobody would see a card fail."""
        for place, condition in self._conditions.items():
            if condition.pool == pool.declared.name:
                self._conditions[place] = replace(condition, cards_seen=False)

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
