"""Reads Prometheus' text format (version 0.0.4). Pure.

A full node prints thousands of series, so only those that are asked for are parsed; of the
others the names are kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

NAMES_MAX = 1_000  # of series that nobody asked for
NAME_CHARACTERS_MAX = 100
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?=[ \t{])")
_RUNTIMES_OWN = ("go_", "process_", "promhttp_", "python_")  # of the exporter, not of cards


@dataclass(frozen=True, slots=True)
class Series:
    """One sample."""

    name: str  # as printed
    labels: Mapping[str, str]
    value: float
    at: float | None  # wall seconds of the exporter's clock; None: it prints none


@dataclass(frozen=True, slots=True)
class Exposition:
    """What an exporter says at one moment."""

    series: tuple[Series, ...]
    others: tuple[str, ...]  # names of series that nobody asked for


def parse(text: str, wanted: Collection[str]) -> Exposition:
    """Raises ValueError: it breaks off, or a wanted series cannot be read."""
    if not text.endswith("\n"):
        raise ValueError("it breaks off within a line")
    kept: list[str] = []
    others: dict[str, None] = {}
    for line in text.split("\n"):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = _NAME.match(line)
        name = found[0] if found else line[:NAME_CHARACTERS_MAX]
        if name in wanted:
            kept.append(line)
        elif len(others) < NAMES_MAX and not name.startswith(_RUNTIMES_OWN):
            others[name] = None
    # Without their types: then the parser leaves the names of counters as they are.
    families = text_string_to_metric_families("\n".join(kept) + "\n")
    samples = (sample for family in families for sample in family.samples)
    series = tuple(Series(s.name, s.labels, float(s.value), _seconds(s.timestamp)) for s in samples)
    return Exposition(series, tuple(others))


def _seconds(timestamp: object) -> float | None:
    return None if timestamp is None else float(str(timestamp))
