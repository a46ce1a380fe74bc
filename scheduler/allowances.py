"""What the quotas leave to one class in every pool, and who is served first because of them.

The bridge between `quotas`, which knows tenants, and the columns of a round. A class whose
tenant has no quota is not touched.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import numpy as np

from scheduler.arrays import Bools, Floats
from scheduler.compute import worths
from scheduler.feasibility import Assessment
from scheduler.model import QueueClass, Snapshot
from scheduler.quotas import Quotas
from scheduler.reasons import ROW, Code
from scheduler.supply import Supply


class Allowances:
    """The quotas of a round, kept true while it gives cards away."""

    def __init__(self, snapshot: Snapshot, supply: Supply) -> None:
        self._supply = supply
        self._queue = snapshot.queue
        with_quota = tuple(each for each in snapshot.entitlements if each.quotas)
        holdings = (
            (usage.tenant, usage.project, model, float(cards))
            for usage in snapshot.usages
            for model, cards in usage.cards
        )
        self.quotas = Quotas.of(with_quota, worths(snapshot.accelerators), holdings)
        self._any = bool(with_quota)

    def judge(self, assessment: Assessment, queued: QueueClass) -> Assessment:
        """The assessment with the pools left out where a quota leaves no room for a gang."""
        if not self._any or not assessment.ways:
            return assessment
        failed = assessment.failed.copy()
        matches = ~np.asarray(failed[:, : ROW[Code.WRONG_ACCELERATOR] + 1].any(axis=1))
        now, ever = self._cards(queued, held=True), self._cards(queued, held=False)
        for at, way in enumerate(assessment.ways):
            never = way.cards > ever
            failed[at, ROW[Code.QUOTA_TOO_SMALL]] = never & matches[at]
            failed[at, ROW[Code.QUOTA_EXHAUSTED]] = (way.cards > now) & ~never & matches[at]
        allowed = ~np.asarray(failed.any(axis=1), np.bool_)
        return replace(assessment, failed=failed, allowed=allowed)

    def _cards(self, queued: QueueClass, held: bool) -> Floats:
        """[pool]: cards that the class may have there, by its model."""
        ask = self.quotas.cards_left if held else self.quotas.cards_ever
        by_model = {
            model: ask(queued.tenant, queued.project, model, queued.demand.preemptible)
            for model in self._models
        }
        most = np.zeros(len(self._supply))
        for model, pools in self._models.items():
            most[pools] = by_model[model]
        return most

    @cached_property
    def _models(self) -> dict[str, Bools]:
        """The pools of each model that some site has."""
        here = self._supply.models_here
        return {str(model): np.asarray(here == model, np.bool_) for model in np.unique(here)}

    def gangs_left(self, queued: QueueClass, cards: int, pool: int) -> int:
        """How many gangs of so many cards the class may still get in this pool."""
        if not self._any:
            return np.iinfo(np.int64).max
        model = self._supply.pools[pool].accelerator
        left = self.quotas.cards_left(
            queued.tenant, queued.project, model, queued.demand.preemptible
        )
        return np.iinfo(np.int64).max if math.isinf(left) else int(left // cards)

    def give(self, queued: QueueClass, cards: int, pool: int) -> None:
        """Count what the class was given."""
        if self._any:
            model = self._supply.pools[pool].accelerator
            self.quotas.give(queued.tenant, queued.project, model, float(cards))

    def leads(self, at: int) -> bool:
        """Whether a class claims no more than is guaranteed to its tenant: it goes before all
        that borrow. Not before a higher priority of its own tenant that would have to borrow."""
        queued = self._queue[at]
        if not self._any or not self._claims_its_own(queued):
            return False
        return queued.priority >= self._borrowers.get(queued.tenant, -math.inf)

    def _claims_its_own(self, queued: QueueClass) -> bool:
        here = [str(model) for model in self._models]
        return any(
            self.quotas.is_guaranteed(queued.tenant, queued.project, model, variant.cards)
            for variant in queued.demand.variants
            for model in ([variant.accelerator] if isinstance(variant.accelerator, str) else here)
        )

    @cached_property
    def _borrowers(self) -> dict[str, int]:
        """By tenant: the highest priority of its classes that would have to borrow."""
        found: dict[str, int] = {}
        for queued in self._queue:
            if not self._claims_its_own(queued):
                found[queued.tenant] = max(queued.priority, found.get(queued.tenant, -(2**31)))
        return found
