"""Where figures come from: the sources that a file declares, and how its records cite them.

A figure's own `source` or `assumed` counts, else that of the record it stands in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from suan.network.file import Source
from suan.network.reading import Faults, Spot, nearest

KEYS = ("source", "assumed")
_PARTS = ("title", "address", "licence")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and where it comes from, in words."""

    value: float
    provenance: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a number may be, both ends included."""

    least: float
    most: float
    unit: str


class Citations:
    """The declared sources, and the reading of what refers to them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._sources: dict[str, Source] = {}

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(self._sources.values())

    def declare(self, name: str, spot: Spot) -> None:
        fields = spot.fields(self._faults, _PARTS[:1], _PARTS[1:])
        words = {key: fields[key].text(self._faults) for key in _PARTS if key in fields}
        self._sources[name] = Source(name, **{"title": "", **words})

    def of(self, spot: Spot, fields: Mapping[str, Spot], *, required: bool = True) -> str:
        """A record's provenance: "chinanet, cernet" or "assumed: why", or both."""
        cited = self._cited(fields["source"]) if "source" in fields else []
        words = [", ".join(cited)] if cited else []
        if "assumed" in fields:
            words.append(f"assumed: {fields['assumed'].text(self._faults)}")
        if required and not {"source", "assumed"} & fields.keys():
            self._report_missing(spot)
        return "; ".join(words)

    def figure(self, spot: Spot | None, provenance: str, bounds: Bounds) -> Figure | None:
        """A bare number, or {value: …, source: …}; `provenance` is that of its record."""
        if spot is None:
            return None
        number: Spot | None = spot
        if spot.is_map:
            fields = spot.fields(self._faults, ("value",), KEYS)
            provenance = self.of(spot, fields, required=False) or provenance
            number = fields.get("value")
        if number is None:
            return None
        if not provenance:
            self._report_missing(spot)
        return Figure(
            number.number(self._faults, bounds.least, bounds.most, bounds.unit), provenance
        )

    def _cited(self, spot: Spot) -> list[str]:
        names = []
        for each in spot.items(self._faults) if spot.is_list else [spot]:
            name = each.text(self._faults)
            if name and name not in self._sources:
                hint = nearest(name, self._sources) or "declare it under `sources:`"
                message = f"no source is called {name[:64]!r}"
                self._faults.report(each, "UnknownSource", message, hint)
            names.append(name)
        return names

    def _report_missing(self, spot: Spot) -> None:
        message = "does not say where its figures come from"
        self._faults.report(spot, "MissingSource", message, "add `source: …` or `assumed: why`")
