"""What the tables of all cluster managers say alike of a pool that is offered, and of asking.

Knows the shapes of agent.yaml; no cluster manager.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.config.values import CARD_COUNT, measured, number
from scheduler.model import Accelerator
from suan.jobspec import limits
from suan.jobspec.limits import Fault, quoted
from suan.jobspec.shapes import Field, ListOf, MapOf, text

FIGURES = (
    Field("yuan_per_card_hour", number(0, 1e6, "CNY"), "price", foreign=("price", "max_cost")),
    Field("utilisation", number(0.01, 1.0), "share of peak that real work reaches"),
    Field(
        "linearity",
        MapOf(CARD_COUNT, number(0.01, 1.0), measured),
        "measured: cards -> fraction of linear speed-up, e.g. {1024: 0.93}",
    ),
    Field(
        "software", ListOf(text(limits.STACK)), "stacks that its jobs find there, e.g. [cann-8.1]"
    ),
)
POLL_SECONDS = Field(
    "poll_seconds",
    number(0.5, 3_600, "seconds"),
    "between two questions to the cluster manager; default: 30",
    foreign=("query_seconds", "interval"),
)


def mapped(raw: str, model: Accelerator) -> tuple[str, str]:
    """What a cluster manager calls cards -> their canonical model."""
    return raw, model.model


def each_once(what: str, names: Sequence[str]) -> None:
    """Raises Fault for a name that stands twice."""
    for name in names:
        if names.count(name) > 1:
            raise Fault("DuplicateName", f"names the {what} {quoted(name)} twice")
