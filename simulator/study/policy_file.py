"""A file with weights and bounds of rounds: YAML with the keys of `scheduler.model.Policy`."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from scheduler.model import Policy
from suan.errors import InvalidRequest
from suan.network.reading import Faults, Spot, read

MOST = 1e12


def load_policy(path: Path) -> Policy:
    """The policy that a file describes; what it leaves out keeps its default.

    Raises InvalidSpec with every fault found, InvalidRequest when it cannot be read.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
        raise InvalidRequest(message, "name a policy file", code="FileUnreadable") from None
    faults = Faults()
    found = read(text).fields(faults, (), ("apiVersion", *_numbers()))
    if (version := found.pop("apiVersion", None)) and version.text(faults) != "suan/v1":
        faults.report(version, "UnknownVersion", "must be suan/v1")
    values = {key: _value(faults, key, spot) for key, spot in found.items()}
    faults.raise_if_any()
    return Policy(**values)


def _numbers() -> dict[str, int | float]:
    """The fields that are numbers, with their defaults."""
    defaults = {each.name: each.default for each in fields(Policy) if each.default is not MISSING}
    return {
        name: value
        for name, value in defaults.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _value(faults: Faults, key: str, spot: Spot) -> Any:
    value = spot.number(faults, 0.0, MOST, "")
    if not isinstance(_numbers()[key], int):
        return value
    if math.isfinite(value) and value != int(value):
        faults.report(spot, "WrongType", f"must be a whole number, not {value:g}")
    return int(value) if math.isfinite(value) else 0
