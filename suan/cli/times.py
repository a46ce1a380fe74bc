"""Times and lengths for people: short in tables, RFC 3339 with zone in records."""

from __future__ import annotations

from datetime import datetime

from suan.errors import InvalidRequest

AHEAD_SECONDS_MAX = 300.0  # by which another clock may be ahead of ours
_SINCE_HINT = "write a length such as 10m or 2h30m, or a time such as 2026-11-22T10:00:00Z"


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
    """Seconds of "90s", "10m", "1h30m" or "2d". Raises InvalidRequest."""
    from suan.jobspec.limits import Fault
    from suan.jobspec.units import duration_seconds

    try:
        return duration_seconds(text)
    except Fault as fault:
        raise InvalidRequest(fault.message, fault.hint, fault.code) from fault


def parse_since(text: str, now: float) -> float:
    """Wall seconds of "10m" (before `now`) or of an ISO time with zone. Raises InvalidRequest."""
    if not any(mark in text for mark in "-:T"):
        try:
            return max(now - parse_length(text), 0.0)
        except InvalidRequest as error:
            raise InvalidRequest(error.message, _SINCE_HINT, error.code) from error
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{text!r} is not a time", _SINCE_HINT, "BadTime") from None
    if at.tzinfo is None:
        hint = "add Z for UTC, or an offset such as +08:00"
        raise InvalidRequest(f"{text!r} does not say its zone", hint, "BadTime")
    if at.timestamp() > now + AHEAD_SECONDS_MAX:
        raise InvalidRequest(f"{text!r} lies in the future", _SINCE_HINT, "BadTime")
    return max(at.timestamp(), 0.0)
