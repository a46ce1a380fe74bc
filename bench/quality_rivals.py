"""Rivals of the price auction on a `Batch`: what each does, and what it is worth.

All place whole gangs, best fit among the pools of the group that they choose, so that
only the order of the gangs and the choice of the group differ.

- random: gangs as they come, any group that has room (the least a broker must beat).
- FIFO: gangs as they come, the group where each is worth most that has room.
- density: gangs of most worth per card first, else as FIFO (the usual greedy knapsack).
- POP: sites and gangs dealt into k parts, each solved by itself (Narayanan et al., SOSP 2021).
- class LP: the linear relaxation by HiGHS, and its duals as prices for the product's fill.
"""

from __future__ import annotations

import highspy
import numpy as np

from bench.quality_instances import Batch
from scheduler.arrays import Floats, Ints
from scheduler.assignment import assign, market_of
from scheduler.prices import Auction, Market, auction


def market(batch: Batch) -> Market:
    """The batch as the product sees it, each gang a class of its own."""
    ones = np.ones(len(batch.cards), np.int64)
    return market_of(batch.values, batch.cards[:, None], ones, batch.group_of, batch.free)


def at_random(batch: Batch, seed: int) -> float:
    draws = np.random.default_rng(seed).random(batch.values.shape)
    return _filled(batch, np.arange(len(batch.cards)), draws)


def first_come(batch: Batch) -> float:
    return _filled(batch, np.arange(len(batch.cards)), batch.values)


def densest_first(batch: Batch) -> float:
    density = batch.values.max(axis=1) / batch.cards
    return _filled(batch, np.argsort(-density, kind="stable"), batch.values)


def _filled(batch: Batch, order: Ints, wish: Floats) -> float:
    """Worth when the gangs in `order` take the group of greatest `wish` that has room."""
    free: list[int] = batch.free.tolist()
    pools: list[list[int]] = [[] for _ in range(batch.values.shape[1])]
    for pool, group in enumerate(batch.group_of.tolist()):
        pools[group].append(pool)
    room = np.array([max(free[pool] for pool in held) for held in pools])
    worth = 0.0
    for gang in order.tolist():
        cards = int(batch.cards[gang])
        able = (room >= cards) & (batch.values[gang] > 0)
        if not able.any():
            continue
        group = int(np.where(able, wish[gang], -np.inf).argmax())
        pool = min((p for p in pools[group] if free[p] >= cards), key=free.__getitem__)
        free[pool] -= cards
        room[group] = max(free[p] for p in pools[group])
        worth += float(batch.values[gang, group])
    return worth


def partitioned(batch: Batch, parts: int, seed: int) -> float:
    """POP over sites: each part has its own sites and gangs, and the product's own solver."""
    random = np.random.default_rng(seed)
    part_of_site = random.integers(parts, size=int(batch.site_of.max()) + 1)
    part_of_gang = random.integers(parts, size=len(batch.cards))
    worth = 0.0
    for part in range(parts):
        pools = part_of_site[batch.site_of] == part
        gangs = part_of_gang == part
        groups, group_of = np.unique(batch.group_of[pools], return_inverse=True)
        if not len(groups) or not gangs.any():
            continue
        small = Batch(
            values=batch.values[np.ix_(gangs, groups)],
            cards=batch.cards[gangs],
            group_of=group_of.astype(np.int64),
            free=batch.free[pools],
            site_of=batch.site_of[pools],
        )
        asked = market(small)
        worth += assign(asked, auction(asked), small.group_of, small.free).value
    return worth


def relaxed(batch: Batch) -> Auction:
    """The linear relaxation over gangs × groups by HiGHS: its value, and its duals as prices."""
    asked = market(batch)
    gangs, groups = np.nonzero(np.isfinite(asked.values))
    columns, rows = len(gangs), len(asked.counts)
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = columns, rows + len(asked.capacity)
    program.col_cost_ = -asked.values[gangs, groups]
    program.col_lower_, program.col_upper_ = np.zeros(columns), np.ones(columns)
    program.row_lower_ = np.full(program.num_row_, -highspy.kHighsInf)
    program.row_upper_ = np.concatenate([asked.counts, asked.capacity]).astype(np.float64)
    index, value = np.empty(2 * columns, np.int32), np.empty(2 * columns)
    index[0::2], value[0::2] = gangs, 1.0
    index[1::2], value[1::2] = rows + groups, asked.cards[gangs, 0]
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_ = (2 * np.arange(columns + 1)).astype(np.int32)
    program.a_matrix_.index_, program.a_matrix_.value_ = index, value
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.passModel(program)
    solver.run()
    duals = -np.array(solver.getSolution().row_dual)[rows:]
    return Auction(np.maximum(0.0, duals), -float(solver.getInfo().objective_function_value))


def by_relaxation(batch: Batch, found: Auction) -> float:
    """The product's fill at the relaxation's duals."""
    return assign(market(batch), found, batch.group_of, batch.free).value
