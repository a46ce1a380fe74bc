"""Who uses the cards of a Slurm now, and what that leaves: withheld cards, expected releases.

Slurm's own jobs come first: what they hold on a node is kept back, less what runs of ours
hold, which the inventory counts itself. Slurm counts cards and often does not number them, so
the cards kept back are those that it names, or else the highest that no run of ours holds.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.backends import parse_run_name
from agent.inventory import NodeCondition
from agent.local_use import Faulty, Held, Releases, highest, none_told
from agent.slurm.capacity import SlurmPool, key_of
from agent.slurm.from_text import SlurmJob, SlurmNode, SlurmView
from agent.slurm.notation import Gres
from scheduler.model import Release

_NO_NUMBERS: frozenset[int] = frozenset()


def conditions(
    view: SlurmView, pools: Iterable[SlurmPool], held: Held, faulty: Faulty = none_told
) -> list[NodeCondition]:
    """Which cards of each node are out of order, and which are not the federation's to use.

    A node that is drained, down or unknown to Slurm now has no good card, nor has a node of a
    partition that is not up.
    """
    nodes = {node.name: node for node in view.nodes}
    up = {partition.name for partition in view.partitions if partition.up}
    ours = _held_by_runs(view.jobs)
    found: list[NodeCondition] = []
    for pool in pools:
        for declared in pool.declared.nodes:
            node = nodes.get(declared.name)
            pair = pool.declared.name, declared.name
            if node is None or not node.usable or pool.partition.name not in up:
                cards = frozenset(range(pool.declared.cards_per_node))
                found.append(NodeCondition(*pair, faulty=cards, cards_seen=False))
            else:
                held_by_runs = ours.get((declared.name, pool.gres), 0)
                mine = frozenset(held(*pair))
                found.append(_condition(pool, node, mine, held_by_runs, faulty(*pair)))
    return found


def releases(view: SlurmView, pools: Iterable[SlurmPool]) -> dict[str, tuple[Release, ...]]:
    """By pool, when local jobs give cards back at the latest, soonest first.

    Jobs without a limit promise nothing.
    """
    by_node = {node.name: pool for pool in pools for node in pool.declared.nodes}
    found = Releases()
    for job in view.jobs:
        if job.ends_at is None or not job.holds_nodes or is_ours(job.name):
            continue
        for node in job.nodes:
            pool_here = by_node.get(node)
            if pool_here and (cards := _count(job.gres_per_node, pool_here.gres)):
                found.add(pool_here.declared.name, job.ends_at, cards)
    return found.told()


def is_ours(job_name: str) -> bool:
    """Whether a job of Slurm is a run of ours, by its name."""
    try:
        parse_run_name(job_name)
    except ValueError:
        return False
    return True


def _condition(
    pool: SlurmPool,
    node: SlurmNode,
    held: frozenset[int],
    held_by_runs: int,
    told_faulty: frozenset[int] | None,
) -> NodeCondition:
    """Of a node that works: `held` are the cards of our runs, Slurm gives them so many.

    `told_faulty` (None: nobody looks) may be among those that Slurm took out without a number:
    they count once.
    """
    cards = frozenset(range(pool.declared.cards_per_node))
    faulty = cards - frozenset(range(_count(node.gres, pool.gres)))
    drained = _matching(node.gres_drained, pool.gres)
    named = cards & ((told_faulty or _NO_NUMBERS) | drained.indices)
    faulty |= named
    faulty |= highest(cards - faulty, _NO_NUMBERS, drained.count - len(named))
    used = _matching(node.gres_used, pool.gres)
    local = Gres(used.name, used.model, max(0, used.count - held_by_runs), used.indices)
    kept_back = _cards(cards - faulty, held, local)
    seen = told_faulty is not None
    return NodeCondition(pool.declared.name, node.name, faulty, kept_back, seen)


def _held_by_runs(jobs: Iterable[SlurmJob]) -> dict[tuple[str, str], int]:
    """How many cards our runs hold, by node and GRES."""
    held: dict[tuple[str, str], int] = {}
    for job in jobs:
        if job.holds_nodes and is_ours(job.name):
            for node in job.nodes:
                for gres in job.gres_per_node:
                    held[node, key_of(gres)] = held.get((node, key_of(gres)), 0) + gres.count
    return held


def _cards(good: frozenset[int], held: frozenset[int], gone: Gres) -> frozenset[int]:
    """Which of the `good` cards are `gone`, if they are not `held`: as many as are, no more."""
    if not gone.count:
        return _NO_NUMBERS
    named = frozenset(sorted((gone.indices & good) - held)[: gone.count])
    return named | highest(good - named, held, gone.count - len(named))


def _matching(found: Iterable[Gres], key: str) -> Gres:
    """All of these that are of that name and type, taken together."""
    same = [gres for gres in found if gres.count and key_of(gres) == key]
    indices = _NO_NUMBERS.union(*(gres.indices for gres in same))
    name, _, model = key.partition(":")
    return Gres(name, model, sum(gres.count for gres in same), indices)


def _count(found: Iterable[Gres], key: str) -> int:
    """A job may ask for `npu:2` without a type: then it takes of any."""
    name = key.partition(":")[0]
    return sum(g.count for g in found if key_of(g) == key or (not g.model and g.name == name))
