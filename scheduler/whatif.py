"""What would help a class that is left over: changes to its demand, each solved again.

A suggestion is stated only after the same conditions and the same free cards have
been asked for the changed demand, behind the same classes of the same round.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.case import Case
from scheduler.model import Demand, Suggestion, Variant
from scheduler.placement import PlacementRound
from scheduler.reasons import ROW, Code
from scheduler.supply import Supply
from scheduler.words import span

SUGGESTIONS_MAX = 6  # per explanation
STEPS_MAX = 4  # values that are tried of one kind
MODELS_MAX = 8  # other accelerators that are tried, those with most cards first

Change = tuple[str, Demand]


def suggest(solver: PlacementRound, case: Case) -> tuple[Suggestion, ...]:
    """At most `SUGGESTIONS_MAX` changes that were found to work, those that start now first.

    Of several steps of one kind (fewer nodes) the smallest that works. A class that
    only has to wait is told only what would start it now.
    """
    if case.options.fits.any():
        return ()
    possible = bool(case.options.assessment.could_ever.any())
    found: list[Suggestion] = []
    for steps in _families(solver.supply, case):
        solved = (_solve(solver, case, change, or_later=not possible) for change in steps)
        found += [step for step in solved if step is not None][:1]
    return tuple(sorted(found, key=lambda step: step.starts != "now")[:SUGGESTIONS_MAX])


def _solve(solver: PlacementRound, case: Case, change: Change, or_later: bool) -> Suggestion | None:
    """The changed demand on the free cards of this moment; None: it does not help."""
    words, demand = change
    options = solver.stand(solver.assess(demand, case.queued.tenant), case.queued).options
    for able, starts in ((options.fits, "now"), (options.waits, "later")):
        if able.any() and (starts == "now" or or_later):
            _, pool = options.sorted(able)[0]
            return Suggestion(words, solver.supply.pools[pool].key, starts)
    return None


def _families(supply: Supply, case: Case) -> Iterator[Iterator[Change]]:
    """Kinds of change, each as steps from small to large, by what blocks the class."""
    assessment = case.options.assessment
    demand = assessment.demand
    blocking = assessment.blocking(assessment.stopped_at())
    if blocking[ROW[Code.SITE_NOT_ALLOWED]].any():
        lifted = replace(demand, sites_allowed=(), sites_denied=())
        yield iter([("allow any site", lifted)])
    yield _higher_cost(case)
    yield _fewer_cpus(demand, _most(supply.cpus, blocking[ROW[Code.CPUS_TOO_FEW]]))
    yield _less_memory(demand, _most(supply.memory_gib, blocking[ROW[Code.MEMORY_TOO_SMALL]]))
    too_long = blocking[ROW[Code.TIME_LIMIT_TOO_LONG]]
    yield _less_time(demand, _most(supply.time_limit_seconds, too_long))
    yield _other_shapes(demand, _most(supply.cards_per_node, blocking[ROW[Code.SHAPE_UNFIT]]))
    yield _smaller_gangs(demand)
    for model in _other_models(supply, demand):
        variants = tuple(replace(variant, accelerator=model) for variant in demand.variants[:1])
        yield iter([(f"accelerator {model}", replace(demand, variants=variants))])


def _most(column: Floats | Ints, blocked: Bools) -> list[float]:
    """What the pools that a condition blocks have, the most first."""
    return sorted(set(column[blocked].tolist()), reverse=True)[:STEPS_MAX]


def _higher_cost(case: Case) -> Iterator[Change]:
    """The limit of cost that lets in the cheapest pool which nothing else keeps out."""
    failed = case.options.assessment.failed.copy()
    failed[:, ROW[Code.COST_TOO_HIGH]] = False
    yuan = case.options.yuan[~failed.any(axis=1)]
    demand = case.options.assessment.demand
    if yuan.size and 0 < demand.yuan_max < yuan.min():
        limit = math.ceil(yuan.min())
        yield f"a cost limit of {limit} yuan", replace(demand, yuan_max=float(limit))


def _fewer_cpus(demand: Demand, steps: list[float]) -> Iterator[Change]:
    for cpus in steps:
        yield f"{cpus:.0f} CPUs per node", _each(demand, partial(_at_most, cpus=int(cpus)))


def _less_memory(demand: Demand, steps: list[float]) -> Iterator[Change]:
    for gib in steps:
        yield f"{gib:g} GiB of memory per node", _each(demand, partial(_at_most, gib=gib))


def _less_time(demand: Demand, steps: list[float]) -> Iterator[Change]:
    for seconds in steps:
        yield f"a time limit of {span(seconds)}", replace(demand, time_limit_seconds=seconds)


def _other_shapes(demand: Demand, steps: list[float]) -> Iterator[Change]:
    """The same cards on other nodes, and a supernode that is preferred but not required."""
    if any(v.group_required for v in demand.variants):
        words = "a supernode group that is preferred, not required"
        yield words, _each(demand, lambda v: replace(v, group_required=False))
    for per_node in steps:
        if 0 < per_node < max((v.cards_per_node for v in demand.variants), default=0):
            split = partial(_regrouped, cards_per_node=int(per_node))
            yield f"{per_node:.0f} cards per node, more nodes", _each(demand, split)


def _regrouped(variant: Variant, cards_per_node: int) -> Variant:
    """At least as many cards on nodes of at most `cards_per_node`."""
    if variant.cards_per_node <= cards_per_node:
        return variant
    split = -(-variant.cards_per_node // cards_per_node)
    return replace(
        variant,
        nodes=variant.nodes * split,
        cards_per_node=cards_per_node,
        group_nodes=variant.group_nodes * split,
    )


def _smaller_gangs(demand: Demand) -> Iterator[Change]:
    """Half the nodes, a quarter and so on; then half the cards of the one node."""
    nodes = max((v.nodes for v in demand.variants), default=1)
    cards = max((v.cards_per_node for v in demand.variants), default=1)
    while nodes > 1 or cards > 1:
        cards = cards // 2 if nodes == 1 else cards
        nodes = max(1, nodes // 2)
        smaller = partial(_at_most, nodes=nodes, cards=cards)
        yield f"{nodes} × {cards} cards", _each(demand, smaller)


def _at_most(
    variant: Variant,
    nodes: int = sys.maxsize,
    cards: int = sys.maxsize,
    cpus: int = sys.maxsize,
    gib: float = math.inf,
) -> Variant:
    return replace(
        variant,
        nodes=min(variant.nodes, nodes),
        cards_per_node=min(variant.cards_per_node, cards),
        cpus_per_node=min(variant.cpus_per_node, cpus),
        memory_gib_per_node=min(variant.memory_gib_per_node, gib),
    )


def _other_models(supply: Supply, demand: Demand) -> list[str]:
    """Accelerators that the demand does not take, those with most cards first."""
    taken = np.zeros(len(supply), np.bool_)
    for variant in demand.variants:
        taken |= supply.matching(variant.accelerator)
    cards: Counter[str] = Counter()
    for pool in np.flatnonzero(~taken).tolist():
        cards[supply.pools[pool].accelerator] += int(supply.total[pool])
    ranked = sorted(cards, key=lambda model: (-cards[model], model))
    return ranked[:MODELS_MAX] if demand.variants else []


def _each(demand: Demand, change: Callable[[Variant], Variant]) -> Demand:
    return replace(demand, variants=tuple(change(variant) for variant in demand.variants))
