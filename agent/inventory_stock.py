"""The cards of nodes, and the nodes of a supernode by how many of them are free. Pure.

The parts of which `agent.inventory` is made; they know no pool and no limit.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.model import Supernode


@dataclass(frozen=True, slots=True)
class DeclaredNode:
    """A node as the site's operator, or its cluster manager, declares it."""

    name: str
    address: str
    supernode: str


class NodeStock:
    """One node's cards. `free` = neither taken, reserved, faulty nor kept back."""

    __slots__ = ("declared", "reserved", "taken", "withheld")

    def __init__(self, declared: DeclaredNode, withheld: frozenset[int]) -> None:
        self.declared = declared
        self.taken: set[int] = set()
        self.reserved: set[int] = set()  # beyond the pool's limit
        self.withheld = withheld

    def free(self, cards_per_node: int) -> list[int]:
        gone = self.taken | self.reserved | self.withheld
        return [card for card in range(cards_per_node) if card not in gone]


class SupernodeStock:
    """The nodes of one supernode, ordered by how many of their cards are free."""

    def __init__(self, name: str, cards_per_node: int) -> None:
        self.name = name
        self._cards_per_node = cards_per_node
        self._buckets: list[dict[str, NodeStock]] = [{} for _ in range(cards_per_node + 1)]
        self._advertised: Supernode | None = None

    def put(self, node: NodeStock) -> int:
        """Also says how many cards of it are free."""
        free = len(node.free(self._cards_per_node))
        self._buckets[free][node.declared.name] = node
        self._advertised = None
        return free

    def take_out(self, node: NodeStock) -> int:
        """Also says how many cards of it are free."""
        free = len(node.free(self._cards_per_node))
        del self._buckets[free][node.declared.name]
        return free

    def advertised(self) -> Supernode:
        if self._advertised is None:
            self._advertised = Supernode(self.name, tuple(len(bucket) for bucket in self._buckets))
        return self._advertised

    def pick(self, count: int, cards: int, passed_over: set[str]) -> list[NodeStock]:
        """Up to `count` nodes with `cards` free, fullest first."""
        picked: list[NodeStock] = []
        for bucket in self._buckets[cards:]:
            for node in bucket.values():
                if len(picked) == count:
                    return picked
                if node.declared.name not in passed_over:
                    picked.append(node)
        return picked
