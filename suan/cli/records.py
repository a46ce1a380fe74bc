"""The values of the SDK as plain records: what `-o json` and `-o yaml` print.

One rule for all: keys are the names of the dataclasses' fields, so they are the same in
lists and details; instants (`*_at`) are RFC 3339 with zone, or null for never.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from suan.cli.times import moment


def record(value: Any) -> Any:
    """`value` as what JSON can hold."""
    if is_dataclass(value):
        return {
            field.name: _field(field.name, getattr(value, field.name)) for field in fields(value)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {key: record(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [record(item) for item in value]
    return value


def _field(name: str, value: Any) -> Any:
    return moment(value) if name.endswith("_at") else record(value)
