"""Who uses the cards of a Slurm now, and what that leaves: withheld cards, expected releases.

Slurm's own jobs come first: what they hold on a node is kept back, less what runs of ours
hold, which the inventory counts itself. Slurm counts cards and often does not number them, so
the cards kept back are those that it names, or else the highest that no run of ours holds.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.backends import parse_run_name
from agent.inventory import NodeCondition
from agent.local_use import Held, highest, within_share
from agent.slurm.capacity import SlurmPool, key_of
from agent.slurm.from_text import SlurmJob, SlurmNode, SlurmView
from agent.slurm.notation import Gres
from scheduler.model import Release

RELEASES_MAX = 200  # told of a pool; what comes later counts as coming with the last
RELEASE_SECONDS = 60.0  # ends of one minute are told as one
_NO_NUMBERS: frozenset[int] = frozenset()


def conditions(view: SlurmView, pools: Iterable[SlurmPool], held: Held) -> list[NodeCondition]:
    """Which cards of each node are out of order, and which are not the federation's to use.

    A node that is drained, down or unknown to Slurm now has no good card, nor has a node of a
    partition that is not up.
    """
    nodes = {node.name: node for node in view.nodes}
    up = {partition.name for partition in view.partitions if partition.up}
    ours = _held_by_runs(view.jobs)
    found: list[NodeCondition] = []
    for pool in pools:
        here = []
        for declared in pool.declared.nodes:
            node = nodes.get(declared.name)
            pair = pool.declared.name, declared.name
            if node is None or not node.usable or pool.partition.name not in up:
                cards = frozenset(range(pool.declared.cards_per_node))
                here.append(NodeCondition(*pair, faulty=cards))
            else:
                held_by_runs = ours.get((declared.name, pool.gres), 0)
                here.append(_condition(pool, node, frozenset(held(*pair)), held_by_runs))
        found += within_share(pool.declared, pool.share, here, held)
    return found


def releases(view: SlurmView, pools: Iterable[SlurmPool]) -> dict[str, tuple[Release, ...]]:
    """By pool, when local jobs give cards back at the latest, soonest first.

    Jobs without a limit promise nothing; nor does a pool of which the federation may hold a
    share alone, for what comes free there is the site's own.
    """
    by_node: dict[str, SlurmPool] = {}
    for pool in pools:
        if pool.share >= 1:
            by_node.update({declared.name: pool for declared in pool.declared.nodes})
    found: dict[str, dict[float, int]] = {}
    for job in view.jobs:
        if job.ends_at is None or not job.holds_nodes or is_ours(job.name):
            continue
        minute = -(-job.ends_at // RELEASE_SECONDS) * RELEASE_SECONDS
        for node in job.nodes:
            pool_here = by_node.get(node)
            if pool_here and (cards := _count(job.gres_per_node, pool_here.gres)):
                by_time = found.setdefault(pool_here.declared.name, {})
                by_time[minute] = by_time.get(minute, 0) + cards
    return {name: _told(by_time) for name, by_time in found.items()}


def is_ours(job_name: str) -> bool:
    """Whether a job of Slurm is a run of ours, by its name."""
    try:
        parse_run_name(job_name)
    except ValueError:
        return False
    return True


def _condition(
    pool: SlurmPool, node: SlurmNode, held: frozenset[int], held_by_runs: int
) -> NodeCondition:
    """Of a node that works: `held` are the cards of our runs, Slurm gives them so many."""
    cards = frozenset(range(pool.declared.cards_per_node))
    faulty = cards - frozenset(range(_count(node.gres, pool.gres)))
    drained = _matching(node.gres_drained, pool.gres)
    faulty |= _cards(cards - faulty, frozenset(), drained)
    used = _matching(node.gres_used, pool.gres)
    local = Gres(used.name, used.model, max(0, used.count - held_by_runs), used.indices)
    kept_back = _cards(cards - faulty, held, local)
    return NodeCondition(pool.declared.name, node.name, faulty, kept_back)


def _told(by_time: Mapping[float, int]) -> tuple[Release, ...]:
    found = [Release(cards, at) for at, cards in sorted(by_time.items())]
    if len(found) > RELEASES_MAX:
        late = found[RELEASES_MAX - 1 :]
        found[RELEASES_MAX - 1 :] = [Release(sum(r.cards for r in late), late[-1].ends_at)]
    return tuple(found)


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
