"""Reads a Slurm now and then: what it has, what its own people use, how to ask it for cards.

Does for a site with Slurm what `agent.survey` does for the agent's own machine. When Slurm gives
no answer, what was known before stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from agent.backends.slurm.command import NodePlace, SlurmSettings
from agent.inventory import Inventory, NodeCondition
from agent.probes.slurm_capacity import (
    CardType,
    Discovery,
    Release,
    SlurmPool,
    SlurmView,
    conditions,
    discover,
    releases,
)
from agent.probes.slurm_read import Slurm
from agent.probes.tools import ProbeFailed
from agent.supervisor.messages import Event, InventoryChanged

LOOK_SECONDS = 60.0  # between two readings

log = logging.getLogger(__name__)


class SlurmSurvey:
    """The pools of a Slurm, as last read."""

    def __init__(
        self,
        site: str,
        slurm: Slurm,
        card_types: Mapping[str, CardType],
        partitions: Collection[str] = (),
        supernodes: Mapping[str, str] | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`card_types`, `partitions` and `supernodes` are those of `discover`."""
        self._site = site
        self._slurm = slurm
        self._card_types = card_types
        self._partitions = tuple(partitions)
        self._supernodes = supernodes
        self._look_seconds = look_seconds
        self._conditions: tuple[NodeCondition, ...] = ()
        self._failing = False
        self.found = Discovery((), ())
        self.releases: tuple[Release, ...] = ()
        self.places: Mapping[str, NodePlace] = {}

    def inventory(self) -> Inventory:
        """What the site has, by the last reading; nothing of it is taken by runs."""
        declared = [pool.declared for pool in self.found.pools]
        return Inventory(self._site, declared, self._conditions)

    def settings(
        self, accounts: Mapping[str, str], account: str = "", python: str = "python3"
    ) -> SlurmSettings:
        """How to put runs to this Slurm, by the last reading."""
        return SlurmSettings(self.places, accounts, account, python)

    async def look(self, held: Callable[[str, str], frozenset[int]]) -> bool:
        """Read Slurm; whether anything to place has changed. `held`: a node's cards of our runs."""
        try:
            view = await self._slurm.view()
        except ProbeFailed as failed:
            if not self._failing:
                log.warning("%s: %s (%s)", failed.code, failed.message, failed.hint)
            self._failing = True
            return False
        self._failing = False
        before = self.found.pools, self._conditions
        self.found = discover(view, self._card_types, self._partitions, self._supernodes)
        self._conditions = tuple(conditions(view, self.found.pools, held))
        self.releases = releases(view, self.found.pools)
        self.places = {
            node.name: _place(pool, view)
            for pool in self.found.pools
            for node in pool.declared.nodes
        }
        return before != (self.found.pools, self._conditions)

    async def run(
        self, held: Callable[[str, str], frozenset[int]], post: Callable[[Event], None]
    ) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._look_seconds)
            if await self.look(held):
                post(InventoryChanged(self.inventory()))


def _place(pool: SlurmPool, view: SlurmView) -> NodePlace:
    """A card's share of its node, within the site's limit of memory per CPU."""
    declared = pool.declared
    cpus = max(1, declared.cpus_per_node // declared.cards_per_node)
    memory_mib = int(declared.memory_gib_per_node * 1024) // declared.cards_per_node
    limits = (pool.partition.memory_mib_per_cpu_max, view.memory_mib_per_cpu_max)
    per_cpu = min((limit for limit in limits if limit), default=0)
    if per_cpu:
        memory_mib = min(memory_mib, per_cpu * cpus)
    return NodePlace(pool.partition.name, pool.gres, cpus, memory_mib)
