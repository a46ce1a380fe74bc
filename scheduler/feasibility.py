"""The hard conditions: which pools could take a demand, and every reason why others cannot.

All conditions are checked for every pool, so that all blocking reasons are known and
not only the last. A pool that fails only conditions that time may mend can hold the
job one day. Whether cards are free now is not asked here but of `capacity`. What rests on
the fleet alone is a `Prospect`, which stands from round to round; the rest is added each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.corrections import NOTHING, Past
from scheduler.estimate import Estimates, estimate, learned
from scheduler.fleet import Fleet
from scheduler.model import Demand, Hold, Policy, Site, SiteState
from scheduler.reasons import CODES, PERMANENT_COUNT, ROW, STATE_CODES, Code
from scheduler.shape import Way, ways_of
from scheduler.staging import Staging, latency_ms, stage
from scheduler.supply import Supply

_ACCELERATOR_ROWS = slice(0, ROW[Code.WRONG_ACCELERATOR] + 1)


@dataclass(frozen=True, slots=True)
class Prospect:
    """What lasts of a demand's assessment while the fleet, and what was learned, are the same."""

    demand: Demand
    past: Past  # what it was estimated by
    ways: tuple[Way, ...]
    matches: Bools  # [way, pool]: has the accelerator
    failed: Bools  # [way, condition, pool], the lasting conditions
    estimates: Estimates


@dataclass(frozen=True, slots=True)
class Assessment:
    """A demand against every pool, whatever is free: `failed[way, condition, pool]`."""

    demand: Demand
    ways: tuple[Way, ...]
    failed: Bools
    allowed: Bools  # [way, pool]: passes every condition
    estimates: Estimates
    staging: Staging

    @property
    def yuan(self) -> Floats:
        """[way, pool]: of the cards and of moving the data."""
        return self.estimates.yuan + self.staging.yuan

    def stopped_at(self) -> Ints:
        """[pool]: row of the condition that stopped the way that got furthest; len(CODES): none."""
        end = len(CODES)
        if not self.ways:
            return np.full(self.failed.shape[2], ROW[Code.WRONG_ACCELERATOR], np.int64)
        first = np.where(self.allowed, end, self.failed.argmax(axis=1))
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


def look_into(
    fleet: Fleet, demand: Demand, tenant: str, policy: Policy, past: Past = NOTHING
) -> Prospect:
    """Check every condition that rests on the fleet, of every way in every pool."""
    ways = ways_of(demand)
    figures = estimate(fleet, demand, ways, policy, past)
    failed = np.zeros((len(ways), len(CODES), len(fleet)), dtype=np.bool_)
    for code, fails in _shared_conditions(fleet, demand, tenant).items():
        failed[:, ROW[code]] = fails
    matches = np.zeros((len(ways), len(fleet)), np.bool_)
    for at, way in enumerate(ways):
        matches[at] = fleet.matching(demand.variants[way.variant].accelerator)
        _check_way(fleet, demand, way, failed[at])
    failed[:, ROW[Code.TIME_LIMIT_TOO_LONG]] = _too_long(fleet, demand, figures.run_seconds)
    failed[:, _ACCELERATOR_ROWS.stop :] &= matches[:, None]  # other reasons mean nothing there
    failed.setflags(write=False)
    return Prospect(demand, past, ways, matches, failed, figures)


def relearned(prospect: Prospect, past: Past) -> Prospect:
    """The prospect by what past runs have taught since."""
    figures, failed = learned(prospect.estimates, past), prospect.failed.copy()
    too_long = _too_long(figures.fleet, prospect.demand, figures.run_seconds)
    failed[:, ROW[Code.TIME_LIMIT_TOO_LONG]] = too_long & prospect.matches
    return replace(prospect, past=past, failed=failed, estimates=figures)


def assess(supply: Supply, prospect: Prospect, holds: HeldShapes) -> Assessment:
    """The prospect, and the conditions of this moment: data, health, and what sites refused."""
    demand, ways, failed = prospect.demand, prospect.ways, prospect.failed
    staging = stage(supply, demand)
    now = _conditions_now(supply, prospect, staging)
    if now or len(holds.pools):
        failed = failed.copy()
        for code, fails in now.items():
            failed[:, ROW[code]] = fails & prospect.matches
        for at, way in enumerate(ways if len(holds.pools) else ()):
            _check_holds(holds, way, failed[at])
    allowed = ~np.asarray(failed.any(axis=1), np.bool_)
    return Assessment(demand, ways, failed, allowed, prospect.estimates, staging)


def _conditions_now(
    supply: Supply, prospect: Prospect, staging: Staging
) -> dict[Code, Bools | bool]:
    """What may change from round to round, where it can fail at all: [way, pool] or [pool]."""
    demand = prospect.demand
    fails: dict[Code, Bools | bool] = {}
    if demand.inputs:
        unknown = any(name not in supply.datasets for name in demand.inputs)
        fails[Code.DATA_RESIDENCY] = _residency_fails(supply, demand)
        fails[Code.DATASET_UNKNOWN] = unknown
        fails[Code.DATA_UNREACHABLE] = np.isinf(staging.seconds) & (not unknown)
    if demand.yuan_max > 0:
        fails[Code.COST_TOO_HIGH] = prospect.estimates.yuan + staging.yuan > demand.yuan_max
    if (supply.usable < supply.total).any():
        cards = np.array([way.cards for way in prospect.ways], np.int64)[:, None]
        fails[Code.UNHEALTHY] = (cards > supply.usable) & (cards <= supply.total)
    return fails


def _shared_conditions(fleet: Fleet, demand: Demand, tenant: str) -> dict[Code, Bools | bool]:
    """What does not depend on the way: the site and its rules."""
    sites = (demand.sites_allowed, demand.sites_denied)
    fails: dict[Code, Bools | bool] = {
        Code.SITE_NOT_ALLOWED: ~fleet.by_site(sites, partial(_wanted, demand)),
        Code.TENANT_NOT_ALLOWED: ~fleet.by_site(("tenant", tenant), partial(_welcome, tenant)),
        Code.LATENCY_TOO_HIGH: _too_far(fleet, demand),
    }
    if demand.needs_store:
        fails[Code.STORE_MISSING] = ~fleet.by_site("store", _has_store)
    for state, code in STATE_CODES.items():
        fails[code] = fleet.by_site(state, partial(_is_in, state))
    return fails


def _too_far(fleet: Fleet, demand: Demand) -> Bools | bool:
    """Sites that answer a latency-bound job's users too late, or cannot be reached by them."""
    if demand.latency_ms_max <= 0:
        return False
    return latency_ms(fleet, demand.users_at) > demand.latency_ms_max


def _is_in(state: SiteState, site: Site) -> bool:
    return site.state is state


def _runs_images(site: Site) -> bool:
    return site.runs_images


def _has_store(site: Site) -> bool:
    return site.has_store


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


def _check_way(fleet: Fleet, demand: Demand, way: Way, failed: Bools) -> None:
    """Fill `failed[condition, pool]` with what depends on the layout."""
    variant = demand.variants[way.variant]
    matches = fleet.matching(variant.accelerator)
    known = fleet.knows(variant.accelerator)
    failed[ROW[Code.WRONG_ACCELERATOR if known else Code.UNKNOWN_ACCELERATOR]] = ~matches
    failed[ROW[Code.CPUS_TOO_FEW]] = (fleet.cpus > 0) & (variant.cpus_per_node > fleet.cpus)
    failed[ROW[Code.MEMORY_TOO_SMALL]] = (fleet.memory_gib > 0) & (
        variant.memory_gib_per_node > fleet.memory_gib
    )
    failed[ROW[Code.SOFTWARE_MISSING]] = ~fleet.having(variant.software)
    if variant.in_image:
        failed[ROW[Code.IMAGES_UNSUPPORTED]] = ~fleet.by_site("images", _runs_images)
    failed[ROW[Code.TOO_FEW_CARDS]] = way.cards > fleet.total
    failed[ROW[Code.SHAPE_UNFIT]] = _unfit(fleet, way)


def _too_long(fleet: Fleet, demand: Demand, run_seconds: Floats) -> Bools:
    """[way, pool]: longer than the site lets a job run, by its own limit or by its known work."""
    by_work = demand.time_limit_seconds <= 0 and demand.work.stated
    needs = run_seconds if by_work else np.full(run_seconds.shape, demand.time_limit_seconds)
    limit = fleet.time_limit_seconds
    return np.asarray((limit > 0) & (needs > limit))


def _unfit(fleet: Fleet, way: Way) -> Bools:
    """Pools whose nodes or supernodes could never hold the layout, even when empty."""
    if way.nodes < 1 or way.cards_per_node < 1:
        return np.ones(len(fleet), np.bool_)
    unfit = (way.cards_per_node > fleet.cards_per_node) | (way.nodes > fleet.nodes)
    if way.group:
        unfit |= ~fleet.holds_groups(way.nodes, way.group)
    return np.asarray(unfit)


def _check_holds(holds: HeldShapes, way: Way, failed: Bools) -> None:
    """A site that refused a shape a moment ago is not offered it, or a larger one, again."""
    refused = (way.nodes >= holds.nodes) & (way.cards_per_node >= holds.cards_per_node)
    pools = holds.pools[refused]
    failed[ROW[Code.HELD_OFF], pools] = ~failed[_ACCELERATOR_ROWS, pools].any(axis=0)
