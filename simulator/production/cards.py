"""The nodes of one virtual pool: which cards are free, as its site reports them.

Nodes are taken best fit, in the order of `Supernode.take`, and given back one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from scheduler.model import Pool, Slice, Supernode

Held = tuple[tuple[str, tuple[int, ...], int], ...]  # (supernode, nodes, cards on each)


class _Domain:
    """One supernode: its nodes by how many cards are free."""

    __slots__ = ("_by_free", "_free")

    def __init__(self, supernode: Supernode) -> None:
        counts = supernode.nodes_by_free
        self._free = [free for free, nodes in enumerate(counts) for _ in range(nodes)]
        self._by_free: list[dict[int, None]] = [{} for _ in counts]
        for node, free in enumerate(self._free):
            self._by_free[free][node] = None

    def take(self, nodes: int, cards: int) -> tuple[int, ...]:
        taken: list[int] = []
        for free in range(cards, len(self._by_free)):
            level = self._by_free[free]
            while level and len(taken) < nodes:
                taken.append(level.popitem()[0])
        for node in taken:
            self._put(node, self._free[node] - cards)
        return tuple(taken)

    def give(self, nodes: Iterable[int], cards: int) -> None:
        for node in nodes:
            del self._by_free[self._free[node]][node]
            self._put(node, self._free[node] + cards)

    def _put(self, node: int, free: int) -> None:
        self._free[node] = free
        self._by_free[free][node] = None

    def counts(self) -> tuple[int, ...]:
        return tuple(map(len, self._by_free))


class PoolCards:
    """The free and the held cards of one pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._domains = {each.name: _Domain(each) for each in pool.supernodes}
        self._shown = {each.name: each for each in pool.supernodes}
        self._changed: set[str] = set()

    def take(self, slices: tuple[Slice, ...]) -> Held | None:
        """Hold the nodes of a gang; None, and nothing held, when they are not free."""
        held: list[tuple[str, tuple[int, ...], int]] = []
        for part in slices:
            nodes = self._domains[part.supernode].take(part.nodes, part.cards)
            held.append((part.supernode, nodes, part.cards))
            self._changed.add(part.supernode)
            if len(nodes) < part.nodes:
                self.give(tuple(held))
                return None
        return tuple(held)

    def give(self, held: Held) -> None:
        """The cards of a gang are free again."""
        for name, nodes, cards in held:
            self._domains[name].give(nodes, cards)
            self._changed.add(name)

    def report(self) -> Pool:
        """The pool as it is now."""
        for name in self._changed:
            self._shown[name] = Supernode(name, self._domains[name].counts())
        self._changed.clear()
        return replace(self._pool, supernodes=tuple(self._shown.values()))
