"""One model of the catalogue and its figures, each with its source and status.

Knows the scheduler's values, not where entries are kept nor how they are looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from scheduler.model import Accelerator, Precision


class Status(StrEnum):
    """How far a figure may be trusted."""

    VERIFIED = "verified"  # several independent sources agree
    SECONDARY = "secondary"  # one source
    CLAIM = "vendor claim"
    ROADMAP = "vendor roadmap"  # announced, not delivered
    UNVERIFIED = "unverified"  # quoted, no source that could be read


@dataclass(frozen=True, slots=True)
class Figure:
    """One number per physical card; its unit ends the name it is kept under."""

    value: float
    source: str  # a key of the catalogue's sources
    status: Status
    note: str = ""

    @property
    def usable(self) -> bool:
        """Whether decisions may rest on it."""
        return self.status is not Status.UNVERIFIED


# Figure name to precision; peaks are dense, INT8 in TOP/s.
PEAKS: Mapping[str, Precision] = MappingProxyType(
    {
        "fp64_tflops": Precision.FP64,
        "fp32_tflops": Precision.FP32,
        "bf16_tflops": Precision.BF16,
        "fp8_tflops": Precision.FP8,
        "int8_tops": Precision.INT8,
        "fp4_tflops": Precision.FP4,
    }
)
FIGURES = (
    "dies_per_card",
    "memory_gib",
    "memory_tb_per_second",
    *PEAKS,
    "supernode_cards",
    "supernode_gb_per_second",
    "power_watts",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One model: its names and every figure that is known of it."""

    model: str  # canonical
    title: str
    vendor: str
    kind: str  # "npu" | "dcu" | "gpu"
    aliases: tuple[str, ...]
    raw: Mapping[str, tuple[str, ...]]  # tool or cluster manager to the names it prints
    figures: Mapping[str, Figure]  # by a name of FIGURES; one that is absent is unknown
    note: str = ""

    @property
    def verified(self) -> bool:
        """Whether any figure may be relied on."""
        return any(figure.usable for figure in self.figures.values())

    def accelerator(self) -> Accelerator:
        """What the scheduler may know: the usable figures, unknown ones at 0.

        An unknown supernode is taken as one server of 8 cards until a site's pool says more.
        """
        usable = {name: figure.value for name, figure in self.figures.items() if figure.usable}
        return Accelerator(
            model=self.model,
            vendor=self.vendor,
            kind=self.kind,
            dies_per_card=int(usable.get("dies_per_card", 1)),
            memory_gib=usable.get("memory_gib", 0.0),
            memory_tb_per_second=usable.get("memory_tb_per_second", 0.0),
            peak_tflops=tuple((PEAKS[name], usable[name]) for name in PEAKS if name in usable),
            supernode_cards=int(usable.get("supernode_cards", 8)),
            power_watts=usable.get("power_watts", 0.0),
        )


def parse_entry(row: Mapping[str, Any]) -> Entry:
    """An entry from its JSON object. Raises KeyError or ValueError: then our own file is bad."""
    figures = {name: _parse_figure(name, row["figures"][name]) for name in row["figures"]}
    return Entry(
        model=row["model"],
        title=row["title"],
        vendor=row["vendor"],
        kind=row["kind"],
        aliases=tuple(row["aliases"]),
        raw=MappingProxyType({tool: tuple(names) for tool, names in row.get("raw", {}).items()}),
        figures=MappingProxyType(figures),
        note=row.get("note", ""),
    )


def _parse_figure(name: str, row: Mapping[str, Any]) -> Figure:
    if name not in FIGURES:
        raise ValueError(f"{name} is no figure of an accelerator")
    return Figure(float(row["value"]), row["source"], Status(row["status"]), row.get("note", ""))
