"""What tenants may claim of the federation, as frozen values.

Weights and quotas, what is held of them, and which attempts shall make room. This module
knows nothing else; `shares`, `quotas` and `preemption` reckon with these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Quota:
    """What may be held of one kind of accelerator: always `guaranteed`, and more while others
    leave it, up to `borrow_max` beyond. In physical cards, or in reference cards (`shares`)."""

    kind: str = ""  # "npu" | "dcu" | "gpu"; empty: all kinds together
    guaranteed: float = 0.0
    borrow_max: float | None = None  # None: no limit
    unit: str = "cards"  # "cards" | "compute"


@dataclass(frozen=True, slots=True)
class Entitlement:
    """The fair-share weight and the quotas of a tenant, or of one project of it."""

    tenant: str
    project: str = ""  # empty: of the tenant as a whole
    weight: float = 1.0
    quotas: tuple[Quota, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project holds now and has held before, by accelerator model."""

    tenant: str
    project: str
    cards: tuple[tuple[str, int], ...] = ()  # held now
    mean_cards: tuple[tuple[str, float], ...] = ()  # held on average, old times counting less


@dataclass(frozen=True, slots=True)
class Victim:
    """An attempt to stop, and the work that is lost with it."""

    job_id: str
    epoch: int
    lost_card_seconds: float = 0.0


class PreemptionReason(StrEnum):
    """Why one job may take another's cards."""

    PRIORITY = "priority"  # a higher priority class of the same tenant
    RECLAIM = "reclaim"  # guaranteed cards that another tenant, or project, has borrowed


@dataclass(frozen=True, slots=True)
class Preemption:
    """Whole attempts to stop so that a queued job can start: a proposal to the broker's core."""

    job_id: str  # that is to start
    variant: int
    pool: str  # where
    reason: PreemptionReason
    victims: tuple[Victim, ...]

    @property
    def lost_card_seconds(self) -> float:
        return sum(victim.lost_card_seconds for victim in self.victims)
