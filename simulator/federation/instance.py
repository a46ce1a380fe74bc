"""From a federation and a completed trace to the arrays of the replay.

Run times come from the families' factors, staging from the routes of the network: each
dataset from its nearest copy. Residency and the sites' lists of tenants close pools.
"""

from __future__ import annotations

import numpy as np

from scheduler.model import Dataset, Site
from scheduler.network import Routes
from simulator.federation.model import Federation
from simulator.federation.synthesis import Workload
from simulator.replay.instance import Bools, Floats, Instance, Pools


def pools_of(federation: Federation) -> Pools:
    """The federation's pools as card counts."""
    kinds = tuple(dict.fromkeys(pool.accelerator for pool in federation.pools))
    return Pools(
        names=tuple(pool.key for pool in federation.pools),
        kinds=kinds,
        kind=np.array([kinds.index(pool.accelerator) for pool in federation.pools], np.int64),
        cards=np.array([pool.cards_usable for pool in federation.pools], np.int64),
        yuan_per_card_hour=np.array([pool.yuan_per_card_hour for pool in federation.pools]),
    )


def instance(federation: Federation, workload: Workload) -> Instance:
    """The instance; a job that no pool could hold stays in it and can never finish."""
    pools, jobs = pools_of(federation), workload.jobs
    slowdown = np.full((len(workload.families), len(pools.kinds)), np.inf)
    index = {kind: at for at, kind in enumerate(pools.kinds)}
    for row, family in enumerate(workload.families):
        for model, factor in family.slowdown:
            slowdown[row, index[model]] = factor
    run = np.array([max(job.run_seconds, 1e-3) for job in jobs])  # inf x 0 would be NaN
    stage = stage_seconds(federation, workload.datasets)[workload.dataset]
    stage[~_welcome(federation, workload)[workload.tenant]] = np.inf
    return Instance.of(
        pools,
        np.array([job.submit_seconds for job in jobs]),
        np.array([job.cards for job in jobs], np.int64),
        run[:, None] * slowdown[workload.family],
        stage,
        workload.tenant,
        workload.tenants,
        tuple(job.name for job in jobs),
    )


def stage_seconds(federation: Federation, datasets: tuple[Dataset, ...]) -> Floats:
    """[dataset, pool]: seconds from the nearest copy; inf: no way, or residency forbids it."""
    routes = Routes(federation.network)
    sites = {site.name: site for site in federation.sites}
    where = [sites[pool.site] for pool in federation.pools]
    found = np.full((len(datasets), len(where)), np.inf)
    for row, dataset in enumerate(datasets):
        for home in dataset.replicas:
            found[row] = np.minimum(found[row], _from(routes, sites[home], where, dataset))
        if dataset.regions_allowed:
            outside = [site.region not in dataset.regions_allowed for site in where]
            found[row, outside] = np.inf
    return found


def _from(routes: Routes, home: Site, where: list[Site], dataset: Dataset) -> Floats:
    seconds, _ = routes.transfers(home.city, dataset.size_bytes)
    known = np.append(seconds, np.inf)
    there = known[[routes.index.get(site.city, -1) for site in where]]
    here = np.array([site.name == home.name for site in where])
    return np.where(here, 0.0, there)


def _welcome(federation: Federation, workload: Workload) -> Bools:
    """[tenant, pool]: the site takes the tenant's jobs."""
    sites = {site.name: site for site in federation.sites}
    where = [sites[pool.site] for pool in federation.pools]
    return np.array(
        [
            [
                (not site.tenants_allowed or tenant in site.tenants_allowed)
                and tenant not in site.tenants_denied
                for site in where
            ]
            for tenant in workload.tenants
        ],
        np.bool_,
    ).reshape(len(workload.tenants), len(where))
