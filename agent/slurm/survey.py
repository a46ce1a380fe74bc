"""Reads a Slurm now and then: what it has, what its own people use, how to ask it for cards.

Does for a site with Slurm what `agent.survey` does for the agent's own machine. When Slurm gives
no answer, what was known before stands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from agent.inventory import DeclaredPool, Inventory, NodeCondition
from agent.probes.tools import ProbeFailed
from agent.slurm.capacity import (
    CardType,
    Discovery,
    NameOf,
    PartitionOffer,
    SlurmPool,
    discover,
)
from agent.slurm.command import NodePlace, SlurmSettings
from agent.slurm.from_text import SlurmView
from agent.slurm.poll import SlurmPoll
from agent.slurm.rules import rules_of
from agent.slurm.usage import conditions, releases
from agent.supervisor.messages import Event, InventoryChanged
from scheduler.model import Release
from suan.catalogue import Catalogue

log = logging.getLogger(__name__)

_NEVER = float("-inf")


class SlurmSurvey:
    """The pools of a Slurm, as last read."""

    def __init__(
        self,
        site: str,
        poll: SlurmPoll,
        name_of: NameOf,
        offers: Sequence[PartitionOffer] = (),
        settings: SlurmSettings | None = None,
        own_rules: tuple[str, ...] = (),
    ) -> None:
        """`offers`: as in `discover`. `settings`, `own_rules`: the operator's; the places of the
        one and more of the other are found here."""
        self._site = site
        self.poll = poll  # the backend asks together with this
        self._name_of = name_of
        self._offers = tuple(offers)
        self._settings = settings or SlurmSettings()
        self._own_rules = own_rules
        self._conditions: tuple[NodeCondition, ...] = ()
        self._read_at = _NEVER  # the poll's clock
        self._view: SlurmView | None = None
        self._failing = False
        self._told: set[str] = set()  # what nobody could name
        self.found = Discovery(())
        self.releases: Mapping[str, tuple[Release, ...]] = {}
        self.rules = own_rules

    def inventory(self) -> Inventory:
        """What the site has, by the last reading; nothing of it is taken by runs."""
        return Inventory(self._site, self.declared_pools, self._conditions, self.releases)

    @property
    def declared_pools(self) -> tuple[DeclaredPool, ...]:
        return tuple(pool.declared for pool in self.found.pools)

    def settings(self) -> SlurmSettings:
        """How to put runs to this Slurm, by the last reading."""
        return self._settings

    async def look(self, held: Callable[[str, str], frozenset[int]]) -> bool:
        """Read Slurm; whether anything to place has changed. `held`: a node's cards of our runs."""
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

    async def run(
        self, held: Callable[[str, str], frozenset[int]], post: Callable[[Event], None]
    ) -> None:
        """Until cancelled; the poll says how often."""
        if self._view is not None and self._take_in(self._view, held):
            post(InventoryChanged(self.inventory(), self.rules))  # now that runs are known
        while True:
            if await self.look(held):
                post(InventoryChanged(self.inventory(), self.rules))

    def _take_in(self, view: SlurmView, held: Callable[[str, str], frozenset[int]]) -> bool:
        before = self.declared_pools, self._conditions, self.releases, self.rules
        self.found = discover(view, self._name_of, self._offers)
        self._conditions = tuple(conditions(view, self.found.pools, held))
        self.releases = releases(view, self.found.pools)
        partitions = {pool.declared.name: pool.partition for pool in self.found.pools}
        self.rules = (*self._own_rules, *rules_of(partitions, view.frame))
        self._settings = self._settings.with_places(
            {n.name: _place(pool) for pool in self.found.pools for n in pool.declared.nodes}
        )
        self._tell_unknown()
        return before != (self.declared_pools, self._conditions, self.releases, self.rules)

    def _tell_unknown(self) -> None:
        """Each once: what is neither known nor mapped is offered to nobody."""
        new = [name for name in self.found.unknown_gres if name not in self._told]
        for name in new:
            log.warning("GRES %s is not offered: map it under slurm.accelerators", name)
        gone = [name for name in self.found.unknown_partitions if name not in self._told]
        for name in gone:
            log.warning("Slurm has no partition %s: correct slurm.partitions", name)
        self._told.update(new, gone)


def names_from(catalogue: Catalogue, mapped: Mapping[str, str]) -> NameOf:
    """What a GRES is: by the operator's word, else by the catalogue where that is clear.

    `mapped`: GRES ("npu:910b" or "npu") -> canonical model. A name without a type, such as
    "npu", means no model unless the operator says which.
    """

    def name_of(gres: str) -> CardType | None:
        model = mapped.get(gres) or (catalogue.resolve(gres) if ":" in gres else None)
        if model is None:
            return None
        known = catalogue.get(model)
        return CardType(known.model, known.kind, known.dies_per_card)

    return name_of


def _place(pool: SlurmPool) -> NodePlace:
    """A card's share of its node, within the site's rules."""
    declared = pool.declared
    return NodePlace(
        partition=pool.partition.name,
        gres=pool.gres,
        cpus_per_card=max(1, declared.cpus_per_node // declared.cards_per_node),
        memory_mib_per_card=int(declared.memory_gib_per_node * 1024) // declared.cards_per_node,
        seconds_max=declared.time_limit_seconds_max,
    )
