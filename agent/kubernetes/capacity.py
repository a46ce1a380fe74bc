"""From a cluster's nodes to what this site has: pools, by the catalogue's names.

What of it can be used now is `usage`'s. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.inventory import DeclaredNode, DeclaredPool
from agent.kubernetes.objects import Node, Pod
from agent.kubernetes.resources import WHOLE_CARDS, CardType, Namer, is_part
from agent.policy import EVERYTHING, PoolPolicy
from agent.probes.reading import ExporterProbe


@dataclass(frozen=True, slots=True)
class PoolOffer:
    """How some of a cluster's nodes are offered to the federation."""

    name: str  # in the federation; "": the model's
    labels: Mapping[str, str] = field(default_factory=dict)  # of its nodes; empty: all
    image: str = ""  # in which its jobs run; "": the site's
    supernode_nodes: int = 0  # nodes of one supernode, by name; 0: as the cluster says
    yuan_per_card_hour: float = 0.0
    utilisation: float = 0.4
    linearity: tuple[tuple[int, float], ...] = ()
    software: tuple[str, ...] = ()  # stacks in its image
    policy: PoolPolicy = EVERYTHING  # when, and how much
    probe: ExporterProbe | None = None  # on its nodes


CARDS_MAX = 1024  # of one node; who says more is not believed
ALL_NODES = PoolOffer("")


@dataclass(frozen=True, slots=True)
class KubernetesPool:
    """A pool and how to ask Kubernetes for it."""

    declared: DeclaredPool
    resource: str  # "huawei.com/Ascend910"
    offer: PoolOffer


@dataclass(frozen=True, slots=True)
class Discovery:
    """What of a cluster may be offered, and what nobody could name."""

    pools: tuple[KubernetesPool, ...]
    unknown: tuple[str, ...] = ()  # resources without a name in the catalogue
    shared: tuple[str, ...] = ()  # resources that count parts of cards
    empty_offers: tuple[str, ...] = ()  # that match no node with cards


def discover(
    nodes: Sequence[Node],
    pods: Iterable[Pod],
    namer: Namer,
    supernodes: Mapping[str, str],
    offers: Sequence[PoolOffer] = (),
) -> Discovery:
    """The pools of these offers (none: all nodes), one for each shape of node.

    A node counts in the first offer that its labels match, with its first kind of card.
    """
    shapes = _Shapes(namer, offers or (ALL_NODES,))
    for node in sorted(nodes, key=lambda each: each.name):
        shapes.add(node)
    daemons = _daemons(pods)
    names = _pool_names(shapes.groups)
    pools = tuple(
        KubernetesPool(
            _declared(names[shape], shape, members, supernodes, daemons),
            shape.resource,
            shape.offer,
        )
        for shape, members in shapes.groups.items()
    )
    met = {id(shape.offer) for shape in shapes.groups}
    empty = tuple(offer.name for offer in offers if id(offer) not in met)
    return Discovery(pools, tuple(shapes.unknown), tuple(shapes.shared), empty)


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    offer: PoolOffer
    resource: str
    card: CardType
    cards: int  # of a node


class _Shapes:
    """The nodes by shape, each node once."""

    def __init__(self, namer: Namer, offers: Sequence[PoolOffer]) -> None:
        self.groups: dict[_Shape, list[Node]] = {}
        self.unknown: dict[str, None] = {}
        self.shared: dict[str, None] = {}
        self._namer = namer
        self._offers = offers
        self._known: dict[tuple[int, str, str, int], _Shape] = {}

    def add(self, node: Node) -> None:
        at = next((at for at, offer in enumerate(self._offers) if _fits(offer, node)), None)
        if at is None:
            return
        taken = False
        # The vendors' own names first: a node that has both counts its cards by them.
        for resource in sorted(node.capacity, key=lambda name: (name not in WHOLE_CARDS, name)):
            card = self._namer.card(resource, node.labels)
            if card is None:
                (self.shared if is_part(resource) else self.unknown)[resource] = None
                continue
            cards = min(node.capacity[resource] // card.dies_per_card, CARDS_MAX)
            if cards and not taken:
                taken = True
                self._put(at, resource, card, cards, node)

    def _put(self, at: int, resource: str, card: CardType, cards: int, node: Node) -> None:
        key = (at, resource, card.accelerator, cards)
        shape = self._known.setdefault(key, _Shape(self._offers[at], resource, card, cards))
        self.groups.setdefault(shape, []).append(node)


def _fits(offer: PoolOffer, node: Node) -> bool:
    return all(node.labels.get(key) == value for key, value in offer.labels.items())


def _declared(
    name: str,
    shape: _Shape,
    members: Sequence[Node],
    supernodes: Mapping[str, str],
    daemons: Mapping[str, tuple[float, float]],
) -> DeclaredPool:
    offer = shape.offer

    def supernode(at: int, node: Node) -> str:
        if offer.supernode_nodes:
            return f"{name}-s{at // offer.supernode_nodes}"
        return supernodes.get(node.name, name)

    left = [
        (node.cpus - cpus, node.memory_mib - memory_mib)
        for node in members
        for cpus, memory_mib in [daemons.get(node.name, (0.0, 0.0))]
    ]
    return DeclaredPool(
        name=name,
        accelerator=shape.card.accelerator,
        kind=shape.card.kind,
        nodes=tuple(
            DeclaredNode(node.name, node.address, supernode(at, node))
            for at, node in enumerate(members)
        ),
        cards_per_node=shape.cards,
        dies_per_card=shape.card.dies_per_card,
        cpus_per_node=max(0, int(min(cpus for cpus, _ in left))),
        memory_gib_per_node=max(0.0, min(memory for _, memory in left)) / 1024,
        yuan_per_card_hour=offer.yuan_per_card_hour,
        utilisation=offer.utilisation,
        linearity=offer.linearity,
        software=offer.software,
        policy=offer.policy,
        probe=offer.probe,
    )


def _daemons(pods: Iterable[Pod]) -> dict[str, tuple[float, float]]:
    """CPUs and memory (MiB) of each node that its DaemonSets and static pods hold for good."""
    held: dict[str, tuple[float, float]] = {}
    for pod in pods:
        if pod.is_daemon:
            cpus, memory = held.get(pod.node, (0.0, 0.0))
            held[pod.node] = (cpus + pod.cpus, memory + pod.memory_mib)
    return held


def _pool_names(shapes: Iterable[_Shape]) -> dict[_Shape, str]:
    """The offer's name or the model's; with what tells them apart where several would share it."""
    shapes = list(shapes)
    wanted = {shape: shape.offer.name or shape.card.accelerator for shape in shapes}
    names: dict[_Shape, str] = {}
    for shape, name in wanted.items():
        if list(wanted.values()).count(name) > 1:
            model = f"-{shape.card.accelerator}" if shape.offer.name else ""
            name = f"{name}{model}-{shape.cards}"
        while name in names.values():
            name += "-b"
        names[shape] = name
    return names
