"""Whether the exporters that a site's pools name can be used, and what they say; for preflight."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from agent.cards.health import Reading
from agent.checks.check import Check, Status
from agent.inventory import DeclaredPool
from agent.probes.assess import assess
from agent.probes.exporters import EXPORTERS
from agent.probes.reading import Readings
from agent.probes.scrape import Scraper
from agent.probes.tools import ProbeFailed

NODES_NAMED_MAX = 3  # in one line
UNKNOWN_NAMED_MAX = 5


async def exporter_checks(
    pools: Iterable[DeclaredPool], reading: Reading | None = None
) -> list[Check]:
    """One for each pool that names an exporter: all of its nodes are asked, once."""
    asked = reading or Scraper()
    return [await _check(pool, asked) for pool in pools if pool.probe is not None]


async def _check(pool: DeclaredPool, reading: Reading) -> Check:
    assert pool.probe is not None
    name, exporter = f"exporter {pool.name}", EXPORTERS[pool.probe.exporter]
    if pool.kind not in exporter.kinds:
        hint = f"drop the probe of pool {pool.name}, or name another exporter"
        return Check(name, Status.FAIL, f"{exporter.name} does not read a {pool.kind}", hint)
    answers = await asyncio.gather(
        *(reading.read(pool.probe, node.name, node.address) for node in pool.nodes),
        return_exceptions=True,
    )
    found = dict(zip((node.name for node in pool.nodes), answers, strict=True))
    spoke = {node: said for node, said in found.items() if isinstance(said, Readings)}
    failed = {node: said for node, said in found.items() if isinstance(said, ProbeFailed)}
    message = f"{exporter.name} answers on {len(spoke)} of {len(found)} nodes"
    if failed:
        said = [f"{node}: {why}" for node, why in list(failed.items())[:NODES_NAMED_MAX]]
        if len(failed) > NODES_NAMED_MAX:
            said.append(f"and {len(failed) - NODES_NAMED_MAX} more")
        hint = next(iter(failed.values())).hint
        status = Status.WARN if spoke else Status.FAIL
        return Check(name, status, f"{message}; {'; '.join(said)}", hint)
    message += f"; {_said(spoke, exporter.busy)}"
    if sick := _sick(pool, spoke):
        return Check(name, Status.WARN, f"{message}; {sick}", "faulty cards are not offered")
    return Check(name, Status.OK, message)


def _said(spoke: dict[str, Readings], busy: str) -> str:
    """What they say together, but for faults. Utilisations stay this exporter's own."""
    cards = [card for said in spoke.values() for card in said.cards]
    counts = Counter(card.healthy for card in cards)
    called = "/".join(dict.fromkeys(card.raw_name or "(no name)" for card in cards))
    parts = [f"{len(cards)} devices ({called}), {counts[True]} healthy, {counts[False]} not"]
    if counts[None]:
        parts.append(f"of {counts[None]} nobody knows")
    told = (card.utilisation_percent for card in cards)
    if loads := [load for load in told if load is not None]:
        parts.append(f"{busy} {min(loads):.0f} to {max(loads):.0f} %")
    unknown = list(dict.fromkeys(name for said in spoke.values() for name in said.unknown))
    if unknown:
        more = len(unknown) - UNKNOWN_NAMED_MAX
        named = ", ".join(unknown[:UNKNOWN_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
        parts.append(f"not used: {named}")
    return ", ".join(parts)


def _sick(pool: DeclaredPool, spoke: dict[str, Readings]) -> str:
    """The faulty cards and why, by node; "" for none."""
    lines = []
    for node, said in spoke.items():
        bad = [card for card in said.cards if card.healthy is False]
        why = {card.index // pool.dies_per_card: card.health for card in bad}
        for card in sorted(assess(pool, node, said).faulty):
            lines.append(f"{node} card {card} ({why.get(card, 'not told of')})")
    more = len(lines) - NODES_NAMED_MAX
    return ", ".join(lines[:NODES_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
