"""The time-indexed Lagrangian lower bound on mean completion time.

Time is cut into buckets; kind k has a price pi_k(t) >= 0 per card-second, constant within a
bucket and 0 after the last. A schedule starts job j on some kind k at s_j >= submit_j + stage_jk
and holds n_j cards until s_j + t_jk; at no moment are more than C_k cards of kind k held.
So sum_j n_j int_{s_j}^{s_j + t_jk} pi_k <= sum_k C_k int pi_k, and

  sum_j JCT_j = sum_j (s_j + t_jk - submit_j)
             >= sum_j [s_j + t_jk - submit_j + n_j int_{s_j}^{s_j + t_jk} pi_k] - sum_k C_k int pi_k
             >= sum_j min_{k, s >= submit_j + stage_jk} [...] - sum_k C_k int pi_k =: L(pi)

for *every* pi >= 0: the bound is rigorous whatever the prices and however they were found. In
s the bracket is piecewise linear with corners where s or s + t is an edge of a bucket, and it
grows with slope 1 at last: the least is at the earliest start or at a corner, and is found
exactly. Within the integral, widths and lengths are rounded down (never t itself), which only
lowers the bound, because pi >= 0; so jobs of like width and length share a table of corners.
L is concave; prices climb it by subgradient steps (demand less capacity, per bucket), of
Polyak's length towards an estimate of the maximum that is adapted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simulator.bounds.demand import Demand
from simulator.replay.instance import Floats, Ints

BUCKETS = 1024  # of the horizon
BUCKET_SECONDS_MIN = 900.0
LEVELS = 5  # prices climb on wide buckets first, halved from level to level
STEPS = 40  # of ascent per level
HOPE = 0.3  # how far above the best value the maximum may be, at first
HOPE_REFINED = 0.05  # and when buckets have been halved
COARSE = 1.10  # widths and lengths are rounded down to powers of this while prices climb
FINE = 1.01  # and for the final value
CLASSES_MAX = 6_000  # of (width, length) per kind; rounding is coarser where there are more


@dataclass(frozen=True, slots=True)
class Indexed:
    """The bound and the prices that prove it."""

    mean_jct_seconds: float
    prices: Floats  # [kind, bucket], seconds of completion time per card-second
    bucket_seconds: float


class Answer(NamedTuple):
    value: float  # L, of the sum
    asked: Floats  # [kind, bucket]: card-seconds that the best starts would use


def indexed_bound(
    demand: Demand, bucket_seconds: float = 0.0, steps: int = STEPS, horizon_seconds: float = 0.0
) -> Indexed:
    """The bound; without `bucket_seconds`, the horizon over `BUCKETS`.

    Prices reach to `horizon_seconds`, by default a tenth beyond the last submission.
    """
    if not len(demand):
        return Indexed(0.0, np.zeros((len(demand.capacity), 1)), 1.0)
    horizon = horizon_seconds or 1.1 * float(demand.submit[-1]) + 2.0 * float(demand.solo.mean())
    finest = bucket_seconds or max(horizon / BUCKETS, BUCKET_SECONDS_MIN)
    count = max(1, int(np.ceil(horizon / finest / 2 ** (LEVELS - 1))))
    prices = np.zeros((len(demand.capacity), count))
    for level in reversed(range(LEVELS)):
        table = Table(demand, finest * 2**level, prices.shape[1], COARSE)
        first = level == LEVELS - 1
        prices = _climb(table, demand, prices, steps, HOPE if first else HOPE_REFINED)
        prices = np.repeat(prices, 2, axis=1) if level else prices
    value = Table(demand, finest, prices.shape[1], FINE).answer(prices).value
    solo = float(demand.solo.sum())
    return Indexed(max(value, solo) / len(demand), prices, finest)


def _climb(table: Table, demand: Demand, prices: Floats, steps: int, hope: float) -> Floats:
    """Prices of a large L, from `prices`; the best that were seen."""
    capacity = demand.capacity[:, None] * table.width  # card-seconds per bucket
    best, best_value = np.zeros_like(prices), float(demand.solo.sum())
    misses = 0
    direction = np.zeros_like(prices)
    for _ in range(steps):
        value, asked = table.answer(prices)
        if value > best_value:
            misses = 0 if value > best_value + 1e-4 * abs(best_value) else misses + 1
            best, best_value = prices, value
        else:
            misses += 1
        if misses >= 5:
            hope, misses, prices = hope / 2, 0, best
            direction[:] = 0.0
            continue
        # in the unit "seconds per whole kind": scaled so that kinds and buckets are alike
        slope = (asked - capacity) / np.sqrt(capacity)
        slope[(prices <= 0) & (slope < 0)] = 0.0
        direction = 0.7 * direction + slope
        size = float((direction * direction).sum())
        if size == 0:
            break
        stride = (best_value * (1.0 + hope) - value) / size
        prices = np.maximum(0.0, prices + stride * direction / np.sqrt(capacity))
    return best


class Table:
    """Pairs (job, kind) sorted by kind, and within a kind the (width, length) classes."""

    def __init__(self, demand: Demand, width: float, count: int, base: float) -> None:
        self.width, self.count = width, count
        self.jobs, self.kinds = len(demand), len(demand.capacity)
        self.capacity = demand.capacity
        self.by_kind = [_Kind(demand, kind, width, count, base) for kind in range(self.kinds)]

    def answer(self, prices: Floats) -> Answer:
        """L and the demand of the best starts, at these prices."""
        least = np.full(self.jobs, np.inf)
        choice = np.full(self.jobs, -1, np.int64)
        found = [kind.best(prices[at]) for at, kind in enumerate(self.by_kind)]
        for at, (kind, (value, _)) in enumerate(zip(self.by_kind, found, strict=True)):
            better = value < least[kind.job]
            least[kind.job[better]] = value[better]
            choice[kind.job[better]] = at
        asked = np.zeros((self.kinds, self.count))
        for at, (kind, (_, start)) in enumerate(zip(self.by_kind, found, strict=True)):
            mine = choice[kind.job] == at
            asked[at] = kind.used(start, mine)
        paid = float((prices * self.capacity[:, None]).sum() * self.width)
        return Answer(float(least.sum()) - paid, asked)


class _Kind:
    """The jobs that can run on one kind."""

    def __init__(self, demand: Demand, kind: int, width: float, count: int, base: float) -> None:
        self.width, self.count = width, count
        self.job = np.flatnonzero(np.isfinite(demand.run[:, kind]))
        self.cards = demand.cards[self.job]
        self.run = demand.run[self.job, kind]
        self.earliest = demand.submit[self.job] + demand.stage[self.job, kind]
        self.fixed = self.run - demand.submit[self.job]
        self.of_job, self.class_cards, self.class_run = _classes(self.cards, self.run, base)
        self.rounded, self.held = self.class_run[self.of_job], self.class_cards[self.of_job]
        self.edges = np.arange(count + 1) * width
        # first corners at or after the earliest start: s an edge, or s + run an edge
        self.first_edge = np.ceil(self.earliest / width).astype(np.int64)
        self.first_end = np.ceil((self.earliest + self.rounded) / width - 1e-12).astype(np.int64)

    def best(self, prices: Floats) -> tuple[Floats, Floats]:
        """[pair]: the least of the bracket, and the start that gives it."""
        total = np.append(0.0, np.cumsum(prices) * self.width)  # integral to each edge
        padded = np.append(prices, 0.0)
        cards, run = self.class_cards[:, None], self.class_run[:, None]
        at_edge = self.edges + cards * (self._integral(self.edges + run, total, padded) - total)
        begin = self.edges - run
        at_end = begin + cards * (total - self._integral(np.maximum(begin, 0.0), total, padded))
        at_end[begin < 0] = np.inf
        ends = self._integral(self.earliest + self.rounded, total, padded)
        begins = self._integral(self.earliest, total, padded)
        value, start = self.earliest + self.held * (ends - begins), self.earliest
        for table, starts, first in (
            (at_edge, np.broadcast_to(self.edges, at_edge.shape), self.first_edge),
            (at_end, begin, self.first_end),
        ):
            least, where = _least_from(table)
            there = np.minimum(first, self.count)
            other = np.where(first <= self.count, least[self.of_job, there], np.inf)
            better = other < value
            value = np.where(better, other, value)
            start = np.where(better, starts[self.of_job, where[self.of_job, there]], start)
        return value + self.fixed, start

    def _integral(self, at: Floats, total: Floats, prices: Floats) -> Floats:
        """Of the price from 0 to `at` (not negative)."""
        bucket = np.minimum((at / self.width).astype(np.int64), self.count)
        return np.asarray(total[bucket] + prices[bucket] * (at - bucket * self.width))

    def used(self, start: Floats, mine: np.typing.NDArray[np.bool_]) -> Floats:
        """[bucket]: card-seconds that these starts use."""
        cards = self.held[mine]
        ramp = self._ramp(start[mine] + self.rounded[mine], cards)
        return ramp - self._ramp(start[mine], cards)

    def _ramp(self, at: Floats, cards: Floats) -> Floats:
        """[bucket]: sum of cards x seconds of the bucket that lie before `at`."""
        bucket = np.minimum((at / self.width).astype(np.int64), self.count)
        whole = np.bincount(bucket, cards, self.count + 1)
        part = np.bincount(bucket, cards * (at - bucket * self.width), self.count + 1)
        later = np.append(np.cumsum(whole[::-1])[::-1][1:], 0.0)
        return np.asarray((part + later * self.width)[: self.count])


def _classes(cards: Floats, run: Floats, base: float) -> tuple[Ints, Floats, Floats]:
    """[pair] its class, and [class] cards and run, both rounded down to the least in it."""
    while True:
        levels = [np.floor(np.log(np.maximum(each, 1.0)) / np.log(base)) for each in (cards, run)]
        rows, of_pair = np.unique(np.column_stack(levels), axis=0, return_inverse=True)
        if len(rows) <= CLASSES_MAX:
            break
        base = base**1.5
    of_pair = of_pair.reshape(-1)
    class_cards, class_run = np.full(len(rows), np.inf), np.full(len(rows), np.inf)
    np.minimum.at(class_cards, of_pair, cards)
    np.minimum.at(class_run, of_pair, run)
    return of_pair, class_cards, class_run


def _least_from(table: Floats) -> tuple[Floats, Ints]:
    """[class, corner]: the least at this corner or a later one, and which corner has it."""
    backwards = table[:, ::-1]
    least = np.minimum.accumulate(backwards, axis=1)
    new = np.empty(table.shape, np.bool_)
    new[:, 0] = True
    new[:, 1:] = backwards[:, 1:] < least[:, :-1]
    seen = np.maximum.accumulate(np.where(new, np.arange(table.shape[1]), 0), axis=1)
    return least[:, ::-1], (table.shape[1] - 1 - seen)[:, ::-1]
