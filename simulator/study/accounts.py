"""What a replay cost and where: energy, money, bytes, and each site's use.

    utilisation = card-hours of runs / (cards x makespan)
    absorption  = card-hours held by jobs / (card-hours while the site was there), which is
                  "card-hours delivered to federation jobs / card-hours offered"
    kWh         = card-hours of runs x watts of a card x PUE;  CNY = card-hours held x price,
                  and the price of the bytes moved

Runs that were lost or stopped count as held, not as runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scheduler.model import Dataset
from scheduler.network import Routes
from simulator.replay import Outcome
from simulator.replay.instance import Floats, Ints
from simulator.study.world import World

HOUR = 3600.0
Ends = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SiteUse:
    """One site over the whole replay."""

    cards: int
    jobs: int
    utilisation: float
    absorption: float
    kwh: float
    yuan: float


@dataclass(frozen=True, slots=True)
class Accounts:
    """Totals, and by site and link."""

    sites: dict[str, SiteUse]
    bytes_moved: int
    bytes_by_link: dict[Ends, int]
    kwh: float
    yuan: float


def account(world: World, outcome: Outcome) -> Accounts:
    """The accounts of one policy's replay; links as the network was before anything was cut."""
    federation, known = world.federation, world.instance.known
    done = np.flatnonzero(np.isfinite(outcome.ended_seconds))
    pool, cards = outcome.pool[done], known.cards[done]
    run = world.instance.run_seconds[done, known.pools.kind[pool]] * cards / HOUR
    held = (outcome.ended_seconds - outcome.started_seconds)[done] * cards / HOUR
    models = {each.model: each.power_watts for each in federation.accelerators}
    pue = {site.name: site.pue for site in federation.sites}
    watts = np.array([models[each.accelerator] * pue[each.site] for each in federation.pools])
    count = len(federation.pools)
    run_hours: Floats = np.bincount(pool, run, minlength=count).astype(np.float64)
    held_hours: Floats = np.bincount(pool, held, minlength=count).astype(np.float64)
    if outcome.lost_card_seconds is not None:
        held_hours = held_hours + outcome.lost_card_seconds / HOUR
    moved = _Moves(world, done, pool)
    makespan = float(outcome.ended_seconds[done].max()) if len(done) else 0.0
    pool_kwh = run_hours * watts / 1000.0
    pool_yuan = held_hours * known.pools.yuan_per_card_hour
    jobs = np.bincount(pool, minlength=count)
    return Accounts(
        sites=_by_site(world, jobs, run_hours, held_hours, pool_kwh, pool_yuan, makespan),
        bytes_moved=moved.bytes_moved,
        bytes_by_link=moved.by_link,
        kwh=float(pool_kwh.sum()),
        yuan=float(pool_yuan.sum()) + moved.yuan,
    )


def _by_site(
    world: World,
    jobs: Ints,
    run_hours: Floats,
    held_hours: Floats,
    kwh: Floats,
    yuan: Floats,
    makespan: float,
) -> dict[str, SiteUse]:
    uses = {}
    for site in world.federation.sites:
        own = [at for at, pool in enumerate(world.federation.pools) if pool.site == site.name]
        cards = int(world.instance.known.pools.cards[own].sum())
        whole = cards * makespan / HOUR
        offered = whole - cards * _away_seconds(world, site.name, makespan) / HOUR
        uses[site.name] = SiteUse(
            cards=cards,
            jobs=int(jobs[own].sum()),
            utilisation=float(run_hours[own].sum()) / whole if whole else 0.0,
            absorption=float(held_hours[own].sum()) / offered if offered > 0 else 0.0,
            kwh=float(kwh[own].sum()),
            yuan=float(yuan[own].sum()),
        )
    return uses


def _away_seconds(world: World, site: str, makespan: float) -> float:
    """How long the site was away; absences of one site that overlap count once."""
    away, reached = 0.0, 0.0
    spans = [(o.from_seconds, o.until_seconds) for o in world.federation.outages if o.site == site]
    for begin, end in sorted(spans):
        begin, end = max(begin, reached), min(end, makespan)
        away += max(0.0, end - begin)
        reached = max(reached, end)
    return away


class _Moves:
    """What was staged: each job that finished brought its dataset, unless it lay there."""

    def __init__(self, world: World, done: Ints, pool: Ints) -> None:
        self._routes = Routes(world.federation.network)
        self._city: Mapping[str, str] = {site.name: site.city for site in world.federation.sites}
        self.bytes_moved, self.yuan = 0, 0.0
        self.by_link: dict[Ends, int] = {}
        pairs = np.stack([world.workload.dataset[done], pool])
        for (dataset, at), times in zip(*_counted(pairs), strict=True):
            site = world.federation.pools[at].site
            self._move(world.workload.datasets[dataset], site, int(times))

    def _move(self, dataset: Dataset, site: str, times: int) -> None:
        if site in dataset.replicas or not dataset.replicas:
            return
        size, here = dataset.size_bytes, self._city[site]
        homes = [self._city[home] for home in sorted(dataset.replicas)]
        home = min(homes, key=lambda city: self._routes.transfer_seconds(city, here, size))
        path = self._routes.route(home, here, size)
        self.bytes_moved += size * times
        self.yuan += self._routes.transfer_yuan(home, here, size) * times
        for a, b in pairwise(path):
            ends = (min(a, b), max(a, b))
            self.by_link[ends] = self.by_link.get(ends, 0) + size * times


def _counted(pairs: Ints) -> tuple[list[tuple[int, int]], list[int]]:
    """The different columns of `pairs` and how often each stands there."""
    if not pairs.shape[1]:
        return [], []
    columns, times = np.unique(pairs, axis=1, return_counts=True)
    return [(int(a), int(b)) for a, b in columns.T], times.tolist()
