"""The short English phrases of explanations, with figures and units.

Codes are for programs, these are for people: they may be reworded at any time.
"""

from __future__ import annotations

import math

import numpy as np

from scheduler.arrays import Bools
from scheduler.case import Case
from scheduler.model import Demand, Variant
from scheduler.network import Unreachable
from scheduler.reasons import Code
from scheduler.scoring import Options
from scheduler.staging import latency_ms
from scheduler.supply import Supply

NAMES_MAX = 4  # names listed in one phrase


def span(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if not math.isfinite(seconds):
        return "an unknown time"
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def shape(variant: Variant) -> str:
    """The gang of a variant: nodes, cards, and what must stay together."""
    words = f"{variant.nodes} × {variant.cards_per_node} cards"
    if variant.group_required and variant.group_nodes > 1:
        words += f", {min(variant.group_nodes, variant.nodes)} nodes in one supernode"
    return words


def detail(code: Code, supply: Supply, case: Case, pools: Bools) -> str:
    """What is needed and what the `pools` that a condition blocks have."""
    demand = case.options.assessment.demand
    if code in (Code.TOO_FEW_CARDS, Code.SHAPE_UNFIT, Code.NOT_FREE_NOW, Code.UNHEALTHY):
        return _cards_detail(code, supply, case, pools)
    if code is Code.COST_TOO_HIGH:
        cheapest = case.options.yuan[:, pools].min()
        return f"limit {demand.yuan_max:.2f} yuan, from {cheapest:.2f} here"
    return _demand_detail(code, supply, demand, pools)


def _cards_detail(code: Code, supply: Supply, case: Case, pools: Bools) -> str:
    variants = case.options.assessment.demand.variants
    wanted = " or ".join(dict.fromkeys(shape(variant) for variant in variants[:NAMES_MAX]))
    if code is Code.TOO_FEW_CARDS:
        return f"needs {wanted}; the largest has {supply.total[pools].max()} cards in all"
    if code is Code.SHAPE_UNFIT:
        per_node, nodes = supply.cards_per_node[pools].max(), supply.nodes[pools].max()
        return f"needs {wanted}; at most {nodes} nodes of {per_node} cards here"
    if code is Code.UNHEALTHY:
        unusable = (supply.total - supply.usable)[pools].sum()
        return f"{unusable} cards faulty or kept back by the site"
    free = case.standing.cards_free[pools].max()
    return f"needs {wanted} together; at most {free} cards free in one pool"


def _demand_detail(code: Code, supply: Supply, demand: Demand, pools: Bools) -> str:
    if code is Code.UNKNOWN_ACCELERATOR:
        wanted = [str(v.accelerator) for v in demand.variants if not supply.knows(v.accelerator)]
        return f"no such model in the catalogue or at any site: {_listed(wanted)}"
    if code is Code.WRONG_ACCELERATOR:
        here = [model for model, at in supply.by_model().items() if pools[at].any()]
        return f"not in your list: {_listed(here)}"
    if code is Code.CPUS_TOO_FEW:
        needs = min(v.cpus_per_node for v in demand.variants)
        return f"needs {needs} CPUs per node, at most {supply.cpus[pools].max()} here"
    if code is Code.MEMORY_TOO_SMALL:
        least = min(v.memory_gib_per_node for v in demand.variants)
        return f"needs {least:g} GiB per node, at most {supply.memory_gib[pools].max():g} here"
    if code is Code.SOFTWARE_MISSING:
        stacks = [v.software for v in demand.variants if v.software]
        here = [stack for at in np.flatnonzero(pools) for stack in supply.pools[at].software]
        return f"needs {_listed(stacks)}; here {_listed(here)}"
    if code is Code.TIME_LIMIT_TOO_LONG:
        longest = span(float(supply.time_limit_seconds[pools].max()))
        return f"wants {span(demand.time_limit_seconds)}, jobs may run {longest} here"
    if code is Code.DATA_RESIDENCY:
        bound = [n for n in demand.inputs if n in supply.datasets]
        kept = [n for n in bound if supply.datasets[n].regions_allowed]
        return f"may not leave its region: {_listed(kept)}"
    if code is Code.LATENCY_TOO_HIGH:
        return _too_far(supply, demand, pools)
    if code is Code.DATASET_UNKNOWN:
        return f"not registered: {_listed([n for n in demand.inputs if n not in supply.datasets])}"
    if code is Code.DATA_UNREACHABLE:
        return _no_way(supply, demand, pools)
    return _PLAIN.get(code, "")


def _too_far(supply: Supply, demand: Demand, pools: Bools) -> str:
    nearest = float(latency_ms(supply, demand.users_at)[pools].min())
    if math.isinf(nearest):
        return f"no way from {demand.users_at or 'nowhere'} in the network"
    return f"limit {demand.latency_ms_max:g} ms from {demand.users_at}, from {nearest:.1f} ms here"


def _no_way(supply: Supply, demand: Demand, pools: Bools) -> str:
    """Which input cannot come, and why not to the first of the pools."""
    target = supply.sites[supply.site_of[np.flatnonzero(pools)[0]]].city
    for name in demand.inputs:
        homes = supply.datasets[name].replicas
        if not homes:
            return f"no site has a copy of {name}"
        causes = [supply.routes.unreachable(supply.city_of(home), target) for home in homes]
        if all(causes):
            city = supply.city_of(homes[0]) or homes[0]
            if causes[0] is Unreachable.CITY_UNKNOWN:
                return f"{name}: {city} or {target} is no node of the network"
            return f"{name}: no link that is up leads from {city} to {target}"
    return "no route from any replica of the data"


_PLAIN: dict[Code, str] = {
    Code.SITE_NOT_ALLOWED: "your job names other sites",
    Code.TENANT_NOT_ALLOWED: "the site does not admit your organisation",
    Code.IMAGES_UNSUPPORTED: "the site runs jobs natively, not in container images",
    Code.STORE_MISSING: "the site has no store for the datasets that your job writes",
    Code.SITE_PAUSED: "paused by the site itself",
    Code.SITE_DRAINING: "draining for maintenance",
    Code.SITE_SUSPECT: "not heard for a while",
    Code.SITE_LOST: "not heard for longer than its leases",
    Code.SITE_UNSEEN: "not heard since the broker started",
    Code.QUOTA_TOO_SMALL: "one gang is more than your quota ever allows",
    Code.QUOTA_EXHAUSTED: "your quota for these cards is used up",
    Code.HELD_OFF: "the site refused this shape a moment ago",
    Code.RESERVED: "kept for a gang ahead of you; only short jobs may start there",
}


def lost_because(
    supply: Supply, case: Case, lost: tuple[int, int], reference: tuple[int, int]
) -> str:
    """The first reason why one candidate was not taken: it is busy, or `reference` is better."""
    options, better = case.options, supply.pools[reference[1]].key
    if options.waits[lost]:
        wait = span(float(options.wait_seconds[lost]))
        return f"busy, free in about {wait}" if options.known[lost] else "busy, until when unknown"
    if options.waits[reference] and not case.chosen:
        gain = _seconds_later(options, lost, reference)
        if gain > 0:
            return f"free, but the job ends {span(gain)} earlier by waiting for {better}"
        return f"free, but {_scarce(supply, lost)} and better kept for others than {better}"
    if not case.chosen:
        return "free, but this round's limit of placements was reached"
    for name, column, unit in (
        ("cost", options.yuan, "yuan"),
        ("energy", options.kwh, "kWh"),
    ):
        if options.first_preference == name and column[lost] > column[reference]:
            return f"{column[lost] - column[reference]:.2f} {unit} more than {better}"
    later = _seconds_later(options, lost, reference)
    if later > 0:
        return f"ends {span(later)} later than {better}"
    if options.scarcity_seconds[lost] > options.scarcity_seconds[reference]:
        return f"{_scarce(supply, lost)} and better kept for others than {better}"
    return f"no better than {better}"


def _seconds_later(options: Options, one: tuple[int, int], other: tuple[int, int]) -> float:
    """By how much the job would end later at one than at the other."""
    finish = options.wait_seconds + options.duration_seconds
    return float(finish[one] - finish[other])


def _scarce(supply: Supply, lost: tuple[int, int]) -> str:
    return f"{supply.pools[lost[1]].accelerator} is scarce"


def _listed(names: list[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - NAMES_MAX} more" if len(distinct) > NAMES_MAX else ""
    return ", ".join(distinct[:NAMES_MAX]) + more
