"""What this site can place now: declared cards, less the faulty, the kept back and the taken.

A pool may have a limit, by the site's policy: then what is taken and what is free stay within
it together, and the cards beyond it are reserved for the site's own people. What is taken
when the limit falls stays taken, and is reserved once it is released.

A node has cards, a card has devices (dies); the free ones are counted per supernode as a
histogram, since sixteen cards on one node and two on each of eight are different offers.
Pure: no clock, no I/O. The same calls give the same inventory.

`Inventory` changes by `occupy`, `release` and `limit` alone. New readings of the cards make a new
one, which the caller fills again with what he holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.backends import NodeShare
from agent.inventory_stock import DeclaredNode as DeclaredNode
from agent.inventory_stock import NodeStock, SupernodeStock
from agent.policy import EVERYTHING, PoolPolicy
from agent.probes.reading import ExporterProbe
from scheduler.model import Pool, Release, Slice


class Refusal(StrEnum):
    """Why a place cannot be given."""

    UNKNOWN_POOL = "UnknownPool"
    UNKNOWN_SUPERNODE = "UnknownSupernode"
    BAD_SHAPE = "BadShape"  # no node could ever hold it
    CAPACITY_GONE = "CapacityGone"  # it was free when it was advertised


@dataclass(frozen=True, slots=True)
class DeclaredPool:
    """A pool as the site's operator declares it."""

    name: str
    accelerator: str  # canonical model
    kind: str  # "npu" | "dcu" | "gpu"
    nodes: tuple[DeclaredNode, ...]
    cards_per_node: int
    dies_per_card: int = 1
    cpus_per_node: int = 0
    memory_gib_per_node: float = 0.0
    yuan_per_card_hour: float = 0.0
    utilisation: float = 0.4
    linearity: tuple[tuple[int, float], ...] = ()
    software: tuple[str, ...] = ()
    time_limit_seconds_max: float = 0.0  # 0: none but the site's
    policy: PoolPolicy = EVERYTHING
    probe: ExporterProbe | None = None  # on its nodes

    @property
    def cards(self) -> int:
        return len(self.nodes) * self.cards_per_node


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """What was read of a node's cards, by card number. What is not named is in order."""

    pool: str
    node: str
    faulty: frozenset[int] = frozenset()
    kept_back: frozenset[int] = frozenset()  # in use by the site's own people
    cards_seen: bool = True  # somebody looks at their health; else no failure would be noticed


@dataclass(frozen=True, slots=True)
class Limit:
    """How many cards of a pool runs of ours may hold."""

    cards: int
    opens_at: float = 0.0  # wall seconds, when it will be more; 0: nobody knows


@dataclass(frozen=True, slots=True)
class PoolChanges:
    """The difference of two reports of capacity."""

    pools: tuple[Pool, ...]  # new or changed, whole
    removed: tuple[str, ...]  # names

    def __bool__(self) -> bool:
        return bool(self.pools or self.removed)


def changes(before: Iterable[Pool], after: Iterable[Pool]) -> PoolChanges:
    """What must be sent for who knows `before` to know `after`."""
    known = {pool.name: pool for pool in before}
    now = {pool.name: pool for pool in after}
    return PoolChanges(
        tuple(pool for name, pool in now.items() if known.get(name) != pool),
        tuple(name for name in known if name not in now),
    )


class Inventory:
    """The cards of one site and who holds them."""

    def __init__(
        self,
        site: str,
        pools: Iterable[DeclaredPool],
        conditions: Iterable[NodeCondition] = (),
        releases: Mapping[str, tuple[Release, ...]] | None = None,
    ) -> None:
        """`releases`: by pool, when the site's own jobs give cards back."""
        found = {(condition.pool, condition.node): condition for condition in conditions}
        expected = releases or {}
        self._pools = {
            pool.name: _PoolStock(site, pool, found, expected.get(pool.name, ())) for pool in pools
        }

    def pools(self) -> tuple[Pool, ...]:
        """Placeable capacity now."""
        return tuple(stock.advertised() for stock in self._pools.values())

    def declared_pools(self) -> tuple[DeclaredPool, ...]:
        return tuple(stock.declared for stock in self._pools.values())

    def limit(self, pool: str, limit: Limit | None) -> bool:
        """Whether it is another limit than before; None: there is none."""
        stock = self._pools.get(pool)
        return stock is not None and stock.limit(limit)

    def offered(self, pool: str) -> int:
        """The cards of a pool that are taken or free."""
        stock = self._pools.get(pool)
        return stock.taken + stock.free if stock is not None else 0

    def taken(self, pool: str) -> int:
        """The cards of a pool that are taken."""
        stock = self._pools.get(pool)
        return stock.taken if stock is not None else 0

    def declared(self, pool: str) -> DeclaredPool | None:
        stock = self._pools.get(pool)
        return stock.declared if stock is not None else None

    def allocate(self, pool: str, slices: Sequence[Slice]) -> tuple[NodeShare, ...] | Refusal:
        """Concrete nodes and devices for a gang, whole or not at all; occupies nothing.

        Fullest nodes first, as `scheduler.model.Supernode.take` does, so that what the
        broker believes to be free afterwards is free.
        """
        stock = self._pools.get(pool)
        return stock.allocate(slices) if stock is not None else Refusal.UNKNOWN_POOL

    def occupy(self, pool: str, nodes: Iterable[NodeShare]) -> None:
        """Take these devices. Unknown pools and nodes are passed over: the site has changed."""
        stock = self._pools.get(pool)
        if stock is not None:
            stock.change(nodes, taken=True)

    def release(self, pool: str, nodes: Iterable[NodeShare]) -> None:
        """Give these devices back; the faulty among them stay out of the offer."""
        stock = self._pools.get(pool)
        if stock is not None:
            stock.change(nodes, taken=False)

    def occupied(self, pool: str, node: str) -> frozenset[int]:
        """The cards of a node that are taken."""
        stock = self._pools.get(pool)
        return stock.occupied(node) if stock is not None else frozenset()


class _PoolStock:
    """One pool: its nodes by name and its supernodes."""

    def __init__(
        self,
        site: str,
        declared: DeclaredPool,
        found: Mapping[tuple[str, str], NodeCondition],
        releases: tuple[Release, ...],
    ) -> None:
        self.declared = declared
        self._releases = releases
        self._site = site
        self._withheld = 0
        self.taken = self.free = self._reserved = 0  # cards
        self._limit: Limit | None = None
        self._nodes: dict[str, NodeStock] = {}
        self._supernodes: dict[str, SupernodeStock] = {}
        self._advertised: Pool | None = None
        for node in declared.nodes:
            condition = found.get((declared.name, node.name))
            withheld = condition.faulty | condition.kept_back if condition else frozenset()
            withheld = frozenset(card for card in withheld if card < declared.cards_per_node)
            self._withheld += len(withheld)
            stock = self._supernodes.setdefault(
                node.supernode, SupernodeStock(node.supernode, declared.cards_per_node)
            )
            self._nodes[node.name] = NodeStock(node, withheld)
            self.free += stock.put(self._nodes[node.name])

    def advertised(self) -> Pool:
        if self._advertised is None:
            declared = self.declared
            self._advertised = Pool(
                site=self._site,
                name=declared.name,
                accelerator=declared.accelerator,
                cards_per_node=declared.cards_per_node,
                cards_total=declared.cards,
                cards_usable=declared.cards - self._withheld - self._reserved,
                supernodes=tuple(stock.advertised() for stock in self._supernodes.values()),
                cpus_per_node=declared.cpus_per_node,
                memory_gib_per_node=declared.memory_gib_per_node,
                yuan_per_card_hour=declared.yuan_per_card_hour,
                utilisation=declared.utilisation,
                linearity=declared.linearity,
                software=declared.software,
                time_limit_seconds_max=declared.time_limit_seconds_max,
                releases=self._expected(),
            )
        return self._advertised

    def _expected(self) -> tuple[Release, ...]:
        """Under a limit what the site's own jobs give back is the site's; what opens is ours."""
        limit = self._limit
        if limit is None or limit.cards >= self.declared.cards:
            return self._releases
        opens = limit.opens_at > 0 and self._reserved > 0
        return (Release(self._reserved, limit.opens_at),) if opens else ()

    def limit(self, limit: Limit | None) -> bool:
        if limit == self._limit:
            return False
        self._limit = limit
        for node in [node for node in self._nodes.values() if node.reserved]:
            self._reserve(node, ())
        self._trim(self._nodes.values())
        self._advertised = None
        return True

    def _trim(self, nodes: Iterable[NodeStock]) -> None:
        """Reserve free cards of these nodes, the last first, until the rest is within the limit."""
        if self._limit is None:
            return
        excess = min(self.free, self.free + self.taken - self._limit.cards)
        if excess <= 0:
            return
        for node in reversed(list(nodes)):
            more = node.free(self.declared.cards_per_node)[-excess:]
            if more:
                self._reserve(node, node.reserved.union(more))
                excess -= len(more)
            if excess <= 0:
                return

    def _reserve(self, node: NodeStock, cards: Iterable[int]) -> None:
        """These cards of the node, and no others."""
        stock = self._supernodes[node.declared.supernode]
        self.free -= stock.take_out(node)
        self._reserved -= len(node.reserved)
        node.reserved = set(cards)
        self._reserved += len(node.reserved)
        self.free += stock.put(node)

    def allocate(self, slices: Sequence[Slice]) -> tuple[NodeShare, ...] | Refusal:
        chosen: dict[str, NodeShare] = {}
        for wish in slices:
            if not 1 <= wish.cards <= self.declared.cards_per_node or wish.nodes < 1:
                return Refusal.BAD_SHAPE
            stock = self._supernodes.get(wish.supernode)
            if stock is None:
                return Refusal.UNKNOWN_SUPERNODE
            picked = stock.pick(wish.nodes, wish.cards, set(chosen))
            if len(picked) < wish.nodes:
                return Refusal.CAPACITY_GONE
            chosen.update((node.declared.name, self._share(node, wish.cards)) for node in picked)
        return tuple(chosen.values()) if chosen else Refusal.BAD_SHAPE

    def change(self, nodes: Iterable[NodeShare], taken: bool) -> None:
        changed = []
        for share in nodes:
            node = self._nodes.get(share.name)
            if node is None:
                continue
            stock = self._supernodes[node.declared.supernode]
            self.free -= stock.take_out(node)
            self.taken -= len(node.taken)
            cards = {device // self.declared.dies_per_card for device in share.devices}
            if taken:
                node.taken |= cards
                self._reserved -= len(node.reserved & cards)
                node.reserved -= cards
            else:
                node.taken -= cards
            self.taken += len(node.taken)
            self.free += stock.put(node)
            changed.append(node)
        self._trim(changed)  # of what was released
        self._trim(self._nodes.values())  # when what was taken is more than the limit
        self._advertised = None

    def occupied(self, node: str) -> frozenset[int]:
        return frozenset(self._nodes[node].taken) if node in self._nodes else frozenset()

    def _share(self, node: NodeStock, cards: int) -> NodeShare:
        dies = self.declared.dies_per_card
        chosen = node.free(self.declared.cards_per_node)[:cards]
        devices = tuple(card * dies + die for card in chosen for die in range(dies))
        return NodeShare(node.declared.name, node.declared.address, devices)
