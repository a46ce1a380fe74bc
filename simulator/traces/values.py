"""Numbers of a row, checked: each function gives a value or raises BadRow with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping

from simulator.traces.report import BadRow, Reason

SECONDS_MAX = 1e10  # 317 years
CARDS_MAX = 10_000_000


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise BadRow(Reason.NOT_A_NUMBER) from None
    if not math.isfinite(value):
        raise BadRow(Reason.NOT_A_NUMBER)
    return value


def field(row: Mapping[str, str], key: str) -> str:
    """The text of a field that must be there."""
    text = row[key].strip()
    if not text:
        raise BadRow(Reason.MISSING_FIELD)
    return text


def seconds(text: str) -> float:
    """A time or a length, not negative."""
    value = number(text)
    if value < 0:
        raise BadRow(Reason.NEGATIVE_TIME)
    if value > SECONDS_MAX:
        raise BadRow(Reason.OUT_OF_RANGE)
    return value


def cards(text: str) -> int:
    """How many cards; at least one."""
    value = number(text)
    if value <= 0:
        raise BadRow(Reason.ZERO_WIDTH)
    if value > CARDS_MAX or value != int(value):
        raise BadRow(Reason.OUT_OF_RANGE)
    return int(value)
