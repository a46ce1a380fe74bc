"""Reads what `nvidia-smi` prints as CSV. Pure."""

from __future__ import annotations

import csv
import io

from agent.probes.reading import CardReading, Readings, number

TOOL = "nvidia-smi"
# Fields that every driver since 2016 knows; an unknown one would fail the whole query.
FIELDS = (
    "index",
    "name",
    "uuid",
    "pci.bus_id",
    "temperature.gpu",
    "power.draw",
    "utilization.gpu",
    "memory.used",
    "memory.total",
    "ecc.errors.uncorrected.volatile.total",
)
ARGUMENTS = (f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits")


def parse(text: str) -> Readings:
    """One reading per line of the query; other lines, such as those of a lost GPU, warn."""
    cards: list[CardReading] = []
    warnings: list[str] = []
    for row in csv.reader(io.StringIO(text), skipinitialspace=True):
        if len(row) == len(FIELDS) and row[0].strip().isdecimal():
            cards.append(_reading(dict(zip(FIELDS, (cell.strip() for cell in row), strict=True))))
        elif row:
            warnings.append(", ".join(row))
    return Readings(TOOL, tuple(cards), tuple(warnings))


def _reading(cells: dict[str, str]) -> CardReading:
    health = _health(cells)
    return CardReading(
        index=int(cells["index"]),
        raw_name=cells["name"],
        kind="gpu",
        healthy=health == "OK",
        health=health,
        power_watts=number(cells["power.draw"]),
        temperature_celsius=number(cells["temperature.gpu"]),
        utilisation_percent=number(cells["utilization.gpu"]),
        memory_used_mib=number(cells["memory.used"]),
        memory_total_mib=number(cells["memory.total"]),
        raw=tuple(cells.items()),
    )


def _health(cells: dict[str, str]) -> str:
    """nvidia-smi has no word for health: a broken card shows it where its numbers should be."""
    if number(cells["ecc.errors.uncorrected.volatile.total"]):
        return "uncorrected ECC errors"
    for field in ("temperature.gpu", "memory.total"):
        if number(cells[field]) is None:
            return cells[field] or "no answer"
    return "OK"
