"""The what-ifs that change a federation before it is studied.

    --cut-link A-B@T[..T]   --fail-site SITE@T..T   --price POOL|SITE|MODEL=YUAN

T is a time after the first submission: 36h, 1d12h, 90m, or seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from simulator.federation import Cut, Federation, Outage
from simulator.study.question import Question
from suan.errors import InvalidRequest
from suan.jobspec.limits import Fault
from suan.jobspec.units import duration_seconds
from suan.network.graph import ends
from suan.network.reading import nearest

YUAN_MAX = 1e6  # per card-hour


def altered(federation: Federation, question: Question) -> Federation:
    """The federation with the what-ifs of the question. Raises InvalidRequest."""
    for text in question.prices:
        federation = _priced(federation, text)
    return replace(
        federation,
        cuts=(*federation.cuts, *(_cut(federation, text) for text in question.cut_links)),
        outages=(*federation.outages, *(_outage(federation, each) for each in question.fail_sites)),
    )


def _cut(federation: Federation, text: str) -> Cut:
    """A link that is cut; names of nodes may hold hyphens too."""
    option = f"--cut-link {text}"
    name, begin, end = _timed(option, text, "A-B@36h, or A-B@36h..40h")
    links = {ends(link) for link in federation.network.links}
    parts = name.split("-")
    for at in range(1, len(parts)):
        a, b = "-".join(parts[:at]), "-".join(parts[at:])
        if tuple(sorted((a, b))) in links:
            return Cut(a, b, begin, end)
    hint = nearest(name, ("-".join(pair) for pair in links)) or "see `suan network show`"
    raise InvalidRequest(f"{option}: the network has no such link", hint, code="UnknownLink")


def _outage(federation: Federation, text: str) -> Outage:
    option = f"--fail-site {text}"
    name, begin, end = _timed(option, text, "SITE@36h..40h")
    _known(option, "site", name, [site.name for site in federation.sites])
    return Outage(name, begin, end)


def _timed(option: str, text: str, example: str) -> tuple[str, float, float]:
    """NAME@T or NAME@T..T; without an end it lasts for ever."""
    name, at, times = text.rpartition("@")
    first, dots, last = times.partition("..")
    if not (name and at):
        raise _malformed(option, "names no time", example)
    try:
        begin = duration_seconds(first)
        end = duration_seconds(last) if dots else math.inf
    except Fault as fault:
        raise _malformed(option, str(fault), example) from None
    if end <= begin:
        raise _malformed(option, "ends before it begins", example)
    return name, begin, end


def _malformed(option: str, why: str, example: str) -> InvalidRequest:
    return InvalidRequest(f"{option}: {why}", f"write {example}", code="BadWhatIf")


def _priced(federation: Federation, text: str) -> Federation:
    """Another price for one pool, all pools of a site, or all of a model."""
    option, example = f"--price {text}", "--price zhengzhou/dcu=2.80"
    name, equals, number = text.partition("=")
    try:
        yuan = float(number)
    except ValueError:
        yuan = math.nan
    if not equals or not 0 <= yuan <= YUAN_MAX:
        why = f"must end in =YUAN, a number from 0 to {YUAN_MAX:,.0f} per card-hour"
        raise _malformed(option, why, example)
    pools = federation.pools
    names = [name for pool in pools for name in (pool.key, pool.site, pool.accelerator)]
    _known(option, "pool, site or model", name, names)
    return replace(
        federation,
        pools=tuple(
            replace(pool, yuan_per_card_hour=yuan)
            if name in (pool.key, pool.site, pool.accelerator)
            else pool
            for pool in pools
        ),
    )


def _known(option: str, what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise unknown(f"{option}: the federation has no {what} {name!r}", name, names)


def unknown(message: str, name: str, names: Iterable[str]) -> InvalidRequest:
    """A name that nothing has, with the nearest that something has."""
    known = list(dict.fromkeys(names))
    hint = nearest(name, known) or f"there are: {', '.join(known[:20])}"
    return InvalidRequest(message, hint, code="UnknownName")
