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
    healthy: bool | None  # may new work be placed on it; None: nobody knows
    health: str  # the tool's own word
    power_watts: float | None = None
    temperature_celsius: float | None = None
    utilisation_percent: float | None = None
    memory_used_mib: float | None = None
    memory_total_mib: float | None = None
    memory_used_percent: float | None = None
    uncorrected_errors: float | None = None  # of its memory
    errors: tuple[str, ...] = ()  # the vendor's own codes, e.g. "XID 31"
    raw: tuple[tuple[str, str], ...] = ()  # the tool's own fields and words


@dataclass(frozen=True, slots=True)
class Readings:
    """What one tool said of all devices of a machine."""

    tool: str
    cards: tuple[CardReading, ...]
    warnings: tuple[str, ...] = ()  # lines that say something is wrong, or are not understood
    unknown: tuple[str, ...] = ()  # what it tells beside: names that nothing here reads


@dataclass(frozen=True, slots=True)
class ExporterProbe:
    """Where a vendor's Prometheus exporter tells of the cards of each node of a pool."""

    exporter: str  # a key of `agent.probes.exporters.EXPORTERS`
    url: str  # with {node} and {address} for those of the node
    names: tuple[tuple[str, str], ...] = ()  # of series and labels: the site's own -> the vendor's

    def url_of(self, node: str, address: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return self.url.replace("{node}", node).replace("{address}", host)


def number(text: str) -> float | None:
    """The number a cell holds, whatever unit is stuck to it; None for N/A, "-" and words."""
    found = _NUMBER.match(text.strip())
    return float(found[0]) if found else None
