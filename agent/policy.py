"""What a site's operator leaves the federation of a pool, and when: shares, windows, recall. Pure.

Windows are hours of the site's own clock, taken as spans of real time from beginning to end:
so an hour that comes twice, or not at all, in the night of a clock change opens nothing twice.
Walls are wall seconds since 1970. Knows no pool, no card and no run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from scheduler.priority import PriorityClass

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = frozenset(range(len(DAYS)))
DAY_MINUTES = 24 * 60
DAYS_AHEAD = 8  # whose windows are looked at, so that …
WEEK_SECONDS = (7 * 24 + 2) * 3_600.0  # … a week is known whole, also one with a clock change


@dataclass(frozen=True, slots=True)
class Window:
    """Hours in which another share holds. `ends` at or before `begins`: on the next day."""

    begins: int  # minutes of the local day
    ends: int
    days: frozenset[int] = EVERY_DAY  # on which it begins; 0: Monday
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Recall:
    """How cards are given back when the site wants them: what is stopped, and how fast."""

    grace_seconds: float = 600.0  # from the wish to the last process
    classes: tuple[PriorityClass, ...] = tuple(PriorityClass)  # that may be stopped for it


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """What of a pool the federation may hold. Of windows that are open the first counts."""

    share: float = 1.0  # outside the windows
    windows: tuple[Window, ...] = ()
    recall: Recall | None = None  # None: what runs is never stopped for the site's own jobs

    @property
    def share_max(self) -> float:
        """The largest share at any time."""
        return max([self.share, *(window.share for window in self.windows)])


EVERYTHING = PoolPolicy()


@dataclass(frozen=True, slots=True)
class Hours:
    """A time in which one share holds; at most a day of it, so that it is looked at again."""

    since: float  # wall seconds
    until: float
    share: float
    opens_at: float | None  # when the share is next a larger one; None: never


def share_now(policy: PoolPolicy, wall: float, zone: tzinfo) -> float:
    """The fraction of the pool's cards that the federation may hold at `wall`."""
    return _share_at(policy, _timetable(policy, wall, zone), wall)


def next_change(policy: PoolPolicy, wall: float, zone: tzinfo) -> float | None:
    """When the share is next another one than at `wall`; None: never."""
    return next((at for at, _ in _changes(policy, wall, zone)), None)


def next_opening(policy: PoolPolicy, wall: float, zone: tzinfo) -> float | None:
    """When the share is next larger than at `wall`; None: never."""
    now = share_now(policy, wall, zone)
    return next((at for at, share in _changes(policy, wall, zone) if share > now), None)


def hours_at(policy: PoolPolicy, wall: float, zone: tzinfo) -> Hours:
    """What holds at `wall`, and for how long."""
    change = next_change(policy, wall, zone)
    day = wall + DAY_MINUTES * 60.0
    until = day if change is None else min(change, day)
    share, opens_at = share_now(policy, wall, zone), next_opening(policy, wall, zone)
    return Hours(wall, until, share, opens_at)


_Span = tuple[float, float, float]  # from, until, share


def _changes(policy: PoolPolicy, wall: float, zone: tzinfo) -> Iterator[tuple[float, float]]:
    """When the share changes in the coming week, and to what."""
    spans = _timetable(policy, wall, zone)
    before = _share_at(policy, spans, wall)
    times = {at for begin, end, _ in spans for at in (begin, end)}
    for at in sorted(at for at in times if 0 < at - wall <= WEEK_SECONDS):
        share = _share_at(policy, spans, at)
        if share != before:
            yield at, share
        before = share


def _share_at(policy: PoolPolicy, spans: Sequence[_Span], at: float) -> float:
    return next((share for begin, end, share in spans if begin <= at < end), policy.share)


def _timetable(policy: PoolPolicy, wall: float, zone: tzinfo) -> list[_Span]:
    """When the windows open and close, from two days before `wall` on; the first window first."""
    if not policy.windows:
        return []
    today = datetime.fromtimestamp(wall, zone).replace(
        hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0
    )
    days = [today + timedelta(days=ahead) for ahead in range(-2, DAYS_AHEAD + 1)]
    return [
        (*_span(window, day, zone), window.share)
        for window in policy.windows
        for day in days
        if day.weekday() in window.days
    ]


def _span(window: Window, day: datetime, zone: tzinfo) -> tuple[float, float]:
    """The window that begins on that local day, in wall seconds."""
    last = window.ends if window.ends > window.begins else window.ends + DAY_MINUTES
    begin, end = (day + timedelta(minutes=at) for at in (window.begins, last))
    return begin.replace(tzinfo=zone).timestamp(), end.replace(tzinfo=zone).timestamp()


# --- in words ------------------------------------------------------------------------


def in_words(policy: PoolPolicy) -> str:
    """ "50% mon–fri 08:00–20:00, all else; recall within 10 min"."""
    shares = [f"{_part(window.share)} {_hours(window)}" for window in policy.windows]
    shares.append(_part(policy.share) + (" else" if shares else ""))
    said = ", ".join(shares)
    if (recall := policy.recall) is None:
        return said
    within = f"{said}; recall within {_length(recall.grace_seconds)}"
    if set(recall.classes) == set(PriorityClass):
        return within
    return f"{within} of {', '.join(each.name.lower() for each in recall.classes)}"


def _part(share: float) -> str:
    return {0.0: "none", 1.0: "all"}.get(share, f"{share:.0%}")


def _hours(window: Window) -> str:
    begins, ends = (f"{at // 60:02}:{at % 60:02}" for at in (window.begins, window.ends))
    days = _days(sorted(window.days))
    return f"{days} {begins}–{ends}".lstrip()


def _days(days: list[int]) -> str:
    if len(days) == len(DAYS):
        return ""
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{DAYS[days[0]]}–{DAYS[days[-1]]}"
    return " ".join(DAYS[day] for day in days)


def _length(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 or seconds % 60 else f"{seconds / 60:g} min"
