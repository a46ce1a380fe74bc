"""Texts with units, read: times, sizes, money, counts, index ranges.

Each function takes the text as it stands in the file and returns the value in the unit
that its name ends with, or raises Fault. The patterns are what the JSON Schema shows.
Numbers have at most 15 digits, so that no text costs more than its length to read.
"""

from __future__ import annotations

import re
from datetime import datetime

from suan.jobspec.limits import ARRAY_PARALLEL, Fault, quoted
from suan.jobspec.rules import verify_array
from suan.models import ArrayRange

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
NUMBER = r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,15})?(?:[eE][+-]?[0-9]{1,3})?"
INTEGER = r"[+-]?[0-9]{1,15}"
AT_LEAST = rf"{_NUMBER}\+?"
DURATION = rf"(?=[0-9])(?:({_NUMBER})d)?(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s)?"
CLOCK = r"([0-9]{1,6}):([0-5][0-9]):([0-5][0-9])"
SIZE = rf"({_NUMBER}) ?([KMGTP]i?B?|B)"
MEMORY = rf"({_NUMBER}) ?([KMGT]i?B?)?\+?"
LATENCY = rf"({_NUMBER})(?: ?ms)?"
MONEY = rf"({_NUMBER})(?: ?(?:CNY|RMB|元))?"
MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{5,15} ?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})"
ARRAY = r"([0-9]{1,9})(?:-([0-9]{1,9}))?(?::([0-9]{1,9}))?(?:%([0-9]{1,9}))?"
TYPE_COUNT = r"([^\s:][^:\x00-\x1f]{0,62})(?::([0-9]{1,9})(?: ?(cards?|dies?))?)?"

_DURATION_HINT = "write 12h, 30m, 1d2h, 01:30:00 or a number of seconds"
_POWER = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def integer(text: str) -> int:
    if not re.fullmatch(INTEGER, text):
        raise Fault("WrongType", f"must be a whole number, not {quoted(text)}")
    return int(text)


def number(text: str) -> float:
    if not re.fullmatch(NUMBER, text):
        raise Fault("WrongType", f"must be a number, not {quoted(text)}")
    return float(text)


def at_least(text: str) -> float:
    """'32' or '32+'."""
    if re.fullmatch(AT_LEAST, text):
        return float(text.removesuffix("+"))
    if re.fullmatch(NUMBER, text):
        raise Fault("OutOfRange", f"must not be {text}: write a count such as 32 or 32+")
    raise Fault("BadNumber", f"{quoted(text)} is not a number", "write 32 or 32+")


def whole_at_least(text: str) -> int:
    value = at_least(text)
    if value != int(value):
        raise Fault("BadNumber", f"must be a whole number, not {text}")
    return int(value)


def moment_seconds(text: str) -> float:
    """Wall seconds since 1970 of a time that says its zone, such as 2026-12-01T08:00+08:00."""
    hint = "write 2026-12-01T08:00+08:00, or Z for UTC"
    try:
        at = datetime.fromisoformat(text.replace(" +", "+").replace(" Z", "Z"))
    except ValueError:
        raise Fault("BadTime", f"{quoted(text)} is not a time", hint) from None
    if at.tzinfo is None:
        raise Fault("BadTime", f"{quoted(text)} does not say its zone", hint)
    return at.timestamp()


def duration_seconds(text: str) -> float:
    """'12h', '30m', '1d2h', 'HH:MM:SS' or a number of seconds."""
    if text.startswith("-"):
        raise Fault("NegativeTime", f"must not be negative, but is {quoted(text)}", _DURATION_HINT)
    if re.fullmatch(NUMBER, text):
        return float(text)
    if clock := re.fullmatch(CLOCK, text):
        hours, minutes, seconds = (float(part) for part in clock.groups())
        return hours * 3600 + minutes * 60 + seconds
    if units := re.fullmatch(DURATION, text):
        days, hours, minutes, seconds = (float(part or 0) for part in units.groups())
        return days * 86_400 + hours * 3600 + minutes * 60 + seconds
    raise Fault("BadDuration", f"{quoted(text)} is not a time", _DURATION_HINT)


def memory_gib(text: str) -> float:
    """'256GiB', '256GiB+', '256G' or '256' (GiB); '256GB' counts powers of ten."""
    match = re.fullmatch(MEMORY, text)
    if match is None:
        raise Fault("BadSize", f"{quoted(text)} is not a memory size", "write 256GiB or 256GiB+")
    return float(match[1]) * _unit_bytes(match[2] or "GiB") / 2**30


def size_bytes(text: str) -> int:
    """'10GiB', '500MB' or a number of bytes."""
    if re.fullmatch(INTEGER, text):
        return int(text)
    match = re.fullmatch(SIZE, text)
    if match is None:
        raise Fault("BadSize", f"{quoted(text)} is not a size", "write 10GiB or 500MB")
    return round(float(match[1]) * _unit_bytes(match[2]))


def latency_ms(text: str) -> float:
    """'10ms' or '10'."""
    match = re.fullmatch(LATENCY, text)
    if match is None:
        raise Fault("BadLatency", f"{quoted(text)} is not a latency", "write 10ms")
    return float(match[1])


def yuan(text: str) -> float:
    """'3000 CNY' or '3000'."""
    match = re.fullmatch(MONEY, text)
    if match is None:
        raise Fault("BadMoney", f"{quoted(text)} is not a sum in CNY", "write 3000 CNY")
    return float(match[1])


def type_count(text: str) -> tuple[str, int]:
    """'ascend-910b:8' as ('ascend-910b', 8), in physical cards; without a count, 1."""
    name, count, in_dies = type_quantity(text)
    if in_dies:
        message = f"{quoted(text)} counts dies, but cards are counted here"
        raise Fault("BadAccelerator", message, "write the cards, e.g. ascend-910c:8")
    return name, count


def type_quantity(text: str) -> tuple[str, int, bool]:
    """'ascend-910c:16 dies' as ('ascend-910c', 16, whether dies are counted)."""
    match = re.fullmatch(TYPE_COUNT, text)
    if match is None:
        if re.search(r":-[0-9]+$", text):
            raise Fault("OutOfRange", f"{quoted(text)} asks for less than one card")
        if re.search(r":([0-9]*\.[0-9]+|[0-9]+/[0-9]+)$", text):
            message = f"{quoted(text)} asks for a slice, but sites lend whole cards"
            raise Fault("BadAccelerator", message, "write a whole number of cards, at least 1")
        raise Fault(
            "BadAccelerator",
            f"{quoted(text)} is not TYPE:COUNT",
            "write the cards per node, e.g. ascend-910b:8",
        )
    return match[1].strip(), int(match[2] or 1), (match[3] or "").startswith("die")


def array_range(text: str) -> ArrayRange:
    """'0-99', '0-99%10', '0-9:2' or one index."""
    match = re.fullmatch(ARRAY, text)
    if match is None:
        raise Fault(
            "BadArray",
            f"{quoted(text)} is not a range of indexes",
            "write FIRST-LAST, FIRST-LAST:STEP or FIRST-LAST%PARALLEL, e.g. 0-99%10",
        )
    first = int(match[1])
    result = ArrayRange(
        first=first,
        last=int(match[2] or first),
        step=int(match[3] or 1),
        parallel_max=int(match[4] or 0),
    )
    if match[4]:
        ARRAY_PARALLEL.verify(result.parallel_max)
    verify_array(result)
    return result


def _unit_bytes(unit: str) -> int:
    """Bytes of a unit: 'GiB' and 'G' are 2**30, 'GB' is 10**9."""
    if unit == "B":
        return 1
    base = 1000 if unit.endswith("B") and "i" not in unit else 1024
    return int(base ** _POWER[unit[0]])
