"""Who uses the cards of a cluster now, what that leaves, and when more comes free. Pure.

The site's own pods come first: what they ask for on a node is kept back, less what runs of
ours hold, which the inventory counts itself. Kubernetes counts cards and often does not number
them, so the cards kept back are those that an annotation names, or else the highest that no
run of ours holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.inventory import NodeCondition
from agent.kubernetes.capacity import KubernetesPool
from agent.kubernetes.health import NodeHealth, State
from agent.kubernetes.objects import JobKey, Node, Pod, Taint
from agent.local_use import Faulty, Held, Releases, highest, none_told
from scheduler.model import Release

_REPELLING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint that does not keep our pods away; "" matches any."""

    key: str
    value: str = ""
    effect: str = ""

    def covers(self, taint: Taint) -> bool:
        return (
            taint.key == self.key
            and self.value in ("", taint.value)
            and self.effect in ("", taint.effect)
        )


def out_of_service(
    node: Node, tolerations: Iterable[Toleration], health: Mapping[str, NodeHealth]
) -> str:
    """Why nothing may be placed on a node; "" when something may."""
    if node.cordoned:
        return "cordoned"
    if not node.ready:
        return "not ready"
    state = health[node.name].node if node.name in health else State.GOOD
    if state is not State.GOOD:
        return "pre-separated" if state is State.DRAINED else "separated"
    for taint in node.taints:
        tolerated = any(each.covers(taint) for each in tolerations)
        if taint.effect in _REPELLING and not tolerated:
            return f"tainted {taint}"
    return ""


def conditions(
    nodes: Iterable[Node],
    pods: Iterable[Pod],
    pools: Iterable[KubernetesPool],
    health: Mapping[str, NodeHealth],
    tolerations: Sequence[Toleration],
    site: str,
    held: Held,
    faulty: Faulty = none_told,
) -> list[NodeCondition]:
    """Which cards of each node are out of order, and which are not the federation's to use.

    A node that is cordoned, not ready, tainted or separated has no good card.
    """
    by_name = {node.name: node for node in nodes}
    local = _local(pods, site)
    found: list[NodeCondition] = []
    for pool in pools:
        name = pool.declared.name
        all_cards = frozenset(range(pool.declared.cards_per_node))
        for declared in pool.declared.nodes:
            node = by_name.get(declared.name)
            if node is None or out_of_service(node, tolerations, health):
                found.append(NodeCondition(name, declared.name, all_cards, cards_seen=False))
                continue
            mine = frozenset(held(name, node.name))
            health_here = health.get(node.name, NodeHealth())
            theirs, gone = local.get(node.name, ()), faulty(name, node.name) or frozenset()
            found.append(_condition(pool, node, mine, theirs, health_here, gone))
    return found


def releases(
    pods: Iterable[Pod],
    pools: Iterable[KubernetesPool],
    deadlines: Mapping[JobKey, float],
    site: str,
) -> dict[str, tuple[Release, ...]]:
    """By pool, when local pods give cards back at the latest: by their deadlines or their Jobs'.

    Pods without a deadline promise nothing.
    """
    by_node = {node.name: pool for pool in pools for node in pool.declared.nodes}
    found = Releases()
    for node, there in _local(pods, site).items():
        if (pool := by_node.get(node)) is None:
            continue
        for pod in there:
            ends = [pod.ends_at, deadlines.get(pod.owner) if pod.owner else None]
            told = [end for end in ends if end is not None]
            cards = -(-pod.requests.get(pool.resource, 0) // pool.declared.dies_per_card)
            if told and cards:
                found.add(pool.declared.name, min(told), cards)
    return found.told()


def owners(pods: Iterable[Pod], pools: Iterable[KubernetesPool], site: str) -> frozenset[JobKey]:
    """The Jobs of local pods with cards: those whose deadlines count."""
    resources = {pool.resource for pool in pools}
    return frozenset(
        pod.owner
        for there in _local(pods, site).values()
        for pod in there
        if pod.owner is not None and resources & pod.requests.keys()
    )


def _local(pods: Iterable[Pod], site: str) -> dict[str, list[Pod]]:
    """By node, the pods that are not runs of this agent."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if not (pod.run and pod.site == site):
            found.setdefault(pod.node, []).append(pod)
    return found


def _condition(
    pool: KubernetesPool,
    node: Node,
    mine: frozenset[int],
    local: Iterable[Pod],
    health: NodeHealth,
    told_faulty: frozenset[int],
) -> NodeCondition:
    dies = pool.declared.dies_per_card
    cards = frozenset(range(pool.declared.cards_per_node))
    gone = {d // dies for d, state in health.devices.items() if state is State.GONE}
    drained = {d // dies for d, state in health.devices.items() if state is State.DRAINED}
    faulty = cards & (told_faulty | gone)
    # What the device plugin withdrew without a name.
    whole = node.allocatable.get(pool.resource, 0) // dies
    faulty |= highest(cards - faulty, mine, len(cards) - whole - len(faulty | cards & drained))
    used, named = 0, set()
    for pod in local:
        used += pod.requests.get(pool.resource, 0)
        named |= {device // dies for device in _devices(pod.annotations.get(pool.resource, ""))}
    free = cards - faulty - mine
    taken = frozenset(named) & free
    taken |= highest(free, taken, -(-used // dies) - len(taken))
    return NodeCondition(pool.declared.name, node.name, faulty, taken | (cards & drained) - faulty)


def _devices(names: str) -> set[int]:
    """ "Ascend910-0,Ascend910-1", as Volcano and the device plugin note on a pod."""
    found = (name.rpartition("-")[2].strip() for name in names.split(","))
    return {int(digits) for digits in found if digits.isdecimal()}
