"""Reads what `hy-smi` (Hygon) and `rocm-smi` (AMD, and older Hygon) print. Pure.

The plain table has no names and no megabytes; both come from a second call that answers in
JSON. Columns come and go with versions, so they are found by their headings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agent.probes.reading import CardReading, Readings, number

TOOL = "hy-smi"
ROCM_TOOL = "rocm-smi"
ARGUMENTS = ()
DETAIL_ARGUMENTS = ("--showproductname", "--showmeminfo", "vram", "--json")
_DEVICE_HEADINGS = {"DCU": "dcu", "HCU": "dcu", "GPU": "gpu", "Device": "gpu"}
_IN_BRACKETS = re.compile(r"\([^)]*\)")


def parse(table: str, detail: str = "", tool: str = TOOL) -> Readings:
    """One reading per line of the table, filled up from the JSON of the second call."""
    details = _details(detail)
    cards: list[CardReading] = []
    warnings: list[str] = []
    headings: list[str] = []
    for line in table.splitlines():
        # "0x74a1,   47056" is one cell.
        words = re.sub(r",\s+", ",", _IN_BRACKETS.sub("", line)).split()
        if words and words[0] in _DEVICE_HEADINGS:
            headings = words
        elif words and words[0].isdecimal() and len(words) == len(headings):
            cards.append(_reading(dict(zip(headings, words, strict=True)), headings[0], details))
        elif "ERROR" in line.upper():
            warnings.append(line.strip())
    if not cards and not warnings:
        warnings.append("no table of devices")
    return Readings(tool, tuple(cards), tuple(warnings))


def _reading(
    cells: dict[str, str], heading: str, details: Mapping[int, Mapping[str, str]]
) -> CardReading:
    index = int(cells[heading])
    detail = details.get(index, {})
    temperature = number(cells.get("Temp", ""))
    load = next((cells[name] for name in ("DCU%", "HCU%", "GPU%") if name in cells), "")
    answers = temperature is not None or number(load) is not None
    return CardReading(
        index=index,
        raw_name=_found(detail, "card series"),
        kind=_DEVICE_HEADINGS[heading],
        healthy=answers,
        health="OK" if answers else "no answer",
        power_watts=number(cells.get("AvgPwr", cells.get("Power", ""))),
        temperature_celsius=temperature,
        utilisation_percent=number(load),
        memory_used_mib=_mebibytes(detail, "vram total used memory"),
        memory_total_mib=_mebibytes(detail, "vram total memory"),
        memory_used_percent=number(cells.get("VRAM%", "")),
        raw=(*cells.items(), *detail.items()),
    )


def _details(text: str) -> dict[int, dict[str, str]]:
    """Fields by card number; whatever is not that JSON gives nothing."""
    start = text.find("{")
    try:
        document: Any = json.loads(text[start:]) if start >= 0 else {}
    except ValueError:
        return {}
    return {
        int(name[len("card") :]): {key: str(value) for key, value in fields.items()}
        for name, fields in document.items()
        if re.fullmatch(r"card\d+", name) and isinstance(fields, dict)
    }


def _found(detail: Mapping[str, str], key: str) -> str:
    """The field whose name begins with `key`, in whatever case this version writes it."""
    return next((value for name, value in detail.items() if name.lower().startswith(key)), "")


def _mebibytes(detail: Mapping[str, str], key: str) -> float | None:
    for name, value in detail.items():
        if name.lower().startswith(key):
            amount = number(value)
            in_bytes = name.rstrip().endswith("(B)")
            return amount / 2**20 if amount is not None and in_bytes else amount
    return None
