"""What tenants and projects may hold: guaranteed, borrowed up to a limit, and no more.

As Kueue's nominal quota, borrowing limit and reclaim (ClusterQueue), for a tenant and for the
projects within it. A job must fit into every quota that covers its accelerator, its tenant's
and its project's. What is held beyond a guarantee is borrowed: it is lent as long as nobody
claims it, and therefore only to jobs that may be stopped. Knows holdings; no pools, no jobs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from scheduler.compute import UNKNOWN, CardWorth
from scheduler.model import Entitlement, Quota

Holding = tuple[str, str, str, float]  # (tenant, project, accelerator model, cards)
SLACK = 1e-6  # cards: sums of reference cards are not exact


@dataclass(slots=True)
class _Account:
    """One quota of a tenant or of a project, and what is held of it."""

    entitlement: Entitlement
    quota: Quota
    held: float = 0.0

    def amount(self, worth: CardWorth, cards: float) -> float:
        """What `cards` of a model count here; 0: the quota does not cover that kind."""
        if self.quota.kind not in ("", worth.kind):
            return 0.0
        return cards * (worth.compute if self.quota.unit == "compute" else 1.0)

    def most(self, lends: bool) -> float:
        """What may be held here, `lends`: borrowed cards too."""
        borrowed = self.quota.borrow_max if lends else 0.0
        return math.inf if borrowed is None else self.quota.guaranteed + borrowed


@dataclass(slots=True)
class Quotas:
    """Every quota with what is held of it, kept true while cards are given and taken back."""

    entitlements: tuple[Entitlement, ...]
    worths: dict[str, CardWorth]
    _tenants: dict[str, list[_Account]] = field(default_factory=dict)
    _projects: dict[tuple[str, str], list[_Account]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.entitlements:
            accounts = [_Account(each, quota) for quota in each.quotas]
            if each.project:
                self._projects.setdefault((each.tenant, each.project), []).extend(accounts)
            else:
                self._tenants.setdefault(each.tenant, []).extend(accounts)

    @classmethod
    def of(
        cls,
        entitlements: tuple[Entitlement, ...],
        worths: dict[str, CardWorth],
        holdings: Iterable[Holding],
    ) -> Quotas:
        """The quotas with what is held now."""
        quotas = cls(entitlements, worths)
        for holding in holdings:
            quotas.give(*holding)
        return quotas

    def give(self, tenant: str, project: str, model: str, cards: float) -> None:
        """Count cards to a project and to its tenant; negative: they are given back."""
        worth = self.worths.get(model, UNKNOWN)
        for account in self._of(tenant, project):
            account.held += account.amount(worth, cards)

    def _of(self, tenant: str, project: str) -> Iterator[_Account]:
        yield from self._tenants.get(tenant, ())
        yield from self._projects.get((tenant, project), ())

    # --- the limits ---------------------------------------------------------------

    def cards_left(self, tenant: str, project: str, model: str, preemptible: bool = True) -> float:
        """Cards of a model that may be given now; infinite without a quota."""
        return self._most(tenant, project, model, preemptible, held=True)

    def cards_ever(self, tenant: str, project: str, model: str, preemptible: bool = True) -> float:
        """Cards of a model that could be given if nothing were held; infinite without a quota."""
        return self._most(tenant, project, model, preemptible, held=False)

    def _most(self, tenant: str, project: str, model: str, preemptible: bool, held: bool) -> float:
        worth = self.worths.get(model, UNKNOWN)
        most = math.inf
        for accounts, claimed in (
            (self._tenants.get(tenant, ()), partial(self._claimed, tenant, worth)),
            (
                self._projects.get((tenant, project), ()),
                partial(self._claimed_within, tenant, project, worth),
            ),
        ):
            lends = preemptible or not claimed()
            covering = [(a, each) for a in accounts if (each := a.amount(worth, 1.0)) > 0]
            if not covering and not lends:
                return 0.0
            for account, each in covering:
                room = account.most(lends) - (account.held if held else 0.0)
                most = min(most, room / each)
        return max(0.0, most + SLACK)

    def _claimed(self, tenant: str, worth: CardWorth) -> bool:
        """Whether another tenant has a guarantee for cards of this kind: all else is lent."""
        others = (own for name, own in self._tenants.items() if name != tenant)
        return _guarantee(others, worth)

    def _claimed_within(self, tenant: str, project: str, worth: CardWorth) -> bool:
        """The same among the projects of one tenant."""
        others = (
            own
            for (whose, name), own in self._projects.items()
            if whose == tenant and name != project
        )
        return _guarantee(others, worth)

    # --- the guarantees -----------------------------------------------------------

    def is_guaranteed(self, tenant: str, project: str, model: str, cards: float) -> bool:
        """Whether `cards` more would still lie within the tenant's guarantee for this model."""
        return self._within(self._tenants.get(tenant, ()), model, cards)

    def is_guaranteed_within(self, tenant: str, project: str, model: str, cards: float) -> bool:
        """The same of the project's guarantee, against the other projects of its tenant."""
        return self._within(self._projects.get((tenant, project), ()), model, cards)

    def _within(self, accounts: Iterable[_Account], model: str, cards: float) -> bool:
        worth = self.worths.get(model, UNKNOWN)
        covering = [(a, a.amount(worth, cards)) for a in accounts if a.amount(worth, 1.0) > 0]
        guaranteed = any(account.quota.guaranteed > 0 for account, _ in covering)
        return guaranteed and all(
            account.held + more <= account.quota.guaranteed + SLACK for account, more in covering
        )

    def borrows(self, tenant: str, model: str) -> bool:
        """Whether the tenant holds cards of this model's kind that are not guaranteed to it."""
        return self._beyond(self._tenants.get(tenant, ()), model)

    def borrows_within(self, tenant: str, project: str, model: str) -> bool:
        """The same of a project, from the other projects of its tenant."""
        return self._beyond(self._projects.get((tenant, project), ()), model)

    def _beyond(self, accounts: Iterable[_Account], model: str) -> bool:
        """Without any quota for the kind, whatever is held is borrowed."""
        worth = self.worths.get(model, UNKNOWN)
        covering = [account for account in accounts if account.amount(worth, 1.0) > 0]
        return all(account.held > account.quota.guaranteed + SLACK for account in covering)


def _guarantee(groups: Iterable[list[_Account]], worth: CardWorth) -> bool:
    accounts = (account for own in groups for account in own)
    return any(a.quota.guaranteed > 0 and a.amount(worth, 1.0) > 0 for a in accounts)
