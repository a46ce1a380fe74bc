"""What a placement round may know: a frozen picture of the present."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from broker.core.messages import Now
from broker.core.preempting import as_running, held_cards, may_preempt
from broker.core.quotas import entitlements
from broker.core.rows import Attempt, Job
from broker.core.transaction import Memory
from broker.core.usage import usages
from scheduler.model import (
    Accelerator,
    Dataset,
    Demand,
    Hold,
    Network,
    Pool,
    QueueClass,
    Running,
    Site,
    SiteState,
    Snapshot,
)

RUNNING_PER_SITE_MAX = 2_000


def take_snapshot(
    memory: Memory,
    now: Now,
    accelerators: tuple[Accelerator, ...],
    with_running: bool = True,
    planned: Demand | None = None,
    tenant: str = "",
    asked: str = "",
) -> Snapshot:
    """The federation, its free cards and its queue at `now`, the class `asked` in any case.

    Datasets, and what past runs taught, are those of the queue, and of the demand `planned`
    of a tenant's job that is not there.
    """
    state, limits = memory.state, memory.limits
    queue = state.queue.snapshot(
        state.jobs, state.array_live, limits.classes_per_round_max, limits.jobs_per_class_max, asked
    )
    families = dict.fromkeys((each.tenant, each.demand.family) for each in queue)
    if planned is not None:
        families[tenant, planned.family] = None
    return Snapshot(
        now=now.wall,
        accelerators=accelerators,
        sites=tuple(site_now(memory, name) for name in state.sites),
        pools=placeable_pools(memory),
        network=Network(state.network.nodes, state.network.links),
        transfers=memory.transfers.booked(state.network, now.wall),
        datasets=tuple(
            Dataset(
                row.name,
                row.size_bytes,
                tuple(replica.site for replica in row.replicas),
                row.regions_allowed,
                memory.ahead.sites_with(row),
            )
            for row in map(state.datasets.get, _named(queue, planned))
            if row is not None
        ),
        queue=queue,
        running=_running(memory, now, queue) if with_running else (),
        holds=tuple(
            Hold(pool, nodes, cards, until=now.wall + until - now.elapsed)
            for (pool, nodes, cards), until in memory.holds.items()
        ),
        entitlements=entitlements(state),
        usages=usages(state, limits, now.wall),
        learned=tuple(state.learned.of(families)),
    )


def _named(queue: tuple[QueueClass, ...], planned: Demand | None) -> dict[str, None]:
    """The datasets that somebody wants to read."""
    demands = [each.demand for each in queue] + ([planned] if planned is not None else [])
    return dict.fromkeys(name for demand in demands for name in demand.inputs)


def site_now(memory: Memory, name: str) -> Site:
    """A site's own profile with the state that the broker gives it."""
    presence = memory.presence.get(name)
    if presence is None:
        return Site(name, city="", state=SiteState.UNSEEN)
    state = presence.state(memory.state.sites[name].draining)
    return replace(presence.facts.profile, name=name, state=state)


def placeable_pools(memory: Memory) -> tuple[Pool, ...]:
    """Every pool of every present site, with the cards that may be granted now."""
    return tuple(
        use.placeable()
        for name in memory.state.sites
        if (presence := memory.presence.get(name)) is not None
        for use in presence.pools.values()
    )


def _running(memory: Memory, now: Now, queue: tuple[QueueClass, ...]) -> tuple[Running, ...]:
    """Who holds which cards until when, the sites' own jobs too, as far as that is known."""
    found: list[Running] = []

    def whole(job: Job, attempt: Attempt) -> Running:
        return as_running(memory, job, attempt, now.wall)

    # Whose they are matters only when somebody may be asked to stop: most rounds need not know.
    told = whole if may_preempt(memory.state, queue) else held_cards
    for site in memory.state.sites:
        live = islice(memory.state.live_at(site), RUNNING_PER_SITE_MAX)
        found += [told(job, attempt) for job, attempt in live if attempt.holds_cards]
    for pool in placeable_pools(memory):
        found += [Running(pool.key, given.cards, given.ends_at) for given in pool.releases]
    return tuple(found)
