"""The free cards of a round: a working copy that gangs are taken from.

Rows are supernodes, `nodes_by_free[row, k]` counts nodes with k free cards. Within a
supernode nodes are taken best fit in exactly the order of `Supernode.take`, so that
whoever replays the placements one by one arrives at the same free cards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats, Ints
from scheduler.model import Slice
from scheduler.shape import Way, nodes_missing
from scheduler.supply import Supply

Taken = tuple[tuple[Slice, ...], int]  # the slices of one gang, and how many such gangs
_NONE = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Guard:
    """Supernodes kept for a blocked gang: only what ends by `until_seconds` may start there."""

    pool: int
    rows: Ints
    until_seconds: float  # from now


class Capacity:
    """Free cards by supernode and pool, less what this round has taken, and the guards."""

    def __init__(self, supply: Supply) -> None:
        self.supply = supply
        self.nodes_by_free: Ints = supply.nodes_by_free.copy()
        self._levels = np.arange(self.nodes_by_free.shape[1])
        self._row_cards_total = supply.row_nodes * supply.cards_per_node[supply.pool_of_row]
        self._fitting = np.ascontiguousarray(_at_least(self.nodes_by_free))
        self.row_free: Ints = self.nodes_by_free @ self._levels
        # The same by pool, kept beside: most questions are asked of whole pools.
        self._fitting_of_pool = _by_pool(self._fitting.T, supply.starts).T.copy()
        self._nodes_of_pool = _by_pool(self.nodes_by_free, supply.starts).T.copy()
        self._free_of_pool = _by_pool(self.row_free, supply.starts)
        self._fit_key = self._fit_keys(slice(None))
        self.guards: dict[int, Guard] = {}
        # Answers by layout while no card is taken: classes of one shape ask the same.
        self._lacking: dict[tuple[int, int, int], Ints] = {}
        self._broken: dict[tuple[int, int], Ints] = {}

    def pool_free(self) -> Ints:
        """[pool]: cards free, guarded or not."""
        return self._free_of_pool.copy()

    def guarded_free(self, durations: Floats) -> Ints:
        """[pool]: free cards that a guard keeps from a job of these durations (seconds)."""
        kept = np.zeros(len(self.supply), np.int64)
        for guard in self._closed(durations):
            kept[guard.pool] = self.row_free[guard.rows].sum()
        return kept

    def missing(self, way: Way, durations: Floats) -> Ints:
        """[pool]: nodes lacking for one gang now, guards respected; 0: it fits."""
        closed = self._closed(durations)
        if way.group:
            fitting = self.fitting(way.cards_per_node)
            if closed:
                fitting = fitting.copy()
                for guard in closed:
                    fitting[guard.rows] = 0
            return nodes_missing(fitting, self.supply.starts, way.nodes, way.group)
        if way.cards_per_node >= len(self._fitting):
            return np.full(len(self.supply), max(0, way.nodes), np.int64)
        held = self._fitting_of_pool[way.cards_per_node].copy()
        for guard in closed:
            held[guard.pool] -= self._fitting[way.cards_per_node, guard.rows].sum()
        return np.asarray(np.maximum(0, way.nodes - held), np.int64)

    def missing_cards(self, way: Way, durations: Floats) -> Ints:
        """[pool]: the fewest cards that must come free before one gang fits; 0: it does.

        As if they came free on the nodes that lack least, so no gang can start earlier.
        """
        if self._closed(durations):
            return self._missing_cards(way, durations)
        shape = way.nodes, way.cards_per_node, way.group
        if shape not in self._lacking:
            self._lacking[shape] = _frozen(self._missing_cards(way, durations))
        return self._lacking[shape]

    def _missing_cards(self, way: Way, durations: Floats) -> Ints:
        missing = self.missing(way, durations)
        short = np.flatnonzero(missing)
        left, lacking = missing[short], np.zeros(len(short), np.int64)
        cards = min(way.cards_per_node, len(self._nodes_of_pool))
        for level in range(cards - 1, -1, -1):
            completed = np.minimum(left, self._nodes_of_pool[level, short])
            lacking += completed * (cards - level)
            left -= completed
        missing[short] = lacking + left * way.cards_per_node
        return missing

    def broken_cards(self, way: Way) -> Ints:
        """[pool]: free cards left behind in a supernode that was untouched before, best fit."""
        shape = way.nodes, way.cards_per_node
        if shape not in self._broken:
            self._broken[shape] = _frozen(self._broken_cards(way))
        return self._broken[shape]

    def _broken_cards(self, way: Way) -> Ints:
        supply = self.supply
        if not len(supply):
            return np.zeros(0, np.int64)
        fits = self.fitting(way.cards_per_node) >= way.nodes
        best = np.minimum.reduceat(np.where(fits, self._fit_key, _NONE), supply.starts)
        untouched = (best % 2 == 1) & (best != _NONE)
        return np.where(untouched, np.maximum(0, best // 2 - way.cards), 0)

    def take(self, way: Way, pool: int, gangs_max: int, duration: float) -> list[Taken]:
        """Take up to `gangs_max` gangs of `duration` seconds; those that fit, in order.

        A gang goes whole into the fullest supernode that holds it; only when none does
        is it laid over several, by its groups.
        """
        rows = np.arange(self.supply.starts[pool], self.supply.ends[pool])
        guard = self.guards.get(pool)
        if guard is not None and duration > guard.until_seconds:
            rows = np.setdiff1d(rows, guard.rows)
        taken = self._take_whole(way, rows, gangs_max)
        left = gangs_max - sum(gangs for _, gangs in taken)
        if left > 0 and way.nodes > max(1, way.group):
            taken += self._take_laid_over(way, rows, left)
        if taken:
            self._refresh(pool)
        return taken

    def _take_whole(self, way: Way, rows: Ints, gangs_max: int) -> list[Taken]:
        """Gangs that fit into one supernode each."""
        fitting = self.fitting(way.cards_per_node)[rows]
        rows = rows[fitting >= way.nodes]
        rows = rows[np.argsort(self._fit_key[rows], kind="stable")]
        taken: list[Taken] = []
        left = gangs_max
        for row in rows.tolist():
            if left <= 0:
                break
            levels = self.nodes_by_free[row].tolist()
            gangs = fill(levels, way.nodes, way.cards_per_node, left)
            self.nodes_by_free[row] = levels
            part = Slice(self.supply.supernodes[row], way.nodes, way.cards_per_node)
            taken.append(((part,), gangs))
            left -= gangs
        return taken

    def _take_laid_over(self, way: Way, rows: Ints, gangs_max: int) -> list[Taken]:
        """Gangs that need several supernodes, one by one."""
        cards = way.cards_per_node
        fitting = self.nodes_by_free[rows, cards:].sum(axis=1)
        taken: list[Taken] = []
        while len(taken) < gangs_max:
            parts = lay_over(fitting, way.nodes, max(1, way.group))
            if not parts:
                break
            for at, nodes in parts:
                levels = self.nodes_by_free[rows[at]].tolist()
                take_nodes(levels, nodes, cards)
                self.nodes_by_free[rows[at]] = levels
                fitting[at] = sum(levels[cards:])
            names = self.supply.supernodes
            taken.append((tuple(Slice(names[rows[at]], n, cards) for at, n in parts), 1))
        return taken

    def _fit_keys(self, rows: slice) -> Ints:
        """[row]: ascending is best fit; the untouched come after the begun. Odd: untouched."""
        free = self.row_free[rows]
        return np.asarray(2 * free + (free == self._row_cards_total[rows]), np.int64)

    def fitting(self, cards: int) -> Ints:
        """[row]: nodes with at least `cards` free."""
        none = np.zeros(len(self.row_free), np.int64)
        return self._fitting[cards] if cards < len(self._fitting) else none

    def _closed(self, durations: Floats) -> list[Guard]:
        """The guards that a job of these durations may not pass."""
        guards = self.guards.values()
        return [guard for guard in guards if durations[guard.pool] > guard.until_seconds]

    def _refresh(self, pool: int) -> None:
        rows = slice(self.supply.starts[pool], self.supply.ends[pool])
        self._fitting[:, rows] = _at_least(self.nodes_by_free[rows])
        self.row_free[rows] = self.nodes_by_free[rows] @ self._levels
        self._fitting_of_pool[:, pool] = self._fitting[:, rows].sum(axis=1)
        self._nodes_of_pool[:, pool] = self.nodes_by_free[rows].sum(axis=0)
        self._free_of_pool[pool] = self.row_free[rows].sum()
        self._fit_key[rows] = self._fit_keys(rows)
        self._lacking.clear()
        self._broken.clear()


def fill(levels: list[int], nodes: int, cards: int, gangs_max: int) -> int:
    """Take up to `gangs_max` gangs of `nodes` × `cards` from one supernode; how many fitted.

    `levels[k]` counts nodes with k free cards and is changed. The same as taking the
    gangs one by one, best fit; nodes of one level are worked through in bulk.
    """
    gangs = 0
    free = cards
    while gangs < gangs_max and free < len(levels):
        if levels[free] == 0:
            free += 1
            continue
        blocks, each = levels[free] // nodes, free // cards
        whole = min(blocks, (gangs_max - gangs) // each)
        if whole:  # each block of nodes takes `each` gangs, one upon the other
            gangs += whole * each
            levels[free] -= whole * nodes
            levels[free - each * cards] += whole * nodes
        elif blocks:  # the last, not quite full block
            each = gangs_max - gangs
            gangs = gangs_max
            levels[free] -= nodes
            levels[free - each * cards] += nodes
        elif sum(levels[free:]) >= nodes:  # one gang over several levels
            take_nodes(levels, nodes, cards)
            gangs += 1
            free = cards
        else:
            break
    return gangs


def take_nodes(levels: list[int], nodes: int, cards: int) -> None:
    """Take `cards` on each of `nodes` nodes, fullest first; they must be there."""
    for free in range(cards, len(levels)):
        used = min(nodes, levels[free])
        levels[free] -= used
        levels[free - cards] += used
        nodes -= used


def lay_over(fitting: Ints, nodes: int, group: int) -> list[tuple[int, int]]:
    """Lay a gang over few supernodes: (row, nodes) parts; empty when it does not fit.

    Whole groups go to the roomiest rows, the last of them and the rest to the tightest
    that hold them, so that large empty supernodes stay whole.
    """
    if nodes_missing(fitting, np.zeros(1, np.int64), nodes, group)[0]:
        return []
    groups, rest = divmod(nodes, group)
    held = fitting // group
    parts: dict[int, int] = {}
    for row in np.argsort(-held, kind="stable").tolist():
        if groups <= 0:
            break
        if held[row] >= groups:  # the last part: the tightest row that has not been used
            able = [at for at in np.flatnonzero(held >= groups).tolist() if at not in parts]
            row = min(able, key=lambda at: (fitting[at], at))
        used = min(groups, int(held[row]))
        parts[row] = used * group
        groups -= used
    if rest:
        left = {at: int(n) - parts.get(at, 0) for at, n in enumerate(fitting.tolist())}
        row = min((at for at in left if left[at] >= rest), key=lambda at: (left[at], at))
        parts[row] = parts.get(row, 0) + rest
    return sorted(parts.items())


def _at_least(nodes_by_free: Ints) -> Ints:
    """[k, row]: nodes with at least k free cards."""
    return np.cumsum(nodes_by_free[:, ::-1], axis=1)[:, ::-1].T


def _frozen(values: Ints) -> Ints:
    """The same, that nobody may write to."""
    values.setflags(write=False)
    return values


def _by_pool(values: Ints, starts: Ints) -> Ints:
    """Sums of rows by pool."""
    return np.add.reduceat(values, starts) if len(starts) else values[:0]
