"""The keys of agent.yaml that say what of a pool the federation may hold, and when.

The same for a pool of the agent's own machine and for what a cluster manager offers. Reads
`share`, `windows` and `recall` as one `agent.policy.PoolPolicy`.
"""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.config.values import number
from agent.policy import DAY_MINUTES, DAYS, EVERY_DAY, PoolPolicy, Recall, Window
from scheduler.priority import PriorityClass
from suan.jobspec.limits import Fault, quoted
from suan.jobspec.shapes import Choice, Field, ListOf, Record, Scalar

WINDOWS_MAX = 32  # of one pool
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00"


def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name. Raises Fault."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"no time zone is called {quoted(name)}"
        hint = "an IANA name such as Asia/Shanghai; the machine needs tzdata"
        raise Fault("UnknownTimeZone", message, hint) from None


def policy_from(values: dict[str, Any]) -> dict[str, Any]:
    """A pool's values with its `policy` in the place of what it is made of."""
    windows = values.pop("windows", ())
    share = values.pop("share", 0.0 if windows else 1.0)
    policy = PoolPolicy(share, windows, values.pop("recall", None))
    return {**values, "policy": policy}


def _minutes(text: str) -> int:
    if not re.fullmatch(_TIME, text):
        message = f"must be a time of day from 00:00 to 24:00, not {quoted(text)}"
        raise Fault("BadTime", message, 'write two digits each, e.g. "08:00"')
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _window(begins: int, ends: int, days: tuple[str, ...] = DAYS, share: float = 1.0) -> Window:
    """Raises Fault for a window that cannot be."""
    if begins == DAY_MINUTES:
        raise Fault("BadTime", "begins at 24:00", 'write from: "00:00", and the next day')
    numbers = frozenset(DAYS.index(day) for day in days) if days else EVERY_DAY
    return Window(begins, ends, numbers, share)


def _recall(grace_seconds: float = 600.0, classes: tuple[str, ...] = ()) -> Recall:
    chosen = tuple(each for each in PriorityClass if each.name.lower() in classes)
    return Recall(grace_seconds, chosen or tuple(PriorityClass))


def _words(*words: str) -> Choice:
    return Choice({word: word for word in words})


_TIME_OF_DAY = Scalar(_minutes, None, {"type": "string", "pattern": f"^(?:{_TIME})$"}, "a time")

WINDOW: Record[Window] = Record(
    _window,
    (
        Field("days", ListOf(_words(*DAYS), 1, len(DAYS)), "on which it begins; default: all"),
        Field("from", _TIME_OF_DAY, "when it opens", True, "begins", ("begin", "start")),
        Field("to", _TIME_OF_DAY, "when it closes", True, "ends", ("end", "until")),
        Field("share", number(0.0, 1.0), "of the pool's cards, while it is open; default: 1"),
    ),
)

RECALL: Record[Recall] = Record(
    _recall,
    (
        Field(
            "grace_seconds",
            number(1, 86_400, "seconds"),
            "within which cards are given back; default: 600",
            foreign=("grace", "seconds"),
        ),
        Field(
            "classes",
            ListOf(_words(*(each.name.lower() for each in PriorityClass)), 1, len(PriorityClass)),
            "classes of priority whose jobs may be stopped; default: all",
        ),
    ),
)

POLICY_FIELDS = (
    Field(
        "share",
        number(0.0, 1.0),
        "of its cards that the federation may hold at most; default: 1, with windows 0",
        foreign=("fraction", "cards_max"),
    ),
    Field(
        "windows",
        ListOf(WINDOW, 1, WINDOWS_MAX),
        "hours with a share of their own, of which the first that is open counts",
        foreign=("hours", "schedule"),
    ),
    Field("recall", RECALL, "give cards back when the site wants them; default: never"),
)

TIME_ZONE = Scalar(zone_of, None, {"type": "string"}, "a time zone")
