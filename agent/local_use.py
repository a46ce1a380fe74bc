"""What the site's own people leave of a pool for the federation: shares, and cards kept back. Pure.

A cluster manager often counts cards and does not number them; so the cards kept back are the
highest that no run of ours holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from agent.inventory import DeclaredPool, NodeCondition

Held = Callable[[str, str], Collection[int]]  # of pool and node: the cards that our runs hold


def highest(good: frozenset[int], held: frozenset[int], count: int) -> frozenset[int]:
    """`count` of the `good` cards that are not `held`, or as many as there are: the highest."""
    return frozenset(sorted(good - held, reverse=True)[: max(0, count)])


def within_share(
    pool: DeclaredPool, share: float, found: Sequence[NodeCondition], held: Held
) -> Sequence[NodeCondition]:
    """What runs hold and what is free stay within the share: the last nodes' cards are kept."""
    if share >= 1:
        return found
    cards = frozenset(range(pool.cards_per_node))
    ours = {c.node: frozenset(held(c.pool, c.node)) for c in found}
    free = {c.node: cards - c.faulty - c.kept_back - ours[c.node] for c in found}
    allowed = int(pool.cards * share) - sum(map(len, ours.values()))
    excess = sum(map(len, free.values())) - max(0, allowed)
    kept = []
    for condition in reversed(found):
        more = highest(free[condition.node], frozenset(), excess)
        excess -= len(more)
        kept.append(replace(condition, kept_back=condition.kept_back | more))
    return kept[::-1]
