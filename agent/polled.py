"""Reads a cluster manager now and then: what it has, and what its own people use of it.

Does for a site with a manager what `agent.survey` does for the agent's own machine. When the
manager gives no answer, what was known before stands. What an answer means is for the room of
that manager, which builds on this.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic

from agent.backends.poll import Poll, V
from agent.cards.health import CardHealth
from agent.inventory import DeclaredPool, Inventory, NodeCondition
from agent.probes.reading import Readings
from agent.probes.tools import ProbeFailed
from agent.supervisor.messages import Event, InventoryChanged
from scheduler.model import Release

log = logging.getLogger(__name__)

_NEVER = float("-inf")
HeldCards = Callable[[str, str], frozenset[int]]  # of pool and node: those of our runs


class PolledSurvey(ABC, Generic[V]):
    """The pools of one cluster manager, as last read."""

    def __init__(
        self,
        site: str,
        poll: Poll[V],
        own_rules: tuple[str, ...],
        cards: CardHealth | None = None,
    ) -> None:
        """`poll`: the backend asks together with this. `own_rules`: the operator's.

        `cards`: what exporters on the nodes say.
        """
        self._site = site
        self.poll = poll
        self._cards = cards or CardHealth()
        self._read_at = _NEVER  # the poll's clock
        self._view: V | None = None
        self._failing = False
        self._conditions: tuple[NodeCondition, ...] = ()
        self.releases: Mapping[str, tuple[Release, ...]] = {}
        self.rules = own_rules

    @property
    @abstractmethod
    def declared_pools(self) -> tuple[DeclaredPool, ...]:
        """By the last reading."""

    @abstractmethod
    def _read(self, view: V, held: HeldCards) -> None:
        """Keep what an answer says."""

    @property
    def conditions(self) -> tuple[NodeCondition, ...]:
        return self._conditions

    @property
    def readings(self) -> Mapping[tuple[str, str], Readings]:
        return self._cards.readings

    def inventory(self) -> Inventory:
        """What the site has, by the last reading; nothing of it is taken by runs."""
        return Inventory(self._site, self.declared_pools, self._conditions, self.releases)

    async def look(self, held: HeldCards) -> bool:
        """Ask the manager and the exporters; whether anything to place has changed.

        `held`: a node's cards of our runs.
        """
        changed = await self._ask(held)
        if await self._cards.look(self.declared_pools) and self._view is not None:
            changed = self._take_in(self._view, held) or changed
        return changed

    async def _ask(self, held: HeldCards) -> bool:
        try:
            answer = await self.poll.answer(self._read_at)
        except ProbeFailed as failed:
            if not self._failing:
                log.warning("%s: %s (%s)", failed.code, failed.message, failed.hint)
            self._failing = True
            return False
        self._failing = False
        self._read_at = answer.asked_at
        self._view = answer.view
        return self._take_in(answer.view, held)

    async def run(self, held: HeldCards, post: Callable[[Event], None]) -> None:
        """Until cancelled; the poll says how often."""

        def again() -> None:
            if self._view is not None and self._take_in(self._view, held):
                post(InventoryChanged(self.inventory(), self.rules))

        again()  # now that runs are known
        watch = asyncio.create_task(self._cards.run(lambda: self.declared_pools, again))
        try:
            while True:
                if await self._ask(held):
                    post(InventoryChanged(self.inventory(), self.rules))
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    def _take_in(self, view: V, held: HeldCards) -> bool:
        before = self.declared_pools, self._conditions, self.releases, self.rules
        self._read(view, held)
        return before != (self.declared_pools, self._conditions, self.releases, self.rules)
