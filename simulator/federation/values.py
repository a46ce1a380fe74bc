"""Checked values of a YAML record: each is sound, or reported and replaced by nothing.

Knows the kinds of values, not what a federation is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from suan.network.provenance import Bounds
from suan.network.reading import Faults, Spot, nearest


class Values:
    """Reads values and gathers their faults."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def text(self, fields: Mapping[str, Spot], key: str) -> str:
        return fields[key].text(self.faults) if key in fields else ""

    def bounded(self, spot: Spot, bounds: Bounds) -> float:
        return spot.number(self.faults, bounds.least, bounds.most, bounds.unit)

    def numbers(self, fields: Mapping[str, Spot], bounds: Mapping[str, Bounds]) -> dict[str, float]:
        """The numbers that stand there and are sound; the others keep their defaults."""
        found = {key: self.bounded(fields[key], bounds[key]) for key in bounds if key in fields}
        return {key: value for key, value in found.items() if math.isfinite(value)}

    def whole(self, fields: Mapping[str, Spot], key: str, bounds: Bounds) -> int:
        """A whole number; 0 when it is absent or wrong, which is then reported."""
        if key not in fields:
            return 0
        value = self.bounded(fields[key], bounds)
        if math.isfinite(value) and value != int(value):
            self.faults.report(fields[key], "WrongType", f"must be a whole number, not {value:g}")
            return 0
        return int(value) if math.isfinite(value) else 0

    def names(
        self, fields: Mapping[str, Spot], key: str, known: Mapping[str, object] | None = None
    ) -> tuple[str, ...]:
        spots = fields[key].items(self.faults) if key in fields else []
        if known is None:
            return tuple(spot.text(self.faults) for spot in spots)
        return tuple(name for spot in spots for name in self.known(spot, "site", known))

    def known(self, spot: Spot, what: str, known: Mapping[str, object]) -> Sequence[str]:
        name = spot.text(self.faults)
        if name and name not in known:
            self.unknown(spot, f"Unknown{what.title()}", what, known)
        return [name] if name in known else []

    def list(self, fields: Mapping[str, Spot], key: str, most: int) -> Sequence[Spot]:
        spots = fields[key].items(self.faults) if key in fields else []
        if len(spots) > most:
            self.faults.report(fields[key], "ListTooLong", f"has more than {most:,} entries")
        return spots[:most]

    def unknown(self, spot: Spot, code: str, what: str, known: Iterable[str]) -> None:
        name = str(spot.node.value)[:64]
        hint = nearest(name, known) or "none is near; see those that the file declares"
        self.faults.report(spot, code, f"no {what} is called {name!r}", hint)
