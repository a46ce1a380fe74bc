"""From what Slurm says to what this site has: its partitions as pools, by the catalogue's names.

What of it can be used now is `slurm_usage`'s. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from agent.inventory import DeclaredNode, DeclaredPool
from agent.policy import EVERYTHING, PoolPolicy
from agent.probes.reading import ExporterProbe
from agent.slurm.from_text import SlurmNode, SlurmPartition, SlurmView
from agent.slurm.notation import Gres
from agent.slurm.rules import memory_mib_per_cpu, time_limit_seconds

NameOf = Callable[[str], "CardType | None"]  # of "name:type", or "name" for cards without a type


@dataclass(frozen=True, slots=True)
class CardType:
    """What a site's GRES is, in the catalogue's words."""

    accelerator: str  # canonical model
    kind: str  # "npu" | "dcu" | "gpu"
    dies_per_card: int = 1  # Slurm counts cards


@dataclass(frozen=True, slots=True)
class PartitionOffer:
    """How a partition is offered to the federation."""

    partition: str
    pool: str = ""  # its name there; "": the partition's
    supernode_nodes: int = 0  # nodes of one supernode, in Slurm's order; 0: the leaf switch's
    yuan_per_card_hour: float = 0.0
    utilisation: float = 0.4
    linearity: tuple[tuple[int, float], ...] = ()
    software: tuple[str, ...] = ()  # stacks on its nodes
    policy: PoolPolicy = EVERYTHING  # when, and how much
    probe: ExporterProbe | None = None  # on its nodes


@dataclass(frozen=True, slots=True)
class SlurmPool:
    """A pool and how to ask Slurm for it."""

    declared: DeclaredPool
    partition: SlurmPartition
    gres: str  # "npu:910b", or "npu" where the site has no types


@dataclass(frozen=True, slots=True)
class Discovery:
    """What of a Slurm may be offered, and what nobody could name."""

    pools: tuple[SlurmPool, ...]
    unknown_gres: tuple[str, ...] = ()  # "name:type" without a name in the catalogue
    unknown_partitions: tuple[str, ...] = ()  # wished for, and not there


def discover(view: SlurmView, name_of: NameOf, offers: Sequence[PartitionOffer] = ()) -> Discovery:
    """The pools of these partitions (none named: all), one for each shape of node in them.

    A node in several partitions counts in the first of them alone. The supernode of a node is
    the one that its offer makes, else its leaf switch, else its pool.
    """
    by_name = {partition.name: partition for partition in view.partitions}
    wanted = offers or [PartitionOffer(name) for name in by_name]
    chosen = {offer.partition: offer for offer in wanted if offer.partition in by_name}
    shapes = _Shapes(view, name_of)
    for name in chosen:
        shapes.add(by_name[name])
    names = _pool_names(shapes.groups, chosen)
    pools = []
    for (partition, key, count), members in shapes.groups.items():
        offer, card = chosen[partition], name_of(key)
        assert card is not None
        declared = _declared(names[partition, key, count], card, count, members, offer, view)
        declared = _within_rules(declared, by_name[partition], view)
        pools.append(SlurmPool(declared, by_name[partition], key))
    missing = tuple(offer.partition for offer in wanted if offer.partition not in by_name)
    return Discovery(tuple(pools), tuple(shapes.unknown), missing)


class _Shapes:
    """The nodes of partitions by (partition, GRES, count), each node once."""

    def __init__(self, view: SlurmView, name_of: NameOf) -> None:
        self.groups: dict[tuple[str, str, int], list[SlurmNode]] = {}
        self.unknown: dict[str, None] = {}
        self._name_of = name_of
        self._nodes = {node.name: node for node in view.nodes}
        self._taken: set[str] = set()

    def add(self, partition: SlurmPartition) -> None:
        for name in partition.nodes:
            if name in self._nodes and name not in self._taken:
                self._add_node(partition.name, self._nodes[name])

    def _add_node(self, partition: str, node: SlurmNode) -> None:
        """One kind of card a node: the first."""
        for key, parts in groupby(node.gres, key_of):
            count = sum(gres.count for gres in parts)
            if self._name_of(key) is None:
                self.unknown[key] = None
            elif count and node.name not in self._taken:
                self._taken.add(node.name)
                self.groups.setdefault((partition, key, count), []).append(node)


def _declared(
    name: str,
    card: CardType,
    count: int,
    members: Sequence[SlurmNode],
    offer: PartitionOffer,
    view: SlurmView,
) -> DeclaredPool:
    def supernode(at: int, node: SlurmNode) -> str:
        if offer.supernode_nodes:
            return f"{name}-s{at // offer.supernode_nodes}"
        return view.frame.leaf_switches.get(node.name, name)

    nodes = (DeclaredNode(n.name, n.address, supernode(at, n)) for at, n in enumerate(members))
    return DeclaredPool(
        name=name,
        accelerator=card.accelerator,
        kind=card.kind,
        nodes=tuple(nodes),
        cards_per_node=count,
        dies_per_card=card.dies_per_card,
        cpus_per_node=min(node.cpus for node in members),
        memory_gib_per_node=min(node.memory_mib for node in members) / 1024,
        yuan_per_card_hour=offer.yuan_per_card_hour,
        utilisation=offer.utilisation,
        linearity=offer.linearity,
        software=offer.software,
        policy=offer.policy,
        probe=offer.probe,
    )


def _within_rules(
    declared: DeclaredPool, partition: SlurmPartition, view: SlurmView
) -> DeclaredPool:
    """What a job may have there, by the partition's rules."""
    memory_gib = declared.memory_gib_per_node
    if per_cpu := memory_mib_per_cpu(partition, view.frame):
        memory_gib = min(memory_gib, per_cpu * declared.cpus_per_node / 1024)
    return replace(
        declared,
        memory_gib_per_node=memory_gib,
        time_limit_seconds_max=time_limit_seconds(partition, view.frame),
    )


def _pool_names(
    shapes: Iterable[tuple[str, str, int]], offers: Mapping[str, PartitionOffer]
) -> dict[tuple[str, str, int], str]:
    """The offer's name where the partition has one shape, else with type and count behind it."""
    shapes = list(shapes)
    partitions = [partition for partition, _, _ in shapes]
    names = {}
    for shape in shapes:
        partition, key, count = shape
        name = offers[partition].pool or partition
        suffix = f"-{key.rpartition(':')[2]}-{count}".lower()
        names[shape] = name if partitions.count(partition) == 1 else name + suffix
    return names


def key_of(gres: Gres) -> str:
    """ "npu:910b", or "npu" for cards without a type."""
    return f"{gres.name}:{gres.model}" if gres.model else gres.name
