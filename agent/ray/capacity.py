"""From what a Ray says to what this site has: nodes of one shape are a pool, by catalogue names.

A node's cards are the amount of one resource: one that the operator named, else Ray's own NPU
and GPU, else an `accelerator_type:…` of which there are several. What they are is told by the
operator, or by the node's `accelerator_type:…`. What of it can be used now is `usage`'s. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.inventory import DeclaredNode, DeclaredPool
from agent.policy import EVERYTHING, PoolPolicy
from agent.probes.reading import ExporterProbe
from agent.ray.read import RayNode, RayView
from suan.catalogue import Catalogue

TYPE_PREFIX = "accelerator_type:"
CARDS = ("NPU", "GPU")  # that Ray finds by itself, and hands out one by one
_RAYS_OWN = re.compile(r"CPU|memory|object_store_memory|node:.*|accelerator_type:.*|.*_group_.*")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class CardType:
    """What a site's resource is, in the catalogue's words."""

    accelerator: str  # canonical model
    kind: str  # "npu" | "dcu" | "gpu"
    dies_per_card: int = 1  # Ray counts cards


@dataclass(frozen=True, slots=True)
class Cards:
    """What a node has."""

    resource: str  # whose amount counts them
    count: int
    type: str = ""  # "Ascend910B3"; "": the node does not say


@dataclass(frozen=True, slots=True)
class Names:
    """Which resources are cards, and what they are."""

    mapped: Mapping[str, str]  # resource, or "accelerator_type:…" -> canonical model
    catalogue: Catalogue

    def cards(self, resources: Mapping[str, float]) -> Cards | None:
        """What counts a node's cards; None: it has none."""
        types = [name for name in sorted(resources) if name.startswith(TYPE_PREFIX)]
        kind = types[0].removeprefix(TYPE_PREFIX) if types else ""
        own = [name for name in self.mapped if not name.startswith(TYPE_PREFIX)]
        for name in (*own, *CARDS):
            if (count := int(resources.get(name, 0))) >= 1:
                return Cards(name, count, kind)
        if types and (count := int(resources[types[0]])) > 1:
            return Cards(types[0], count, kind)
        return None

    def model(self, cards: Cards) -> CardType | None:
        """What they are: by the operator's word, else by the catalogue; None: nobody knows."""
        model = self.mapped.get(TYPE_PREFIX + cards.type) or self.mapped.get(cards.resource)
        if model is None and cards.type:
            model = self.catalogue.resolve(cards.type)
        if model is None:
            return None
        known = self.catalogue.get(model)
        return CardType(known.model, known.kind, known.dies_per_card)


@dataclass(frozen=True, slots=True)
class PoolOffer:
    """How the nodes with one resource are offered to the federation."""

    resource: str  # "NPU", or "accelerator_type:Ascend910B3"
    pool: str = ""  # its name there; "": made of the resource's
    supernode_nodes: int = 0  # nodes of one supernode, in order of name; 0: the label says
    yuan_per_card_hour: float = 0.0
    utilisation: float = 0.4
    linearity: tuple[tuple[int, float], ...] = ()
    software: tuple[str, ...] = ()  # stacks on its nodes
    policy: PoolPolicy = EVERYTHING  # when, and how much
    probe: ExporterProbe | None = None  # on its nodes


@dataclass(frozen=True, slots=True)
class RayPool:
    """A pool and how to ask Ray for it."""

    declared: DeclaredPool
    resource: str
    ids: Mapping[str, str]  # Ray's name of each node now, by ours


@dataclass(frozen=True, slots=True)
class Discovery:
    """What of a Ray may be offered, and what nobody could name."""

    pools: tuple[RayPool, ...]
    unknown: tuple[str, ...] = ()  # resources that may be cards and have no name
    missing: tuple[str, ...] = ()  # wished for, and not there


_Shape = tuple[str, Cards]  # the resource of the offer, and what each node has


def discover(
    view: RayView, names: Names, offers: Sequence[PoolOffer] = (), supernode: str = ""
) -> Discovery:
    """The pools of these offers (none: all that can be named), one for each shape of node.

    `supernode`: the label, or the resource `<supernode>:<name>`, that tells a node's supernode.
    A node that two offers mean counts in the first of them alone.
    """
    shapes: dict[_Shape, list[RayNode]] = {}
    unknown: dict[str, None] = {}
    for node in view.nodes:
        cards = names.cards(node.resources)
        unknown.update(dict.fromkeys(_strange(node, names, supernode, cards)))
        if cards is not None and names.model(cards) is not None:
            meant = (offer.resource for offer in offers if _means(offer, cards))
            key = next(meant, "") if offers else cards.resource
            if key:
                shapes.setdefault((key, cards), []).append(node)
    by_resource = {offer.resource: offer for offer in offers}
    titles = _titles(shapes, by_resource)
    pools = []
    for (key, cards), members in shapes.items():
        offer = by_resource.get(key, PoolOffer(key))
        card = names.model(cards)
        assert card is not None
        declared = _declared(titles[key, cards], card, cards, members, offer, supernode)
        ids = {node.name: node.id for node in members}
        pools.append(RayPool(declared, cards.resource, ids))
    found = {key for key, _ in shapes}
    missing = tuple(offer.resource for offer in offers if offer.resource not in found)
    return Discovery(tuple(pools), tuple(unknown), missing)


def _means(offer: PoolOffer, cards: Cards) -> bool:
    return offer.resource in (cards.resource, TYPE_PREFIX + cards.type)


def _strange(node: RayNode, names: Names, supernode: str, cards: Cards | None) -> Iterable[str]:
    """Of a node: cards without a name, and what else has an amount and is not Ray's own."""
    if cards is not None and names.model(cards) is None:
        yield TYPE_PREFIX + cards.type if cards.type else cards.resource
    for name in node.resources:
        known = name in CARDS or name in names.mapped or _RAYS_OWN.fullmatch(name)
        if not known and not (supernode and name.startswith(f"{supernode}:")):
            yield name


def _declared(
    name: str,
    card: CardType,
    cards: Cards,
    members: Sequence[RayNode],
    offer: PoolOffer,
    supernode: str,
) -> DeclaredPool:
    def place(at: int, node: RayNode) -> str:
        if told := _supernode_of(node, supernode):
            return told
        return f"{name}-s{at // offer.supernode_nodes}" if offer.supernode_nodes else name

    nodes = (DeclaredNode(n.name, n.address, place(at, n)) for at, n in enumerate(members))
    return DeclaredPool(
        name=name,
        accelerator=card.accelerator,
        kind=card.kind,
        nodes=tuple(nodes),
        cards_per_node=cards.count,
        dies_per_card=card.dies_per_card,
        cpus_per_node=int(min(node.resources.get("CPU", 0) for node in members)),
        memory_gib_per_node=min(node.resources.get("memory", 0.0) for node in members) / 2**30,
        yuan_per_card_hour=offer.yuan_per_card_hour,
        utilisation=offer.utilisation,
        linearity=offer.linearity,
        software=offer.software,
        policy=offer.policy,
        probe=offer.probe,
    )


def _supernode_of(node: RayNode, key: str) -> str:
    if not key:
        return ""
    if key in node.labels:
        return node.labels[key]
    marks = (name for name in sorted(node.resources) if name.startswith(f"{key}:"))
    return next(marks, "").removeprefix(f"{key}:")


def _titles(shapes: Iterable[_Shape], offers: Mapping[str, PoolOffer]) -> dict[_Shape, str]:
    """The offer's name where it has one shape, else with type and count behind it."""
    shapes = list(shapes)
    keys = [key for key, _ in shapes]
    titles = {}
    for key, cards in shapes:
        offer = offers.get(key)
        name = (offer.pool if offer else "") or _plain(key.removeprefix(TYPE_PREFIX))
        suffix = f"-{_plain(cards.type)}-{cards.count}" if cards.type else f"-{cards.count}"
        titles[key, cards] = name if keys.count(key) == 1 else name + suffix
    return titles


def _plain(name: str) -> str:
    """As names of pools are written."""
    return _NOT_IN_A_NAME.sub("-", name.lower()).strip("-") or "cards"
