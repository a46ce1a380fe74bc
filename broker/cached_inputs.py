"""Which inputs of a job the caches of its candidates hold, for people: `suan explain` says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from broker.core.transaction import Memory
from scheduler.model import Explanation


def with_cached(memory: Memory, explanation: Explanation, inputs: Iterable[str]) -> Explanation:
    """The explanation with what each candidate's site has in its cache now."""
    rows = {name: memory.state.datasets.get(name) for name in inputs}
    holders = {
        name: frozenset(memory.ahead.sites_with(row))
        for name, row in rows.items()
        if row is not None
    }
    if not any(holders.values()):
        return explanation

    def cached(pool: str) -> tuple[str, ...]:
        site = pool.partition("/")[0]
        return tuple(name for name, sites in holders.items() if site in sites)

    candidates = (replace(each, cached=cached(each.pool)) for each in explanation.candidates)
    return replace(explanation, candidates=tuple(candidates))
