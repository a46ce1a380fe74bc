"""A study as a table for people: what was read and made up, the bounds, a line per policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simulator.study.study import Result, Study
from suan.cli.output import plain_lines

NOT_KNOWN = "-"
DAY = 86_400.0
Cell = Callable[[Result, Study], str]


def lines(study: Study) -> Iterator[str]:
    """The figures of a study, ready to print."""
    bounds = study.bounds
    yield (
        f"lower bounds: mean completion {duration(bounds.mean_jct_seconds)}, "
        f"makespan {duration(bounds.makespan_seconds)}; load {study.world.load:.2f}"
    )
    yield ""
    rows = [[cell(result, study) for _, cell in COLUMNS] for result in study.results]
    yield from plain_lines([title for title, _ in COLUMNS], rows, RIGHT)
    for result in study.results[-1:]:
        yield ""
        yield f"sites under {result.name} (absorption = card-hours held / card-hours offered)"
        yield from plain_lines(SITE_TITLES, sites(result), SITE_RIGHT)


def duration(seconds: float) -> str:
    """A length of time with its unit: 45 s, 12.3 min, 4.5 h, 3.2 d."""
    if seconds != seconds:
        return NOT_KNOWN
    for unit, size, most in (("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 2 * DAY)):
        if abs(seconds) < most:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / DAY:.1f} d"


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


COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("POLICY", lambda r, _: r.name),
    ("FINISHED", lambda r, _: f"{r.metrics.finished:,}"),
    ("LEFT", lambda r, _: f"{r.metrics.unfinished:,}"),
    ("MEAN JCT", lambda r, _: duration(r.metrics.mean_jct_seconds)),
    ("/BOUND", lambda r, s: _times(r.metrics.mean_jct_seconds, s.bounds.mean_jct_seconds)),
    ("P50", lambda r, _: duration(r.metrics.p50_jct_seconds)),
    ("P99", lambda r, _: duration(r.metrics.p99_jct_seconds)),
    ("MEAN WAIT", lambda r, _: duration(r.metrics.mean_wait_seconds)),
    ("SLOWDOWN", lambda r, _: _figure(r.metrics.mean_bounded_slowdown, ",.1f")),
    ("MAKESPAN", lambda r, _: duration(r.metrics.makespan_seconds)),
    ("/BOUND", lambda r, s: _times(r.metrics.makespan_seconds, s.bounds.makespan_seconds)),
    ("USE", lambda r, _: _figure(r.metrics.utilisation, ".0%")),
    ("JAIN", lambda r, _: _figure(r.metrics.jain)),
    ("WORST FTF", lambda r, _: _figure(r.metrics.worst_tenant_ftf)),
    ("PREEMPTED", lambda r, _: f"{r.outcome.preemptions:,}"),
    ("MOVED TB", lambda r, _: f"{r.accounts.bytes_moved / 1e12:,.1f}"),
    ("MWh", lambda r, _: f"{r.accounts.kwh / 1e3:,.1f}"),
    ("kCNY", lambda r, _: f"{r.accounts.yuan / 1e3:,.1f}"),
    ("DECISIONS/s", lambda r, _: f"{r.decisions_per_second:,.0f}"),
)
RIGHT = [False, *[True] * (len(COLUMNS) - 1)]

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
