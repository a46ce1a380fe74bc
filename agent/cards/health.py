"""What exporters on the nodes say of their cards, as last read.

Beside a cluster manager it tells which cards are faulty; on a site of its own machines all
that a tool would. An exporter that gives no answer says nothing: what was known stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from agent.inventory import DeclaredNode, DeclaredPool, NodeCondition
from agent.probes.assess import assess
from agent.probes.exporters import EXPORTERS
from agent.probes.reading import ExporterProbe, Readings
from agent.probes.scrape import Scraper
from agent.probes.tools import ProbeFailed

READ_SECONDS = 30.0  # between two readings of all
LOOK_SECONDS_MAX = 60.0  # of one reading of all; who was not asked then is asked in the next
UNKNOWN_TOLD_MAX = 20  # names of series, of an exporter

log = logging.getLogger(__name__)
Held = Callable[[str, str], frozenset[int]]  # of pool and node: the cards that our runs hold
_Place = tuple[str, str]  # pool and node


class Reading(Protocol):
    """Who asks exporters."""

    async def read(self, probe: ExporterProbe, node: str, address: str) -> Readings:
        """What the exporter of a node says. Raises ProbeFailed."""


def nobody(pool: str, node: str) -> frozenset[int]:
    return frozenset()


class CardHealth:
    """The conditions of all nodes whose pools name an exporter."""

    def __init__(
        self,
        seconds: float = READ_SECONDS,
        reading: Reading | None = None,
        look_seconds_max: float = LOOK_SECONDS_MAX,
    ) -> None:
        self._seconds = seconds
        self._look_seconds_max = look_seconds_max
        self._reading = reading or Scraper()
        self._conditions: dict[_Place, NodeCondition] = {}
        self.readings: dict[_Place, Readings] = {}  # as last heard
        self._failing: set[_Place] = set()
        self._told: set[str] = set()

    @property
    def conditions(self) -> Iterable[NodeCondition]:
        return self._conditions.values()

    def faulty(self, pool: str, node: str) -> frozenset[int] | None:
        """The cards of a node that its exporter says are out of order; None: it never spoke."""
        condition = self._conditions.get((pool, node))
        return condition.faulty if condition else None

    async def look(self, pools: Iterable[DeclaredPool], held: Held = nobody) -> bool:
        """Ask all exporters of these pools; whether anything has changed."""
        places = {
            (pool.name, node.name): (pool, node)
            for pool in pools
            if self._may_be_asked(pool)
            for node in pool.nodes
        }
        before = self._conditions
        self._conditions = {place: before[place] for place in before if place in places}
        self._failing &= places.keys()
        self.readings = {place: said for place, said in self.readings.items() if place in places}
        # Who did not answer last waits, so that he delays nobody.
        ordered = sorted(places, key=lambda place: place in self._failing)
        try:
            async with asyncio.timeout(self._look_seconds_max):
                await asyncio.gather(*(self._ask(*places[place], held) for place in ordered))
        except TimeoutError:
            self._tell(f"not every exporter was asked within {self._look_seconds_max:g} s")
        return self._conditions != before

    async def run(
        self,
        pools: Callable[[], Iterable[DeclaredPool]],
        changed: Callable[[], None],
        held: Held = nobody,
    ) -> None:
        """Until cancelled; `changed` hears after each look that found something else."""
        while True:
            await asyncio.sleep(self._seconds)
            if await self.look(pools(), held):
                changed()

    async def _ask(self, pool: DeclaredPool, node: DeclaredNode, held: Held) -> None:
        assert pool.probe is not None
        place = pool.name, node.name
        try:
            found = await self._reading.read(pool.probe, node.name, node.address)
        except ProbeFailed as failed:
            if place not in self._failing:
                log.warning("%s: node %s: %s (%s)", failed.code, *place[1:], failed, failed.hint)
            self._failing.add(place)
            if (condition := self._conditions.get(place)) is not None:
                self._conditions[place] = replace(condition, cards_seen=False)
            return
        self._failing.discard(place)
        self.readings[place] = found
        ours, known = held(*place), self.faulty(*place) or frozenset()
        self._conditions[place] = assess(pool, node.name, found, ours, known)
        self._tell_unknown(found)

    def _may_be_asked(self, pool: DeclaredPool) -> bool:
        """An exporter of another vendor cannot know these cards."""
        if pool.probe is None:
            return False
        if pool.kind in EXPORTERS[pool.probe.exporter].kinds:
            return True
        name = pool.probe.exporter
        self._tell(f"pool {pool.name}: {name} does not read a {pool.kind}, so it is not asked")
        return False

    def _tell_unknown(self, found: Readings) -> None:
        if found.unknown:
            named = ", ".join(found.unknown[:UNKNOWN_TOLD_MAX])
            more = len(found.unknown) - UNKNOWN_TOLD_MAX
            said = f"{named} and {more} more" if more > 0 else named
            self._tell(f"{found.tool} also tells what is not used: {said}")
        for warning in found.warnings:
            self._tell(f"{found.tool}: {warning}")

    def _tell(self, message: str) -> None:
        """Each once."""
        if message not in self._told:
            self._told.add(message)
            log.warning(message)
