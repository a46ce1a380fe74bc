"""What a placement round may know: a frozen picture of the present."""

from __future__ import annotations

from dataclasses import replace

from broker.core.messages import Now
from broker.core.transaction import Memory
from scheduler.model import (
    Accelerator,
    Dataset,
    Hold,
    Network,
    Pool,
    Running,
    Site,
    SiteState,
    Snapshot,
)

RUNNING_PER_SITE_MAX = 2_000


def take_snapshot(
    memory: Memory, now: Now, accelerators: tuple[Accelerator, ...], with_running: bool = True
) -> Snapshot:
    """The federation, its free cards and its queue at `now`."""
    state, limits = memory.state, memory.limits
    return Snapshot(
        now=now.wall,
        accelerators=accelerators,
        sites=tuple(site_now(memory, name) for name in state.sites),
        pools=placeable_pools(memory),
        network=Network(state.network.nodes, state.network.links),
        datasets=tuple(
            Dataset(
                row.name,
                row.size_bytes,
                tuple(replica.site for replica in row.replicas),
                row.regions_allowed,
            )
            for row in state.datasets.values()
        ),
        queue=state.queue.snapshot(
            state.jobs, state.array_live, limits.classes_per_round_max, limits.jobs_per_class_max
        ),
        running=_running(memory) if with_running else (),
        holds=tuple(
            Hold(pool, nodes, cards, until=now.wall + until - now.elapsed)
            for (pool, nodes, cards), until in memory.holds.items()
        ),
        usage=tuple((tenant, float(cards)) for tenant, cards in state.cards_held.items()),
        weights=tuple((row.name, row.weight) for row in state.tenants.values()),
    )


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


def _running(memory: Memory) -> tuple[Running, ...]:
    """Who holds which cards until when, as far as that was estimated."""
    found: list[Running] = []
    for site in memory.state.sites:
        for count, (_, attempt) in enumerate(memory.state.live_at(site)):
            if count >= RUNNING_PER_SITE_MAX:
                break
            score = attempt.score
            begun = attempt.started_at or attempt.placed_at
            ends_at = begun + score.stage_seconds + score.run_seconds if score else 0.0
            found.append(Running(attempt.pool, attempt.cards, ends_at))
    return tuple(found)
