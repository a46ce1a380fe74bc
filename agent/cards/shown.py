"""What tools and exporters said of single cards, for the operator: rows, and rows as text. Pure.

A load stands beside who told it and what he means by it, and loads are never added up: of
another vendor's cards the same number means something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.probes.exporters import EXPORTERS
from agent.probes.reading import CardReading, Readings

DEVICES_SHOWN_MAX = 2_048  # of more, ask by node
_WORDS = {True: "ok", False: "FAULTY", None: "unknown"}
_HEADINGS = ("POOL", "NODE", "DEVICE", "NAME", "HEALTH", "LOAD", "WATTS", "°C", "MEMORY", "ERRORS")


def rows(readings: Mapping[tuple[str, str], Readings], node: str = "") -> list[dict[str, Any]]:
    """One for each device, with the names and values of the series that told it.

    `readings` by pool and node; `node` "": of all.
    """
    found = [
        _row(pool, name, said, card)
        for (pool, name), said in sorted(readings.items())
        if node in ("", name)
        for card in said.cards
    ]
    return found[:DEVICES_SHOWN_MAX]


def _row(pool: str, node: str, said: Readings, card: CardReading) -> dict[str, Any]:
    exporter = EXPORTERS.get(said.tool)
    return {
        "pool": pool,
        "node": node,
        "device": card.index,
        "name": card.raw_name,
        "told_by": said.tool,
        "state": _WORDS[card.healthy],
        "health": card.health,
        "load_percent": card.utilisation_percent,
        "load_means": exporter.busy if exporter else f"as {said.tool} counts",
        "power_watts": card.power_watts,
        "temperature_celsius": card.temperature_celsius,
        "memory_used_mib": card.memory_used_mib,
        "memory_total_mib": card.memory_total_mib,
        "uncorrected_errors": card.uncorrected_errors,
        "errors": list(card.errors),
        "raw": [list(pair) for pair in card.raw],
    }


def lines(found: list[dict[str, Any]]) -> Iterator[str]:
    """A table, and below it what the loads mean."""
    table = [_HEADINGS, *map(_cells, found)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join(padded).rstrip()
    for told_by, means in dict.fromkeys((row["told_by"], row["load_means"]) for row in found):
        yield f"LOAD of {told_by}: {means}; not to be compared with another vendor's"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    state = row["state"] if row["state"] == "ok" else f"{row['state']} ({row['health']})"
    used, total = row["memory_used_mib"], row["memory_total_mib"]
    memory = f"{used / 1024:.1f}/{total / 1024:.0f} GiB" if used is not None and total else "-"
    errors = list(row["errors"])
    if row["uncorrected_errors"]:
        errors.append(f"{row['uncorrected_errors']:g} uncorrected")
    return (
        row["pool"],
        row["node"],
        str(row["device"]),
        row["name"] or "-",
        state,
        _figure(row["load_percent"], "%"),
        _figure(row["power_watts"]),
        _figure(row["temperature_celsius"]),
        memory,
        ", ".join(errors) or "-",
    )


def _figure(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.0f}{unit}"
