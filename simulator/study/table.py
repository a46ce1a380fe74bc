"""A study as a table for people: what was read and made up, the bounds, a line per policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import median_low

from simulator.bounds import Bounds
from simulator.replay import Metrics
from simulator.study.study import Result, Study
from suan.cli.output import plain_lines

NOT_KNOWN = "-"
DAY = 86_400.0
# (name, its seconds, the seconds from which the next one is clearer)
UNITS = (("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 2 * DAY))
LONGEST = ("d", DAY)
# What stands under a title: its unit, if the title is to have one, and a cell per policy.
Column = Callable[[Study], tuple[str, list[str]]]


def lines(study: Study) -> Iterator[str]:
    """The figures of a study, ready to print."""
    bounds = study.bounds
    yield (
        f"lower bounds: mean completion {duration(bounds.mean_jct_seconds)}, "
        f"makespan {duration(bounds.makespan_seconds)}; load {study.world.load:.2f}"
    )
    yield ""
    titles, rows = policies(study)
    yield from plain_lines(titles, rows, [False, *[True] * (len(titles) - 1)])
    for result in study.results[-1:]:
        yield ""
        yield f"sites under {result.name} (absorption = card-hours held / card-hours offered)"
        yield from plain_lines(SITE_TITLES, sites(result), SITE_RIGHT)


def duration(seconds: float) -> str:
    """A length of time with its unit: 45.0 s, 12.3 min, 4.5 h, 3.2 d."""
    if math.isnan(seconds):
        return NOT_KNOWN
    unit, one = _unit(seconds)
    return f"{seconds / one:.1f} {unit}"


def _unit(seconds: float) -> tuple[str, float]:
    return next(((unit, one) for unit, one, most in UNITS if abs(seconds) < most), LONGEST)


def size(count: float) -> str:
    """A number of bytes with its unit, in powers of ten."""
    for unit, one in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if count >= one:
            return f"{count / one:,.1f} {unit}"
    return f"{count / 1e6:,.1f} MB"


def _times(part: float, bound: float) -> str:
    return f"{part / bound:.2f}" if bound > 0 and part == part else NOT_KNOWN


def _figure(value: float, form: str = ".2f") -> str:
    return format(value, form) if value == value else NOT_KNOWN


def _each(cell: Callable[[Result], str]) -> Column:
    return lambda study: ("", [cell(result) for result in study.results])


def _over(bound: Callable[[Bounds], float], value: Callable[[Metrics], float]) -> Column:
    """How many times the lower bound."""
    return lambda study: (
        "",
        [_times(value(result.metrics), bound(study.bounds)) for result in study.results],
    )


def _lengths(seconds: Callable[[Metrics], float]) -> Column:
    """Lengths of time, all in the unit of the middle one, so that they can be compared."""

    def column(study: Study) -> tuple[str, list[str]]:
        values = [seconds(result.metrics) for result in study.results]
        unit, one = _unit(median_low([v for v in values if not math.isnan(v)] or [0.0]))
        return unit, [_figure(value / one, ",.1f") for value in values]

    return column


COLUMNS: tuple[tuple[str, Column], ...] = (
    ("POLICY", _each(lambda r: r.name)),
    ("FINISHED", _each(lambda r: f"{r.metrics.finished:,}")),
    ("LEFT", _each(lambda r: f"{r.metrics.unfinished:,}")),
    ("MEAN JCT", _lengths(lambda m: m.mean_jct_seconds)),
    ("/BOUND", _over(lambda b: b.mean_jct_seconds, lambda m: m.mean_jct_seconds)),
    ("P50", _lengths(lambda m: m.p50_jct_seconds)),
    ("P99", _lengths(lambda m: m.p99_jct_seconds)),
    ("MEAN WAIT", _lengths(lambda m: m.mean_wait_seconds)),
    ("SLOWDOWN", _each(lambda r: _figure(r.metrics.mean_bounded_slowdown, ",.1f"))),
    ("MAKESPAN", _lengths(lambda m: m.makespan_seconds)),
    ("/BOUND", _over(lambda b: b.makespan_seconds, lambda m: m.makespan_seconds)),
    ("USE", _each(lambda r: _figure(r.metrics.utilisation, ".0%"))),
    ("JAIN", _each(lambda r: _figure(r.metrics.jain))),
    ("WORST FTF", _each(lambda r: _figure(r.metrics.worst_tenant_ftf))),
    ("PREEMPTED", _each(lambda r: f"{r.outcome.preemptions:,}")),
    ("MOVED TB", _each(lambda r: f"{r.accounts.bytes_moved / 1e12:,.1f}")),
    ("MWh", _each(lambda r: f"{r.accounts.kwh / 1e3:,.1f}")),
    ("kCNY", _each(lambda r: f"{r.accounts.yuan / 1e3:,.1f}")),
    ("DECISIONS/s", _each(lambda r: f"{r.decisions_per_second:,.0f}")),
)


def policies(study: Study) -> tuple[list[str], list[list[str]]]:
    """The titles, and a row for each policy."""
    columns = [(title, *column(study)) for title, column in COLUMNS]
    titles = [f"{title} {unit}".rstrip() for title, unit, _ in columns]
    return titles, [list(row) for row in zip(*(cells for *_, cells in columns), strict=True)]


SITE_TITLES = ["SITE", "CARDS", "JOBS", "USE", "ABSORPTION", "MWh", "kCNY"]
SITE_RIGHT = [False, *[True] * (len(SITE_TITLES) - 1)]


def sites(result: Result) -> list[list[str]]:
    """A row for each site under SITE_TITLES."""
    return [
        [
            name,
            f"{use.cards:,}",
            f"{use.jobs:,}",
            f"{use.utilisation:.0%}",
            f"{use.absorption:.0%}",
            f"{use.kwh / 1e3:,.1f}",
            f"{use.yuan / 1e3:,.1f}",
        ]
        for name, use in result.accounts.sites.items()
    ]
