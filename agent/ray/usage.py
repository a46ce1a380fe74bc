"""Who uses the cards of a Ray now, and what that leaves. Pure.

Ray's own jobs come first: what is taken of a node is kept back, less what runs of ours hold,
which the inventory counts itself. Ray measures what is taken some seconds late and says when;
what of ours ended since is still in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from agent.inventory import NodeCondition
from agent.local_use import Faulty, Held, highest, none_told
from agent.ray.capacity import RayPool
from agent.ray.read import RayJob, RayView

HOLDS = "suan_holds"  # in a submission's metadata: "NODE_ID=CARDS/CPUS …"


def holds_text(shares: Iterable[tuple[str, int, int]]) -> str:
    """What a submission says it holds: of each node its id, cards and CPUs."""
    return " ".join(f"{node}={cards}/{cpus}" for node, cards, cpus in shares)


def conditions(
    view: RayView, pools: Iterable[RayPool], held: Held, faulty: Faulty = none_told
) -> list[NodeCondition]:
    """Which cards of each node are not the federation's to use.

    A node of which Ray does not yet say what is taken is kept back whole, as one too few of
    whose CPUs are free.
    """
    ours = _ours(view.jobs, view.usage.measured_at)
    cpus = {node.id: node.resources.get("CPU", 0.0) for node in view.nodes}
    found: list[NodeCondition] = []
    for pool in pools:
        for node in pool.declared.nodes:
            number, pair = pool.ids[node.name], (pool.declared.name, node.name)
            cards = frozenset(range(pool.declared.cards_per_node))
            told = faulty(*pair)  # Ray itself looks at no card's health
            gone = cards & (told or frozenset())
            taken = view.usage.taken.get(number)
            if taken is None:
                kept = cards - gone
            else:
                own_cards, own_cpus = ours.get(number, (0, 0))
                local = math.ceil(taken.get(pool.resource, 0.0) - own_cards)
                free_cpus = cpus[number] - max(0.0, taken.get("CPU", 0.0) - own_cpus)
                per_card = cpus_per_card(pool)
                if per_card:
                    local = max(local, len(cards) - int(free_cpus / per_card))
                kept = highest(cards - gone, frozenset(held(*pair)), local)
            found.append(NodeCondition(*pair, gone, kept, told is not None))
    return found


def cpus_per_card(pool: RayPool) -> int:
    """What goes with a card: its share of the node; 0 where the nodes offer no CPU."""
    return pool.declared.cpus_per_node // pool.declared.cards_per_node


def _ours(jobs: Iterable[RayJob], measured_at: float) -> Mapping[str, tuple[int, int]]:
    """Cards and CPUs that runs of ours held when the use was measured, by node id."""
    ours: dict[str, tuple[int, int]] = {}
    for job in jobs:
        held = job.state == "RUNNING" or (job.is_over and job.ended_at > measured_at)
        for part in job.metadata.get(HOLDS, "").split() if held else ():
            node, _, amounts = part.rpartition("=")
            cards, _, cpus = amounts.partition("/")
            if cards.isdecimal() and cpus.isdecimal():
                before = ours.get(node, (0, 0))
                ours[node] = before[0] + int(cards), before[1] + int(cpus)
    return ours
