"""A study as one page of HTML that needs nothing else: no script, no font, nothing fetched.

Tables for every policy and site, the use of the cards over time, the distribution of
completion times, and the network with what went over each link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from simulator.study.plots import Line, plot
from simulator.study.series import completion_share, use_over_time
from simulator.study.study import PRODUCT, Study
from simulator.study.table import SITE_TITLES, duration, policies, sites, size
from suan.network.draw import Flow
from suan.network.file import NetworkFile
from suan.network.svg import svg

LINKS_MAX = 20  # in the table of links

_STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 'Noto Sans','Helvetica Neue',Arial,'Noto Sans CJK SC',sans-serif;
 color:#1b2a41;background:#fbfcfe;margin:0 auto;max-width:1180px;padding:24px}
h1{font-size:26px;margin:0}h2{font-size:18px;margin:34px 0 6px}
p{margin:4px 0 10px;max-width:78ch}.faint{color:#5d6c82}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid #e1e7ef;white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{font-size:12px;color:#5d6c82}
.wide{overflow-x:auto}svg{max-width:100%;height:auto}li{white-space:pre-wrap}
"""
_NOTES = """JCT: completion time, from submission to end. /BOUND: over a proved lower bound that no
schedule can beat. SLOWDOWN: mean of completion time over the best time alone. USE: card-hours of
runs over all card-hours. JAIN: fairness over the tenants' slowdowns, 1 is even. WORST FTF: the
worst tenant's mean completion time over that alone in its share. ABSORPTION: card-hours held by
jobs over card-hours offered."""


def page(study: Study) -> str:
    """The page as text."""
    world = study.world
    title = f"{world.question.trace.name} on {world.federation.name or 'a federation'}"
    bounds = study.bounds
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="faint">{len(world.instance):,} jobs · {len(world.federation.sites)} sites · '
        f"{world.federation.cards:,} cards · load {world.load:.2f} · seed {world.question.seed}. "
        f"No schedule ends its jobs after less than {duration(bounds.mean_jct_seconds)} on "
        f"average, or all of them within {duration(bounds.makespan_seconds)}.</p>",
        "<h2>Policies</h2>",
        _table(*policies(study)),
        f'<p class="faint">{escape(" ".join(_NOTES.split()))}</p>',
        "<h2>Cards in use over time</h2>",
        _use(study),
        "<h2>Completion times</h2>",
        _completion(study),
        *_places(study),
        "<h2>What was read and made up</h2>",
        f"<ul>{''.join(f'<li>{escape(said)}</li>' for said in world.said)}</ul>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _use(study: Study) -> str:
    lines = [
        Line(result.name, *use_over_time(study.world.instance, result.outcome))
        for result in study.results
    ]
    return plot(lines, "days since the first submission", "share of all cards in use")


def _completion(study: Study) -> str:
    lines = [
        Line(result.name, *completion_share(study.world.instance, result.outcome))
        for result in study.results
    ]
    words = "completion time, from submission to end"
    return plot(lines, words, "share of jobs", logarithmic=True)


def _places(study: Study) -> list[str]:
    """Where the jobs went under the product, or under the last policy that was asked for."""
    if not study.results:
        return []
    named = {result.name: result for result in study.results}
    result = named.get(PRODUCT, study.results[-1])
    moved = result.accounts.bytes_by_link
    most = sorted(moved.items(), key=lambda item: (-item[1], item[0]))[:LINKS_MAX]
    return [
        f"<h2>Sites and links under {escape(result.name)}</h2>",
        _table(SITE_TITLES, sites(result)),
        _network(study, moved),
        _table(["LINK", "MOVED"], [[f"{a} – {b}", size(sent)] for (a, b), sent in most]),
    ]


def _network(study: Study, moved: Mapping[tuple[str, str], int]) -> str:
    """The schematic, with a line over each link as wide as much went over it."""
    federation = study.world.federation
    if not federation.network.nodes:
        return '<p class="faint">The federation names no network.</p>'
    most = max(moved.values(), default=1)
    flows = {ends: Flow(sent / most, size(sent)) for ends, sent in moved.items()}
    where = [(site.name, site.city) for site in federation.sites]
    named = NetworkFile(federation.network, name=federation.name)
    words = f"A red line is as wide as much was moved over the link; the widest: {size(most)}."
    drawn = svg(named, where, flows)
    return f'<p class="faint">{words}</p><div class="wide">{drawn}</div>' if moved else drawn
