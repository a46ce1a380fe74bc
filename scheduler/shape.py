"""How a variant's gang may be laid out over nodes and supernodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Ints
from scheduler.model import Demand

SPREAD_SLOWDOWN = 1.1  # run time when a preferred supernode group is not kept (assumed)


@dataclass(frozen=True, slots=True)
class Way:
    """One layout: each `group` nodes share a supernode, or any nodes will do (group 0).

    A preferred group gives two ways: the group kept, and spread out but slower.
    """

    variant: int  # index into the demand's variants
    nodes: int
    cards_per_node: int
    group: int = 0
    slowdown: float = 1.0
    wished: bool = False  # only a preference: that it fails blocks nothing

    @property
    def cards(self) -> int:
        return self.nodes * self.cards_per_node


def ways_of(demand: Demand) -> tuple[Way, ...]:
    """All ways to lay out the demand's variants, in the order they were named."""
    ways: list[Way] = []
    for at, variant in enumerate(demand.variants):
        nodes, cards = variant.nodes, variant.cards_per_node
        group = min(variant.group_nodes, nodes)
        if group <= 1:
            ways.append(Way(at, nodes, cards))
        elif variant.group_required:
            ways.append(Way(at, nodes, cards, group))
        else:
            ways.append(Way(at, nodes, cards, group, wished=True))
            ways.append(Way(at, nodes, cards, slowdown=SPREAD_SLOWDOWN))
    return tuple(ways)


def nodes_missing(nodes_by_row: Ints, starts: Ints, nodes: int, group: int) -> Ints:
    """[pool]: nodes that each pool lacks for the gang; 0: it fits.

    `nodes_by_row` counts suitable nodes by supernode, pools one after the other;
    `starts` has each pool's first row. With a group, nodes // group supernodes' worth
    of whole groups are needed, and one more for the rest.
    """
    if not len(starts):
        return np.zeros(0, np.int64)
    if not group:
        held = np.add.reduceat(nodes_by_row, starts)
        return np.asarray(np.maximum(0, nodes - held), np.int64)
    whole, rest = divmod(nodes, group)
    held = nodes_by_row // group
    groups = np.add.reduceat(held, starts)
    missing = np.maximum(0, whole - groups) * group
    if rest:
        left_over = np.maximum.reduceat(nodes_by_row % group, starts)
        missing += np.where((groups > whole) | (left_over >= rest), 0, rest)
    return np.asarray(missing, np.int64)
