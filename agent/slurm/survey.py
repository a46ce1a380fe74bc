"""Reads a Slurm now and then: what it has, what its own people use, how to ask it for cards."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from agent.cards.health import CardHealth
from agent.inventory import DeclaredPool
from agent.polled import HeldCards, PolledSurvey
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
from suan.catalogue import Catalogue

log = logging.getLogger(__name__)


class SlurmSurvey(PolledSurvey[SlurmView]):
    """The pools of a Slurm, as last read."""

    def __init__(
        self,
        site: str,
        poll: SlurmPoll,
        name_of: NameOf,
        offers: Sequence[PartitionOffer] = (),
        settings: SlurmSettings | None = None,
        own_rules: tuple[str, ...] = (),
        cards: CardHealth | None = None,
    ) -> None:
        """`offers`: as in `discover`. `settings`, `own_rules`: the operator's; the places of the
        one and more of the other are found here."""
        super().__init__(site, poll, own_rules, cards)
        self.poll: SlurmPoll = poll
        self._name_of = name_of
        self._offers = tuple(offers)
        self._settings = settings or SlurmSettings()
        self._own_rules = own_rules
        self._told: set[str] = set()  # what nobody could name
        self.found = Discovery(())

    @property
    def declared_pools(self) -> tuple[DeclaredPool, ...]:
        return tuple(pool.declared for pool in self.found.pools)

    def settings(self) -> SlurmSettings:
        """How to put runs to this Slurm, by the last reading."""
        return self._settings

    def _read(self, view: SlurmView, held: HeldCards) -> None:
        self.found = discover(view, self._name_of, self._offers)
        self._conditions = tuple(conditions(view, self.found.pools, held, self._cards.faulty))
        self.releases = releases(view, self.found.pools)
        partitions = {pool.declared.name: pool.partition for pool in self.found.pools}
        self.rules = (*self._own_rules, *rules_of(partitions, view.frame))
        self._settings = self._settings.with_places(
            {n.name: _place(pool) for pool in self.found.pools for n in pool.declared.nodes}
        )
        self._tell_unknown()

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
