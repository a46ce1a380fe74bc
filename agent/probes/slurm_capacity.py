"""From what Slurm says to what this site can place: pools, withheld cards, rules, releases.

Slurm's own jobs come first: what they hold on a node is kept back, less what runs of ours
hold, which the inventory counts itself. Slurm counts cards and often does not number them, so
the cards kept back are those that it names, or else the highest that no run of ours holds.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from agent.backends import parse_run_name
from agent.inventory import DeclaredNode, DeclaredPool, NodeCondition
from agent.probes.slurm import Gres, SlurmJob, SlurmNode, SlurmPartition

_NO_NUMBERS: frozenset[int] = frozenset()
Held = Callable[[str, str], Collection[int]]  # of pool and node: the cards that our runs hold


@dataclass(frozen=True, slots=True)
class CardType:
    """What a site's GRES is, in the catalogue's words."""

    accelerator: str  # canonical model
    kind: str  # "npu" | "dcu" | "gpu"
    dies_per_card: int = 1  # Slurm counts cards


@dataclass(frozen=True, slots=True)
class SlurmView:
    """All that was read of one Slurm at one time."""

    version: tuple[int, ...]
    nodes: tuple[SlurmNode, ...]
    partitions: tuple[SlurmPartition, ...]
    jobs: tuple[SlurmJob, ...]
    leaf_switches: Mapping[str, str]  # by node
    memory_mib_per_cpu_max: int | None = None  # of the whole site; None: no limit


@dataclass(frozen=True, slots=True)
class SlurmPool:
    """A pool and how to ask Slurm for it."""

    declared: DeclaredPool
    partition: SlurmPartition
    gres: str  # "npu:910b", or "npu" where the site has no types


@dataclass(frozen=True, slots=True)
class Release:
    """Cards of a node that a local job gives back by its time limit at the latest."""

    pool: str
    node: str
    cards: int
    at: float  # wall seconds


@dataclass(frozen=True, slots=True)
class Discovery:
    """What of a Slurm may be offered, and what nobody could name."""

    pools: tuple[SlurmPool, ...]
    unknown_gres: tuple[str, ...]  # "name:type" without a name in the catalogue


def discover(
    view: SlurmView,
    card_types: Mapping[str, CardType],
    partitions: Collection[str] = (),
    supernodes: Mapping[str, str] | None = None,
) -> Discovery:
    """The pools of these partitions (none named: all), one for each shape of node in them.

    `card_types` are keyed by "name:type", or by "name" for cards without a type. A node in
    several partitions counts in the first of them alone. The supernode of a node is the one
    that `supernodes` gives, else its leaf switch, else its pool.
    """
    groups: dict[tuple[str, str, int], list[SlurmNode]] = {}
    unknown: dict[str, None] = {}
    taken: set[str] = set()
    nodes = {node.name: node for node in view.nodes}
    chosen = _chosen(view.partitions, partitions)
    for partition in chosen:
        members = [nodes[name] for name in partition.nodes if name in nodes and name not in taken]
        for node in members:
            for gres in node.gres:
                if _key(gres) not in card_types:
                    unknown[_key(gres)] = None
                elif gres.count and node.name not in taken:
                    taken.add(node.name)  # one kind of card a node: the first
                    shape = (partition.name, _key(gres), gres.count)
                    groups.setdefault(shape, []).append(node)
    by_name = {partition.name: partition for partition in chosen}
    places = {**view.leaf_switches, **(supernodes or {})}
    names = _pool_names(groups)
    pools = tuple(
        SlurmPool(
            _declared(names[shape], card_types[shape[1]], shape[2], members, places),
            by_name[shape[0]],
            shape[1],
        )
        for shape, members in groups.items()
    )
    return Discovery(pools, tuple(unknown))


def conditions(view: SlurmView, pools: Iterable[SlurmPool], held: Held) -> list[NodeCondition]:
    """Which cards of each node are out of order, and which Slurm's own jobs hold.

    A node that is drained, down or unknown to Slurm now has no good card, nor has a node of a
    partition that is not up.
    """
    nodes = {node.name: node for node in view.nodes}
    up = {partition.name for partition in view.partitions if partition.up}
    ours = _held_by_runs(view.jobs)
    found = []
    for pool in pools:
        cards = frozenset(range(pool.declared.cards_per_node))
        for declared in pool.declared.nodes:
            node = nodes.get(declared.name)
            pair = pool.declared.name, declared.name
            if node is None or not node.usable or pool.partition.name not in up:
                found.append(NodeCondition(*pair, faulty=cards))
                continue
            faulty = cards - frozenset(range(_count(node.gres, pool.gres)))
            drained = _matching(node.gres_drained, pool.gres)
            faulty |= _cards(cards - faulty, frozenset(), drained)
            used = _matching(node.gres_used, pool.gres)
            local = Gres(
                used.name,
                used.model,
                max(0, used.count - ours.get((declared.name, pool.gres), 0)),
                used.indices,
            )
            kept_back = _cards(cards - faulty, frozenset(held(*pair)), local)
            found.append(NodeCondition(*pair, faulty=faulty, kept_back=kept_back))
    return found


def releases(view: SlurmView, pools: Iterable[SlurmPool]) -> tuple[Release, ...]:
    """When local jobs give cards back, soonest first. Jobs without a limit promise nothing."""
    by_node: dict[str, list[SlurmPool]] = {}
    for pool in pools:
        for declared in pool.declared.nodes:
            by_node.setdefault(declared.name, []).append(pool)
    found = []
    for job in view.jobs:
        if job.ends_at is None or is_ours(job.name):
            continue
        for node in job.nodes:
            for pool in by_node.get(node, ()):
                if cards := _count(job.gres_per_node, pool.gres):
                    found.append(Release(pool.declared.name, node, cards, job.ends_at))
    return tuple(sorted(found, key=lambda release: (release.at, release.pool, release.node)))


def is_ours(job_name: str) -> bool:
    """Whether a job of Slurm is a run of ours, by its name."""
    try:
        parse_run_name(job_name)
    except ValueError:
        return False
    return True


def _chosen(known: Iterable[SlurmPartition], wanted: Collection[str]) -> tuple[SlurmPartition, ...]:
    by_name = {partition.name: partition for partition in known}
    return tuple(by_name[name] for name in (wanted or by_name) if name in by_name)


def _declared(
    name: str, card: CardType, count: int, members: list[SlurmNode], places: Mapping[str, str]
) -> DeclaredPool:
    nodes = (DeclaredNode(n.name, n.address, places.get(n.name, name)) for n in members)
    return DeclaredPool(
        name=name,
        accelerator=card.accelerator,
        kind=card.kind,
        nodes=tuple(nodes),
        cards_per_node=count,
        dies_per_card=card.dies_per_card,
        cpus_per_node=min(node.cpus for node in members),
        memory_gib_per_node=min(node.memory_mib for node in members) / 1024,
    )


def _pool_names(shapes: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str, int], str]:
    """The partition's name where it has one shape, else with type and count behind it."""
    shapes = list(shapes)
    partitions = [partition for partition, _, _ in shapes]
    return {
        shape: shape[0]
        if partitions.count(shape[0]) == 1
        else f"{shape[0]}-{shape[1].rpartition(':')[2]}-{shape[2]}".lower()
        for shape in shapes
    }


def _held_by_runs(jobs: Iterable[SlurmJob]) -> dict[tuple[str, str], int]:
    """How many cards our runs hold, by node and GRES."""
    held: dict[tuple[str, str], int] = {}
    for job in jobs:
        if is_ours(job.name):
            for node in job.nodes:
                for gres in job.gres_per_node:
                    held[node, _key(gres)] = held.get((node, _key(gres)), 0) + gres.count
    return held


def _cards(good: frozenset[int], held: frozenset[int], gone: Gres) -> frozenset[int]:
    """Which of the `good` cards are `gone`, if they are not `held`: as many as are, no more."""
    if not gone.count:
        return _NO_NUMBERS
    named = frozenset(sorted((gone.indices & good) - held)[: gone.count])
    rest = sorted(good - held - named, reverse=True)
    return named | frozenset(rest[: max(0, gone.count - len(named))])


def _key(gres: Gres) -> str:
    return f"{gres.name}:{gres.model}" if gres.model else gres.name


def _matching(found: Iterable[Gres], key: str) -> Gres:
    """All of these that are of that name and type, taken together."""
    same = [gres for gres in found if gres.count and _key(gres) == key]
    indices = _NO_NUMBERS.union(*(gres.indices for gres in same))
    name, _, model = key.partition(":")
    return Gres(name, model, sum(gres.count for gres in same), indices)


def _count(found: Iterable[Gres], key: str) -> int:
    """A job may ask for `npu:2` without a type: then it takes of any."""
    name = key.partition(":")[0]
    return sum(g.count for g in found if _key(g) == key or (not g.model and g.name == name))
