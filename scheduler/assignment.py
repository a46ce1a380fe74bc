"""Which gangs get which pools at given prices: fill best fit, then small repairs.

Classes are served by their gain over the prices (v − λ n); a gang goes to the group of
its best gain that still has a pool for it, and there to the fullest pool that holds it.
Where a large gang is left over although pools hold small worth, the smaller ones make
room and are tried again. Cards are counted by pool; the shapes within a pool (nodes,
supernodes) are the business of `capacity`. Deterministic; every result keeps to the
counts and the cards, at whatever step it is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats, Ints
from scheduler.prices import Auction, Market

REPAIR_GROUPS = 2  # per class, in which room is looked for by eviction
REPAIRS_MAX = 10_000  # per assignment, one gang each
EVICTED_MAX = 8  # lots that make room for one gang


@dataclass(frozen=True, slots=True)
class Assignment:
    """Lots of gangs by class and pool, in the order of classes and pools."""

    class_of: Ints  # [lot]
    pool_of: Ints  # [lot]
    gangs: Ints  # [lot] ≥ 1
    value: float
    bound: float  # no assignment is worth more

    @property
    def ratio(self) -> float:
        """Value ÷ certified bound, at most 1; 1 where nothing can be worth anything."""
        return min(1.0, self.value / self.bound) if self.bound > 0 else 1.0

    @property
    def gap(self) -> float:
        """What is at most missing to the best assignment, of the bound."""
        return 1.0 - self.ratio


def market_of(values: Floats, cards: Ints, counts: Ints, group_of: Ints, free: Ints) -> Market:
    """The market of pools in groups: a gang never goes where no one pool holds it.

    `values` [class, group], `cards` [class, group or 1], `group_of` and `free` [pool].
    """
    groups = values.shape[1]
    widest = np.zeros(groups, np.int64)
    np.maximum.at(widest, group_of, free)
    able = np.broadcast_to(cards, values.shape) <= widest
    capacity = np.bincount(group_of, free, groups).astype(np.int64)
    return Market(np.where(able & (values > 0), values, -np.inf), cards, counts, capacity)


def assign(market: Market, auctioned: Auction, group_of: Ints, free: Ints) -> Assignment:
    """Fill the pools at the prices of `auctioned`; the better of two orders, then repairs.

    By gain per card no dear card is wasted; by gain per gang the large ones come first.
    """
    net = np.where(market.values > 0, market.values - market.cards * auctioned.prices, -np.inf)
    best = net.argmax(axis=1) if net.size else np.zeros(len(net), np.int64)
    gain = net[np.arange(len(best)), best] if net.size else np.zeros(len(net))
    per_card = gain / market.cards_in(best) if net.size else gain
    fills = []
    for order in (per_card, gain):
        fill = _Fill(market, net, group_of, free)
        for at in np.argsort(-order, kind="stable").tolist():
            fill.serve(at)
        fills.append(fill)
    chosen = max(fills, key=lambda fill: fill.value)
    chosen.repair([at for at in np.argsort(-per_card, kind="stable").tolist() if gain[at] >= 0])
    return chosen.result(auctioned.bound)


class _Fill:
    """Free cards by pool and the lots in them, while gangs are given places."""

    def __init__(self, market: Market, net: Floats, group_of: Ints, free: Ints) -> None:
        self._market, self._net = market, net
        groups = len(market.capacity)
        self._pools: list[list[int]] = [[] for _ in range(groups)]
        for pool, group in enumerate(group_of.tolist()):
            self._pools[group].append(pool)
        self._group_of: list[int] = group_of.tolist()
        self._free: list[int] = free.tolist()
        self._room = np.zeros(groups, np.int64)  # [group] of its widest pool
        np.maximum.at(self._room, group_of, free)
        self._left: list[int] = market.counts.tolist()
        self._lots: list[dict[int, int]] = [{} for _ in self._free]  # [pool]: class → gangs
        self._repairs = 0
        self.value = 0.0

    def serve(self, at: int) -> None:
        """Give the gangs of a class places, those of the best gain first."""
        row = self._net[at]
        while self._left[at]:
            able = (self._room >= self._market.cards[at]) & (row > -np.inf)
            if not able.any():
                return
            group = int(np.where(able, row, -np.inf).argmax())
            cards = self._cards(at, group)
            holding = [pool for pool in self._pools[group] if self._free[pool] >= cards]
            pool = min(holding, key=self._free.__getitem__)
            self._put(at, pool, min(self._left[at], self._free[pool] // cards))

    def _cards(self, at: int, group: int) -> int:
        cards = self._market.cards
        return int(cards[at, group if cards.shape[1] > 1 else 0])

    def _put(self, at: int, pool: int, gangs: int) -> None:
        """Give (or, below 0, take back) gangs of a class in a pool."""
        group = self._group_of[pool]
        self._free[pool] -= gangs * self._cards(at, group)
        self._left[at] -= gangs
        self.value += gangs * float(self._market.values[at, group])
        lots = self._lots[pool]
        lots[at] = lots.get(at, 0) + gangs
        if not lots[at]:
            del lots[at]
        self._room[group] = max(self._free[other] for other in self._pools[group])

    def repair(self, order: list[int]) -> None:
        """Let classes that these prices do not deter and that are left over push out less worth."""
        for at in order:
            tried = np.argsort(-self._net[at], kind="stable")[:REPAIR_GROUPS]
            for group in tried[self._net[at, tried] >= 0].tolist():
                while self._repairs < REPAIRS_MAX and self._left[at] and self._push_in(at, group):
                    self._repairs += 1

    def _push_in(self, at: int, group: int) -> bool:
        """One gang instead of others of less worth together, which are served again."""
        cards, worth = self._cards(at, group), float(self._market.values[at, group])
        best, out = worth, (-1, [(0, 0)])
        for pool in self._pools[group]:
            found = self._evictable(pool, group, cards - self._free[pool], best)
            if found is not None:
                best, out = found[0], (pool, found[1])
        if out[0] < 0:
            return False
        for other, gangs in out[1]:
            self._put(other, out[0], -gangs)
        self._put(at, out[0], 1)
        for other, _ in out[1]:
            self.serve(other)
        return True

    def _evictable(
        self, pool: int, group: int, cards: int, worth: float
    ) -> tuple[float, list[tuple[int, int]]] | None:
        """(worth lost, [(class, gangs)]) to free `cards` for less than `worth`, dearest last."""
        values = self._market.values
        priced = sorted(
            (float(values[at, group]) / self._cards(at, group), at) for at in self._lots[pool]
        )
        lost, out = 0.0, []
        for _, at in priced[:EVICTED_MAX]:
            if cards <= 0 or lost >= worth:
                break
            each = self._cards(at, group)
            gangs = min(self._lots[pool][at], -(-cards // each))
            lost += gangs * float(values[at, group])
            out.append((at, gangs))
            cards -= gangs * each
        return (lost, out) if cards <= 0 and lost < worth else None

    def result(self, bound: float) -> Assignment:
        lots = [
            (at, pool, gangs) for pool, held in enumerate(self._lots) for at, gangs in held.items()
        ]
        columns = np.array(sorted(lots), np.int64).reshape(len(lots), 3).T
        return Assignment(columns[0], columns[1], columns[2], self.value, bound)
