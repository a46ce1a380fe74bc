"""The quotas that tenants were given, with what they hold now: the core's own check.

A round has checked them too, on a picture that may be old.
"""

from __future__ import annotations

from itertools import chain

from broker.core.state import State
from scheduler.compute import worths
from scheduler.model import Accelerator, Entitlement
from scheduler.quotas import Quotas


def entitlements(state: State) -> tuple[Entitlement, ...]:
    """Weights and quotas of all tenants and of their projects."""
    return tuple(chain.from_iterable(state.entitlements.values()))


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
