"""A price per card for each group of pools, and what it proves about a round.

Gangs of class j (count_j of them) are worth v_jg each in group g and take n_jg cards
there; group g has C_g cards. For any prices λ ≥ 0 and any assignment x that keeps to
the counts and the cards,

    Σ v x = Σ (v − λ n) x + Σ λ n x ≤ Σ_j count_j max(0, max_g v_jg − λ_g n_jg) + Σ_g λ_g C_g,

since each gang goes to one group at most, for no more than its best v − λ n, or
nowhere, for 0; and since no group gives more cards than it has, Σ_j n_jg x_jg ≤ C_g
with λ_g ≥ 0. So every λ certifies a bound without a solver; the least is the value of
the linear relaxation (Lagrangian duality; Held, Wolfe & Crowder 1974). It is sought by
subgradient steps with Polyak's length (1969), which may stop anywhere: the best prices
so far are kept. Knows numbers, not jobs or pools.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats, Ints

PASSES_COLD, PASSES_WARM = 150, 24  # over classes × groups, each a few ns per pair
MOMENTUM = 0.7
REACH_COLD, REACH_WARM = 0.01, 0.002  # how far below the best bound a step aims, of it
REACH_SHRINKS = 0.6  # when nothing was gained for
PATIENCE = 8  # passes
GAIN_MIN = 1e-4  # of the bound: less is no gain


@dataclass(frozen=True, slots=True)
class Market:
    """What wants cards and what has them."""

    values: Floats  # [class, group] worth of one gang, any one unit; ≤ 0 or -inf: not there
    cards: Ints  # [class, group], or [class, 1] when alike in all groups; of one gang, ≥ 1
    counts: Ints  # [class] gangs
    capacity: Ints  # [group] cards

    def __post_init__(self) -> None:
        classes, groups = self.values.shape
        if self.cards.shape not in ((classes, groups), (classes, 1)):
            raise ValueError("cards must be [class, group] or [class, 1]")
        if self.counts.shape != (classes,) or self.capacity.shape != (groups,):
            raise ValueError("counts must be [class] and capacity [group]")
        if classes and groups and self.cards.min() < 1:
            raise ValueError("a gang has at least one card")
        if np.isnan(self.values).any() or np.isposinf(self.values).any():
            raise ValueError("worth must be a number or -inf")

    def cards_in(self, groups: Ints) -> Ints:
        """[class]: cards of one gang, each class in its own group of `groups`."""
        if self.cards.shape[1] == 1:
            return np.asarray(self.cards[:, 0])
        return np.asarray(self.cards[np.arange(len(groups)), groups])


@dataclass(frozen=True, slots=True)
class Auction:
    """Prices and the bound that they certify."""

    prices: Floats  # [group], of one card, in the unit of the worth
    bound: float  # no assignment is worth more


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices by the names of their groups: what a round hands on to the next."""

    groups: tuple[str, ...] = ()
    prices: tuple[float, ...] = ()

    def for_groups(self, groups: tuple[str, ...]) -> Floats | None:
        """[group]: what was kept, a new group at the median; None: nothing was kept."""
        if not self.groups:
            return None
        known = dict(zip(self.groups, self.prices, strict=True))
        usual = float(np.median(self.prices))
        return np.array([known.get(group, usual) for group in groups], np.float64)


def certify(market: Market, prices: Floats) -> float:
    """The bound that `prices` prove. Raises ValueError unless they are finite and ≥ 0."""
    if not np.isfinite(prices).all() or (prices < 0).any():
        raise ValueError("prices must be finite and not negative")
    return _Passes(market).run(prices)[0]


def uniform_prices(market: Market) -> Floats:
    """One price for all cards, at which about as many are asked for as there are."""
    classes, groups = market.values.shape
    if not classes or not groups:
        return np.zeros(groups)
    density = market.values / market.cards
    best = density.argmax(axis=1)
    worth = np.maximum(0.0, density[np.arange(classes), best])
    order = np.argsort(-worth, kind="stable")
    asked = np.cumsum((market.counts * market.cards_in(best))[order])
    at = int(np.searchsorted(asked, market.capacity.sum(), side="right"))
    return np.full(groups, worth[order[at]] if at < classes else 0.0)


def auction(market: Market, warm: Floats | None = None, passes: int | None = None) -> Auction:
    """Prices with a small bound, from `warm` ones where they are kept; deterministic.

    `passes` bounds the work: each is one look at every class in every group. A kept
    price that is worse than one price for all is dropped.
    """
    look, prices = _Passes(market), uniform_prices(market)
    usual, reach = PASSES_COLD, REACH_COLD
    if warm is not None and look.run(warm)[0] <= look.run(prices)[0]:
        prices, usual, reach = warm, PASSES_WARM, REACH_WARM
    return _descend(market, look, prices, usual if passes is None else passes, reach)


def _descend(market: Market, look: _Passes, prices: Floats, passes: int, reach: float) -> Auction:
    """Polyak steps with momentum, each group scaled by its cards."""
    capacity = market.capacity.astype(np.float64)
    scale = np.divide(1.0, capacity, out=np.zeros_like(capacity), where=capacity > 0)
    best, best_bound, steady_bound, idle = prices, np.inf, np.inf, 0
    direction = np.zeros_like(prices)
    for _ in range(max(1, passes)):
        bound, asked = look.run(prices)
        idle += 1
        if bound < best_bound:
            best, best_bound = prices, bound
            if bound < steady_bound * (1.0 - GAIN_MIN):
                steady_bound, idle = bound, 0
        if idle > PATIENCE:
            prices, direction, idle = best, np.zeros_like(prices), 0
            reach *= REACH_SHRINKS
            continue
        excess = asked - capacity
        excess[(prices <= 0) & (excess < 0)] = 0.0
        direction = MOMENTUM * direction + excess
        length = float((direction * direction * scale).sum())
        if length <= 0.0:
            break  # nobody asks for more than there is, nor for less at a price: it is tight
        step = (bound - best_bound + reach * best_bound) / length
        prices = np.maximum(0.0, prices + step * direction * scale)
    return Auction(best, best_bound)


class _Passes:
    """One look at every class in every group, with the memory that all looks share."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._net = np.empty(market.values.shape)
        self._rows = np.arange(len(market.counts))
        self.groups: Ints = np.zeros(len(market.counts), np.int64)  # [class] chosen
        self.buys = np.zeros(len(market.counts), np.bool_)  # [class] at all

    def run(self, prices: Floats) -> tuple[float, Floats]:
        """(the bound, [group] cards asked for) at `prices`."""
        market, net = self._market, self._net
        if not net.size:
            return float(prices @ market.capacity), np.zeros(len(prices))
        np.multiply(market.cards, prices, out=net)
        np.subtract(market.values, net, out=net)
        self.groups = net.argmax(axis=1)
        gain = net[self._rows, self.groups]
        self.buys = gain > 0
        asked = np.bincount(
            self.groups[self.buys],
            (market.counts * market.cards_in(self.groups))[self.buys],
            minlength=len(prices),
        )
        gained = float(market.counts[self.buys] @ gain[self.buys])
        return gained + float(prices @ market.capacity), np.asarray(asked, np.float64)
