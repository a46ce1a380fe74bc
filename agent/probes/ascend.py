"""Reads what `npu-smi info` and `npu-smi info -m` print for Ascend. Pure.

The table gives each chip two lines. A 910B has one chip to a card; a 910C has two, each
with a physical number of its own and no power of its own. The mapping tells the logical
number by which programs name a chip; without it the physical number stands in, and
without that the card's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.probes.reading import CardReading, Readings, number

TOOL = "npu-smi"
ARGUMENTS = ("info",)
MAPPING_ARGUMENTS = ("info", "-m")
# "Warning" is a minor alarm: the chip goes on working.
USABLE = frozenset({"OK", "WARNING"})
# "used / total", with or without blanks.
_PAIR = re.compile(r"(\d+)\s*/\s*(\d+)")


@dataclass(frozen=True, slots=True)
class ChipMapping:
    """One line of `npu-smi info -m`."""

    npu: int
    chip: int
    logical: int
    name: str


def parse_mapping(text: str) -> tuple[ChipMapping, ...]:
    """The chips that programs can use: management controllers and lost NPUs are left out."""
    mappings = []
    for line in text.splitlines():
        cells = re.split(r"\s{2,}|\t+", line.strip())
        if len(cells) >= 4 and all(cell.isdecimal() for cell in cells[:3]):
            npu, chip, logical = (int(cell) for cell in cells[:3])
            mappings.append(ChipMapping(npu, chip, logical, cells[-1]))
    return tuple(mappings)


def parse(table: str, mapping: str = "") -> Readings:
    """One reading per chip of the table."""
    logical = {(chip.npu, chip.chip): chip.logical for chip in parse_mapping(mapping)}
    cards: list[CardReading] = []
    warnings: list[str] = []
    first: list[str] | None = None
    for line in table.splitlines():
        if "Process id" in line:
            break
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 3 or not cells[0][:1].isdecimal():
            first = None
        elif first is None:
            first = cells
        else:
            cards.append(_reading(first, cells, logical))
            first = None
    if not cards:
        warnings.append(next((line for line in table.splitlines() if line.strip()), "no output"))
    return Readings(TOOL, tuple(cards), tuple(warnings))


def _reading(
    first: list[str], second: list[str], logical: dict[tuple[int, int], int]
) -> CardReading:
    npu, _, name = first[0].partition(" ")
    chip, *physical = second[0].split()
    key = int(npu), int(chip)
    measured = first[2].split()
    pairs = _PAIR.findall(second[2])
    used, total = pairs[-1] if pairs else ("", "")  # HBM stands last, and DDR alone where none is
    return CardReading(
        index=logical.get(key, int(physical[0]) if physical else key[0]),
        raw_name=name.strip(),
        kind="npu",
        healthy=first[1].upper() in USABLE,
        health=first[1],
        power_watts=number(measured[0]) if measured else None,
        temperature_celsius=number(measured[1]) if len(measured) > 1 else None,
        utilisation_percent=number(second[2]),
        memory_used_mib=number(used),
        memory_total_mib=number(total),
        raw=(("NPU", npu), ("Chip", chip), ("Health", first[1]), ("Bus-Id", second[1])),
    )
