"""The hard conditions: which pools could take a demand, and every reason why others cannot.

All conditions are checked for every pool, so that all blocking reasons are known and
not only the last. A pool that fails only conditions that time may mend can hold the
job one day. Whether cards are free now is not asked here but of `capacity`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from scheduler.arrays import Bools, Ints
from scheduler.estimate import Estimate, estimate
from scheduler.model import Demand, Hold, Policy, Site, SiteState
from scheduler.reasons import CODES, PERMANENT_COUNT, ROW, STATE_CODES, Code
from scheduler.shape import Way, ways_of
from scheduler.staging import Staging, latency_ms, stage
from scheduler.supply import Supply

_ACCELERATOR_ROWS = slice(0, ROW[Code.WRONG_ACCELERATOR] + 1)


@dataclass(frozen=True, slots=True)
class Assessment:
    """A demand against every pool, whatever is free: `failed[way, condition, pool]`."""

    demand: Demand
    ways: tuple[Way, ...]
    failed: Bools
    estimates: tuple[Estimate, ...]  # by way
    staging: Staging

    @property
    def allowed(self) -> Bools:
        """[way, pool]: passes every condition."""
        return ~np.asarray(self.failed.any(axis=1), np.bool_)

    def stopped_at(self) -> Ints:
        """[pool]: row of the condition that stopped the way that got furthest; len(CODES): none."""
        end = len(CODES)
        if not self.ways:
            return np.full(self.failed.shape[2], ROW[Code.WRONG_ACCELERATOR], np.int64)
        first = np.where(self.failed.any(axis=1), self.failed.argmax(axis=1), end)
        return np.asarray(first.max(axis=0), dtype=np.int64)

    def blocking(self, stopped: Ints) -> Bools:
        """[condition, pool]: stops some way whose accelerator the pool has; without any, that.

        `stopped` is `stopped_at()`, which whoever asks for both has already.
        """
        needed = [at for at, way in enumerate(self.ways) if not way.wished]
        reasons = np.asarray(self.failed[needed].any(axis=0), np.bool_)
        matched = ~self.failed[:, _ACCELERATOR_ROWS].any(axis=1)
        reasons[_ACCELERATOR_ROWS] &= ~matched.any(axis=0)
        reasons[ROW[Code.WRONG_ACCELERATOR]] |= not self.ways
        return reasons & (stopped < len(CODES))

    @property
    def could_ever(self) -> Bools:
        """[pool]: some way fails nothing that only a change of the rules could mend."""
        permanent = self.failed[:, :PERMANENT_COUNT].any(axis=1)
        return ~np.asarray(permanent.all(axis=0), np.bool_)


@dataclass(frozen=True, slots=True)
class HeldShapes:
    """The shapes that sites refused a moment ago, as columns."""

    pools: Ints
    nodes: Ints
    cards_per_node: Ints

    @classmethod
    def of(cls, supply: Supply, holds: tuple[Hold, ...], now: float) -> HeldShapes:
        """The holds that are in force at `now` (wall seconds) in pools that are there."""
        rows = [
            (supply.index[hold.pool], hold.nodes, hold.cards_per_node)
            for hold in holds
            if hold.until > now and hold.pool in supply.index
        ]
        columns = np.array(rows, np.int64).reshape(len(rows), 3).T
        return cls(columns[0], columns[1], columns[2])


def assess(
    supply: Supply, demand: Demand, tenant: str, policy: Policy, holds: HeldShapes
) -> Assessment:
    """Check every condition of every way in every pool."""
    ways, staging = ways_of(demand), stage(supply, demand)
    failed = np.zeros((len(ways), len(CODES), len(supply)), dtype=np.bool_)
    for code, fails in _shared_conditions(supply, demand, tenant, staging).items():
        failed[:, ROW[code]] = fails
    by_variant = [
        estimate(supply, demand, variant, staging, policy, tenant) for variant in demand.variants
    ]
    estimates = tuple(by_variant[way.variant].slowed(way.slowdown) for way in ways)
    for at, (way, figures) in enumerate(zip(ways, estimates, strict=True)):
        _check_way(supply, demand, way, figures, failed[at])
        _check_holds(holds, way, failed[at])
    return Assessment(demand, ways, failed, estimates, staging)


def _shared_conditions(
    supply: Supply, demand: Demand, tenant: str, staging: Staging
) -> dict[Code, Bools | bool]:
    """What does not depend on the way: the site, its rules and the data."""
    sites = (demand.sites_allowed, demand.sites_denied)
    fails: dict[Code, Bools | bool] = {
        Code.SITE_NOT_ALLOWED: ~supply.by_site(sites, partial(_wanted, demand)),
        Code.TENANT_NOT_ALLOWED: ~supply.by_site(("tenant", tenant), partial(_welcome, tenant)),
        Code.DATA_RESIDENCY: _residency_fails(supply, demand),
        Code.LATENCY_TOO_HIGH: _too_far(supply, demand),
        Code.DATASET_UNKNOWN: any(name not in supply.datasets for name in demand.inputs),
    }
    if not fails[Code.DATASET_UNKNOWN]:
        fails[Code.DATA_UNREACHABLE] = np.isinf(staging.seconds)
    for state, code in STATE_CODES.items():
        fails[code] = supply.by_site(state, partial(_is_in, state))
    return fails


def _too_far(supply: Supply, demand: Demand) -> Bools | bool:
    """Sites that answer a latency-bound job's users too late, or cannot be reached by them."""
    if demand.latency_ms_max <= 0:
        return False
    return latency_ms(supply, demand.users_at) > demand.latency_ms_max


def _is_in(state: SiteState, site: Site) -> bool:
    return site.state is state


def _wanted(demand: Demand, site: Site) -> bool:
    allowed = not demand.sites_allowed or site.name in demand.sites_allowed
    return allowed and site.name not in demand.sites_denied


def _welcome(tenant: str, site: Site) -> bool:
    allowed = not site.tenants_allowed or tenant in site.tenants_allowed
    return allowed and tenant not in site.tenants_denied


def _lies_in(regions: tuple[str, ...], site: Site) -> bool:
    return site.region in regions


def welcomes(site: Site, demand: Demand, tenant: str) -> bool:
    """Whether the job may go to the site and the site takes the tenant's jobs at all."""
    return _wanted(demand, site) and _welcome(tenant, site)


def _residency_fails(supply: Supply, demand: Demand) -> Bools:
    """Pools outside the regions that some input may not leave."""
    fails = np.zeros(len(supply), np.bool_)
    for name in demand.inputs:
        dataset = supply.datasets.get(name)
        regions = dataset.regions_allowed if dataset else ()
        if regions:
            fails = fails | ~supply.by_site(("regions", regions), partial(_lies_in, regions))
    return fails


def _check_way(supply: Supply, demand: Demand, way: Way, figures: Estimate, failed: Bools) -> None:
    """Fill `failed[condition, pool]` with what depends on the layout."""
    variant = demand.variants[way.variant]
    matches = supply.matching(variant.accelerator)
    known = supply.knows(variant.accelerator)
    failed[ROW[Code.WRONG_ACCELERATOR if known else Code.UNKNOWN_ACCELERATOR]] = ~matches
    failed[ROW[Code.TIME_LIMIT_TOO_LONG]] = _too_long(supply, demand, figures)
    failed[ROW[Code.CPUS_TOO_FEW]] = (supply.cpus > 0) & (variant.cpus_per_node > supply.cpus)
    failed[ROW[Code.MEMORY_TOO_SMALL]] = (supply.memory_gib > 0) & (
        variant.memory_gib_per_node > supply.memory_gib
    )
    failed[ROW[Code.SOFTWARE_MISSING]] = ~supply.having(variant.software)
    failed[ROW[Code.TOO_FEW_CARDS]] = way.cards > supply.total
    failed[ROW[Code.SHAPE_UNFIT]] = _unfit(supply, way)
    if demand.yuan_max > 0:
        failed[ROW[Code.COST_TOO_HIGH]] = figures.yuan > demand.yuan_max
    failed[ROW[Code.UNHEALTHY]] = (way.cards > supply.usable) & (way.cards <= supply.total)
    failed[ROW[Code.WRONG_ACCELERATOR] + 1 :] &= matches  # other reasons there mean nothing


def _too_long(supply: Supply, demand: Demand, figures: Estimate) -> Bools:
    """Longer than the site lets a job run: by its own limit, or by its known work."""
    needs = np.full(len(supply), demand.time_limit_seconds)
    if demand.time_limit_seconds <= 0 and demand.work.stated:
        needs = figures.run_seconds
    limit = supply.time_limit_seconds
    return np.asarray((limit > 0) & (needs > limit))


def _unfit(supply: Supply, way: Way) -> Bools:
    """Pools whose nodes or supernodes could never hold the layout, even when empty."""
    if way.nodes < 1 or way.cards_per_node < 1:
        return np.ones(len(supply), np.bool_)
    unfit = (way.cards_per_node > supply.cards_per_node) | (way.nodes > supply.nodes)
    if way.group:
        unfit |= ~supply.holds_groups(way.nodes, way.group)
    return np.asarray(unfit)


def _check_holds(holds: HeldShapes, way: Way, failed: Bools) -> None:
    """A site that refused a shape a moment ago is not offered it, or a larger one, again."""
    refused = (way.nodes >= holds.nodes) & (way.cards_per_node >= holds.cards_per_node)
    pools = holds.pools[refused]
    failed[ROW[Code.HELD_OFF], pools] = ~failed[_ACCELERATOR_ROWS, pools].any(axis=0)
