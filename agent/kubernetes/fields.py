"""Reading JSON that others wrote: what is not there, or is of another kind, is simply empty.

An API server may be newer than we are, and annotations are anybody's; so nothing here raises
but `quantity`. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Json = dict[str, Any]

# Kubernetes' quantities: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_FACTORS: Mapping[str, float] = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
    "Ei": 2.0**60,
}


def at(value: Any, *path: str) -> Any:
    """What lies at a path of keys; None where there is nothing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(value: Any, *path: str) -> str:
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str) -> int:
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def moment(value: Any, *path: str) -> float | None:
    """Wall seconds of a time such as "2026-11-01T10:00:00Z"; None for what is none."""
    try:
        found = datetime.fromisoformat(text(value, *path))
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def table(value: Any, *path: str) -> Json:
    found = at(value, *path)
    return found if isinstance(found, dict) else {}


def words(value: Any, *path: str) -> dict[str, str]:
    """A map of text to text, such as labels; other values are left out."""
    return {key: word for key, word in table(value, *path).items() if isinstance(word, str)}


def items(value: Any, *path: str) -> list[Any]:
    found = at(value, *path)
    return found if isinstance(found, list) else []


def quantity(said: Any) -> float:
    """ "96", "95500m", "527895924Ki" as a number. Raises ValueError."""
    written = str(said)
    digits = written.rstrip("".join(set("".join(_FACTORS))))
    if written[len(digits) :] in _FACTORS:
        return float(digits) * _FACTORS[written[len(digits) :]]
    return float(written)  # 12e6


def amount(said: Any) -> float:
    """The same; 0.0 for what is no quantity, or none that could be."""
    try:
        found = quantity(said)
    except ValueError:
        return 0.0
    return found if 0.0 <= found < math.inf else 0.0
