"""Which nodes are one supernode: by SuperPoD where there is one, else by the nearest HyperNode.

HyperNodes by Volcano's `topology.volcano.sh/v1alpha1` (lower tier = closer); SuperPoDs by
MindCluster's annotation, label or device information. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from agent.kubernetes.fields import Json, items, number, text, words
from agent.kubernetes.health import NodeHealth
from agent.kubernetes.objects import Node

SUPERPOD_ANNOTATION = "superPodID"
SUPERPOD_LABEL = "huawei.com/topotree.superpodid"
MEMBERS_MAX = 100_000  # of one HyperNode


def supernodes(
    nodes: Sequence[Node], hypernodes: Iterable[Json], health: Mapping[str, NodeHealth]
) -> dict[str, str]:
    """The name of the supernode by node; a node of none is left out."""
    found = _by_hypernode(nodes, hypernodes)
    for node in nodes:
        superpod = (
            node.annotations.get(SUPERPOD_ANNOTATION)
            or node.labels.get(SUPERPOD_LABEL)
            or (health[node.name].superpod if node.name in health else "")
        )
        if superpod and not superpod.startswith("-"):
            found[node.name] = f"superpod-{superpod}"
    return found


def _by_hypernode(nodes: Sequence[Node], hypernodes: Iterable[Json]) -> dict[str, str]:
    """The lowest tier whose members are nodes; of two of one tier the first by name."""
    found: dict[str, str] = {}
    known = {node.name: node for node in nodes}
    ordered = sorted(
        hypernodes, key=lambda each: (number(each, "spec", "tier"), text(each, "metadata", "name"))
    )
    for hypernode in ordered:
        name = text(hypernode, "metadata", "name")
        for member in items(hypernode, "spec", "members"):
            if name and text(member, "type") == "Node":
                for node in _chosen(member, known):
                    found.setdefault(node, name)
    return found


def _chosen(member: Json, known: Mapping[str, Node]) -> Iterable[str]:
    exact = text(member, "selector", "exactMatch", "name")
    pattern = text(member, "selector", "regexMatch", "pattern")
    labels = words(member, "selector", "labelMatch", "matchLabels")
    if exact:
        return [exact] if exact in known else []
    if pattern:
        return [name for name in known if _matches(pattern, name)]
    if labels:
        return [n.name for n in known.values() if labels.items() <= dict(n.labels).items()]
    return []


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None  # as Go's MatchString: anywhere in it
    except re.error:
        return False
