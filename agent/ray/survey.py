"""Reads a Ray now and then: what it has, what its own people use, how to ask it for cards."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from agent.cards.health import CardHealth
from agent.inventory import DeclaredPool
from agent.polled import HeldCards, PolledSurvey
from agent.ray.capacity import Discovery, Names, PoolOffer, discover
from agent.ray.command import RayPlace, RaySettings
from agent.ray.poll import RayPoll
from agent.ray.read import RayView
from agent.ray.usage import conditions, cpus_per_card

log = logging.getLogger(__name__)


class RaySurvey(PolledSurvey[RayView]):
    """The pools of a Ray, as last read."""

    def __init__(
        self,
        site: str,
        poll: RayPoll,
        names: Names,
        offers: Sequence[PoolOffer] = (),
        supernode: str = "",
        settings: RaySettings | None = None,
        own_rules: tuple[str, ...] = (),
        cards: CardHealth | None = None,
    ) -> None:
        """`offers`, `supernode`: as in `discover`. The places of `settings` are found here."""
        super().__init__(site, poll, own_rules, cards)
        self.poll: RayPoll = poll
        self._names = names
        self._offers = tuple(offers)
        self._supernode = supernode
        self._settings = settings or RaySettings()
        self._told: set[str] = set()  # what nobody could name
        self.found = Discovery(())

    @property
    def declared_pools(self) -> tuple[DeclaredPool, ...]:
        return tuple(pool.declared for pool in self.found.pools)

    def settings(self) -> RaySettings:
        """How to put runs to this Ray, by the last reading."""
        return self._settings

    def _read(self, view: RayView, held: HeldCards) -> None:
        self.found = discover(view, self._names, self._offers, self._supernode)
        self._conditions = tuple(conditions(view, self.found.pools, held, self._cards.faulty))
        places = {
            name: RayPlace(number, pool.resource, cpus_per_card(pool))
            for pool in self.found.pools
            for name, number in pool.ids.items()
        }
        self._settings = replace(self._settings, places=places, version=view.version.number)
        self._tell_unknown()

    def _tell_unknown(self) -> None:
        """Each once: what is neither known nor mapped is offered to nobody."""
        for name in self.found.unknown:
            if name not in self._told:
                log.warning("resource %s is not offered: map it under ray.accelerators", name)
        for name in self.found.missing:
            if name not in self._told:
                log.warning("Ray has no node with %s: correct ray.pools", name)
        self._told.update(self.found.unknown, self.found.missing)
