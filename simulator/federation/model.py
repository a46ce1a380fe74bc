"""A federation as a file describes it: the scheduler's values and what goes wrong when."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.model import Accelerator, Dataset, Network, Pool, Site, Supernode
from suan.errors import Problem

NODES_PER_POOL_MAX = 100_000
CARDS_PER_NODE_MAX = 1024


@dataclass(frozen=True, slots=True)
class Outage:
    """A site that is away; seconds from the first submission."""

    site: str
    from_seconds: float
    until_seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A link that carries nothing; seconds from the first submission."""

    a: str
    b: str
    from_seconds: float
    until_seconds: float


@dataclass(frozen=True, slots=True)
class Federation:
    """Sites, pools (empty of jobs), network and data."""

    name: str
    sites: tuple[Site, ...]
    pools: tuple[Pool, ...]
    accelerators: tuple[Accelerator, ...]  # the models of `pools`
    network: Network
    datasets: tuple[Dataset, ...] = ()
    weights: tuple[tuple[str, float], ...] = ()  # (tenant, fair-share weight); absent: 1
    outages: tuple[Outage, ...] = ()
    cuts: tuple[Cut, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def cards(self) -> int:
        return sum(pool.cards_usable for pool in self.pools)


def empty_supernodes(
    nodes: int, cards_per_node: int, supernode_nodes: int
) -> tuple[Supernode, ...]:
    """`nodes` free nodes in supernodes of `supernode_nodes`; the last may be smaller."""
    size = max(1, supernode_nodes)
    sizes = [min(size, nodes - first) for first in range(0, nodes, size)]
    empty = (0,) * cards_per_node
    return tuple(Supernode(f"s{at}", (*empty, count)) for at, count in enumerate(sizes))
