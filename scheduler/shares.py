"""Who has had less than is theirs: weighted fair shares over tenants, then over their projects.

A share is dominant: of the federation's arithmetic or of its memory, whichever is more
(Ghodsi et al. 2011, "Dominant Resource Fairness", NSDI), both counted in reference cards
(`compute`). What counts is what is held now plus what was held before, decayed with a half-life.
The levels are compared one after the other, as in Slurm's fair tree: no project comes first
because of its own ratio while its tenant's is worse. Knows entitlements and usage; no jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from scheduler.compute import UNKNOWN, CardWorth, worths
from scheduler.model import Entitlement, Snapshot

HALF_LIFE_SECONDS = 7 * 86_400.0  # of past usage: Slurm's PriorityDecayHalfLife has 7 days too
WEIGHT_MIN = 1e-3  # a weight of 0 would mean never
K = TypeVar("K", str, tuple[str, str])

Project = tuple[str, str]  # (tenant, project): no project, "", is one of its own
Ratios = tuple[float, float]  # (of the tenant among all, of the project within its tenant)


@dataclass(slots=True)
class _Held:
    """Reference cards, by arithmetic and by memory; past ones weigh in with their mean."""

    compute: float = 0.0
    memory: float = 0.0

    def add(self, worth: CardWorth, cards: float) -> None:
        self.compute += worth.compute * cards
        self.memory += worth.memory * cards


class Shares:
    """The share ratio of every project, kept true while a round gives cards away.

    ratio = dominant share ÷ (weight ÷ sum of the siblings' weights); lower goes first. Who has
    long held exactly its part of the federation has 2: present and past count alike.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._worths = worths(snapshot.accelerators)
        self._capacity = _Held()
        for pool in snapshot.pools:
            self._capacity.add(self._worth(pool.accelerator), max(0, pool.cards_usable))
        self._tenants: dict[str, _Held] = {}
        self._projects: dict[Project, _Held] = {}
        self._take_usage(snapshot)
        waiting = {(queued.tenant, queued.project) for queued in snapshot.queue}
        projects = waiting | set(self._projects)
        self._tenant_parts = _parts({tenant for tenant, _ in projects}, tenant_weights(snapshot))
        self._project_parts = _project_parts(projects, snapshot.entitlements)

    def _take_usage(self, snapshot: Snapshot) -> None:
        for usage in snapshot.usages:
            project = self._projects.setdefault((usage.tenant, usage.project), _Held())
            tenant = self._tenants.setdefault(usage.tenant, _Held())
            for model, cards in (*usage.cards, *usage.mean_cards):
                worth = self._worth(model)
                tenant.add(worth, cards)
                project.add(worth, cards)

    def _worth(self, model: str) -> CardWorth:
        return self._worths.get(model, UNKNOWN)

    def give(self, tenant: str, project: str, model: str, cards: float) -> None:
        """Count cards of a model to a project and to its tenant."""
        worth = self._worth(model)
        self._tenants.setdefault(tenant, _Held()).add(worth, cards)
        self._projects.setdefault((tenant, project), _Held()).add(worth, cards)

    def ratios(self, tenant: str, project: str) -> Ratios:
        """To be compared level by level: a project never comes before a tenant's own turn."""
        one = tenant, project
        whole = self._dominant(self._tenants.get(tenant)) / self._tenant_parts.get(tenant, 1.0)
        return whole, self._dominant(self._projects.get(one)) / self._project_parts.get(one, 1.0)

    def _dominant(self, held: _Held | None) -> float:
        """The greater share of the federation's arithmetic and of its memory."""
        if held is None:
            return 0.0
        return max(
            held.compute / (self._capacity.compute or 1.0),
            held.memory / (self._capacity.memory or 1.0),
        )


def tenant_weights(snapshot: Snapshot) -> dict[str, float]:
    """The weight of each tenant that has one; the others have 1."""
    return {each.tenant: each.weight for each in snapshot.entitlements if not each.project}


def _project_parts(
    projects: Iterable[Project], entitlements: Iterable[Entitlement]
) -> dict[Project, float]:
    weights = {(each.tenant, each.project): each.weight for each in entitlements if each.project}
    siblings: dict[str, set[Project]] = {}
    for project in projects:
        siblings.setdefault(project[0], set()).add(project)
    parts: dict[Project, float] = {}
    for group in siblings.values():
        parts |= _parts(group, weights)
    return parts


def _parts(siblings: set[K], weights: Mapping[K, float]) -> dict[K, float]:
    """Each one's weight ÷ the sum over all that wait, hold or held."""
    each = {name: max(WEIGHT_MIN, weights.get(name, 1.0)) for name in sorted(siblings)}
    total = sum(each.values())
    return {name: weight / total for name, weight in each.items()}
