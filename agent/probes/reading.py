"""What any vendor's tool says of one device, brought to one shape.

Utilisation means something else with each vendor (AI-Core busy, CU busy, kernel active):
it may be shown beside its tool's name and never averaged over tools. Values only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class CardReading:
    """One device (die) at one moment; None: the tool does not say."""

    index: int  # as the variables of visible devices count: the logical number
    raw_name: str  # as the tool prints it; "": it does not
    kind: str  # "npu" | "dcu" | "gpu"
    healthy: bool  # may new work be placed on it
    health: str  # the tool's own word
    power_watts: float | None = None
    temperature_celsius: float | None = None
    utilisation_percent: float | None = None
    memory_used_mib: float | None = None
    memory_total_mib: float | None = None
    memory_used_percent: float | None = None
    raw: tuple[tuple[str, str], ...] = ()  # the tool's own fields and words


@dataclass(frozen=True, slots=True)
class Readings:
    """What one tool said of all devices of a machine."""

    tool: str
    cards: tuple[CardReading, ...]
    warnings: tuple[str, ...] = ()  # lines that say something is wrong, or are not understood


def number(text: str) -> float | None:
    """The number a cell holds, whatever unit is stuck to it; None for N/A, "-" and words."""
    found = _NUMBER.match(text.strip())
    return float(found[0]) if found else None
