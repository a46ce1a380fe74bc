"""The quotas that tenants were given, with what they hold now: the core's own check.

A round has checked them too, on a picture that may be old.
"""

from __future__ import annotations

from collections.abc import Iterator

from broker.core.rows import Tenant
from broker.core.state import State
from scheduler.compute import worths
from scheduler.model import Accelerator, Entitlement
from scheduler.quotas import Quotas


def entitlements(state: State) -> tuple[Entitlement, ...]:
    """Weights and quotas of all tenants and of their projects."""
    return tuple(each for row in state.tenants.values() for each in _of(row))


def _of(row: Tenant) -> Iterator[Entitlement]:
    yield Entitlement(row.name, "", row.weight, row.quotas)
    for project in row.projects:
        yield Entitlement(row.name, project.name, project.weight, project.quotas)


def quotas_now(state: State, accelerators: tuple[Accelerator, ...]) -> Quotas:
    """Every quota with what is held of it. Without any quota nothing is counted."""
    given = tuple(each for each in entitlements(state) if each.quotas)
    held = state.holdings.items() if given else ()
    return Quotas.of(
        given,
        worths(accelerators),
        (
            (tenant, project, model, float(cards))
            for (tenant, project), by_model in held
            for model, cards in by_model.items()
        ),
    )
