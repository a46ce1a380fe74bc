"""A round in parts: pools that no class can choose between are decided apart.

Models of accelerators that one class may choose between belong together, and so do all
models that a tenant with a quota asks for. What is left apart shares no pool, no class
and no quota, so parts can be decided at the same time on different machines, and their
union is never over capacity: no gang is split, nobody loses a choice, and what is
reserved for a wide gang is respected by all who could take it. Only the fair shares of
one part do not see what the others give away in the same round; the next round does.
Where everything hangs together there is one part. Knows snapshots and rounds, not who
decides them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from scheduler.matching import Matching
from scheduler.model import (
    Policy,
    Pool,
    QueueClass,
    Round,
    Scarcity,
    Site,
    SiteState,
    Snapshot,
)

PAIRS_MIN = 500_000  # classes × pools: a smaller round is faster in one piece


def split(snapshot: Snapshot, parts_max: int) -> tuple[Snapshot, ...]:
    """At most `parts_max` snapshots that can be decided apart, about alike in work.

    Each has the pools and the classes of its models, and everything else whole. Classes
    that no pool matches go with the first part.
    """
    together = _Together()
    models = sorted({pool.accelerator for pool in snapshot.pools})
    matching = Matching(models, snapshot.accelerators)
    limited = {each.tenant for each in snapshot.entitlements if each.quotas}
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for queued in snapshot.queue:
        wanted = matching.models(queued.demand)
        together.join(wanted)
        if queued.tenant in limited:
            by_tenant[queued.tenant] += wanted
    for wanted in by_tenant.values():
        together.join(wanted)
    part_of = _dealt(snapshot, models, together, matching, parts_max)
    pools: dict[int, list[Pool]] = defaultdict(list)
    queues: dict[int, list[QueueClass]] = defaultdict(list)
    for pool in snapshot.pools:
        pools[part_of[pool.accelerator]].append(pool)
    for queued in snapshot.queue:
        wanted = matching.models(queued.demand)
        queues[part_of[wanted[0]] if wanted else 0].append(queued)
    parts = [
        replace(
            snapshot,
            sites=_sites_for(snapshot, {pool.site for pool in pools[part]}),
            pools=tuple(pools[part]),
            queue=tuple(queues[part]),
        )
        for part in sorted({*pools, *queues})
        if queues[part]
    ]
    return tuple(parts) or (snapshot,)


def policy_for(policy: Policy, parts: int) -> Policy:
    """The policy of one of `parts`, so that all together keep to the limits of a round."""
    return replace(
        policy,
        placements_max=max(1, policy.placements_max // parts),
        victims_max=policy.victims_max // parts,
    )


def merge(rounds: tuple[Round, ...]) -> Round:
    """The round of all parts. Raises ValueError where two of them gave from one pool.

    A class's position counts the jobs ahead of it in its own part: nobody else is in its
    way. Parts share nothing, so their certified bounds add up to one of the whole.
    """
    giver: dict[str, int] = {}
    for number, one in enumerate(rounds):
        for placement in one.placements:
            if giver.setdefault(placement.pool, number) != number:
                raise ValueError(f"two parts of a round gave cards of pool {placement.pool}")
    return Round(
        placements=tuple(each for one in rounds for each in one.placements),
        explanations=tuple(each for one in rounds for each in one.explanations),
        prestagings=tuple(each for one in rounds for each in one.prestagings),
        preemptions=tuple(each for one in rounds for each in one.preemptions),
        scarcity=Scarcity(
            max((one.scarcity.at for one in rounds), default=0.0),
            tuple(
                sorted(
                    (each for one in rounds for each in one.scarcity.models),
                    key=lambda each: each.model,
                )
            ),
        ),
        worth=sum(one.worth for one in rounds),
        worth_bound=sum(one.worth_bound for one in rounds),
    )


def _sites_for(snapshot: Snapshot, own: set[str]) -> tuple[Site, ...]:
    """All sites, for their data; one that has its pools in other parts is not silent here."""
    elsewhere = {pool.site for pool in snapshot.pools} - own
    return tuple(
        replace(site, state=SiteState.OPEN) if site.name in elsewhere else site
        for site in snapshot.sites
    )


def _dealt(
    snapshot: Snapshot,
    models: list[str],
    together: _Together,
    matching: Matching,
    parts_max: int,
) -> dict[str, int]:
    """The part of every model: groups of models, the most work first, to the idlest part."""
    pools: dict[str, int] = defaultdict(int)
    classes: dict[str, int] = defaultdict(int)
    for pool in snapshot.pools:
        pools[together.root(pool.accelerator)] += 1
    for queued in snapshot.queue:
        if wanted := matching.models(queued.demand):
            classes[together.root(wanted[0])] += 1
    work = {root: pools[root] * (1 + classes[root]) for root in pools}
    loads = [0] * max(1, parts_max)
    part_of_root: dict[str, int] = {}
    for root in sorted(work, key=lambda root: (-work[root], root)):
        part = min(range(len(loads)), key=loads.__getitem__)
        part_of_root[root] = part
        loads[part] += work[root]
    return {model: part_of_root[together.root(model)] for model in models}


class _Together:
    """Names that belong together, as a forest of links to a representative."""

    def __init__(self) -> None:
        self._link: dict[str, str] = {}

    def root(self, name: str) -> str:
        while (above := self._link.get(name, name)) != name:
            name = above
        return name

    def join(self, names: list[str]) -> None:
        """All of `names` belong together, and whatever each belonged to."""
        roots = sorted({self.root(name) for name in names})
        for root in roots[1:]:
            self._link[root] = roots[0]
