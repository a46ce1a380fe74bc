"""Times and lengths for people: short in tables, RFC 3339 with zone in records."""

from __future__ import annotations

import re
from datetime import datetime

from suan.errors import InvalidRequest

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_PART = re.compile(r"(\d+)([smhd])")


def moment(at: float) -> str | None:
    """Wall seconds as RFC 3339 in the local zone; None for 0.0, which means never."""
    if not at:
        return None
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")


def length(seconds: float) -> str:
    """Two units at most: "0.4s", "12s", "5m12s", "3h04m", "2d03h"."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s".replace(".0s", "s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3_600:02}h"


def parse_length(text: str) -> float:
    """Seconds of "90s", "10m", "1h30m" or "2d". Raises InvalidRequest (BadDuration)."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidRequest(
            f"{text!r} is not a length of time", "write 90s, 10m, 1h30m or 2d", "BadDuration"
        )
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts))
