"""What a class is told: cards counted out condition by condition, and its candidates.

A by-product of the round: it reads what the decision was made from and decides
nothing. Every examined card is either rejected by exactly one condition, or left,
which means free now in a pool where the job fits.
"""

from __future__ import annotations

import numpy as np

from scheduler.arrays import Bools, Ints
from scheduler.case import Case
from scheduler.feasibility import welcomes
from scheduler.model import Candidate, Explanation, Rejection, Suggestion, Verdict
from scheduler.reasons import CODES, FIX_BY, ROW, STATE_CODES, Code
from scheduler.supply import Supply
from scheduler.words import detail, lost_because

CANDIDATES_MAX = 12  # per explanation, the chosen ones first


def describe(supply: Supply, case: Case, suggestions: tuple[Suggestion, ...] = ()) -> Explanation:
    """Explain one class as it stands at the end of its turns; `position` is left at 0."""
    rejections = _rejections(supply, case)
    silent = _silent(supply, case)
    rejections += silent
    if not len(supply) and not silent:
        rejections.append(_rejection(Code.NO_POOLS, 0, (), "no site has offered cards yet"))
    return Explanation(
        verdict=_verdict(supply, case, bool(silent)),
        examined_pools=len(supply),
        examined_cards=int(supply.total.sum()),
        rejections=tuple(rejections),
        candidates=_candidates(supply, case),
        suggestions=suggestions,
    )


def _verdict(supply: Supply, case: Case, silent: bool) -> Verdict:
    if case.chosen:
        return Verdict.PLACED
    possible = silent or not len(supply) or case.options.assessment.could_ever.any()
    return Verdict.WAIT if possible else Verdict.NEVER


def _rejections(supply: Supply, case: Case) -> list[Rejection]:
    """One per condition that costs cards or blocks a pool, in the order of the cascade.

    `cards` counts each card once, under the condition that stopped the way that got
    furthest; `pools` are all that the condition blocks, also those stopped before.
    """
    blocking = case.options.assessment.blocking() | _not_free(case)
    cards = _cards_counted_out(supply, case)
    rejections: list[Rejection] = []
    for row in np.flatnonzero(blocking.any(axis=1) | cards.any(axis=1)).tolist():
        pools = blocking[row] | (cards[row] > 0)
        words = detail(CODES[row], supply, case, pools)
        names = tuple(supply.keys[pools].tolist())
        rejections.append(_rejection(CODES[row], int(cards[row].sum()), names, words))
    return rejections


def _cards_counted_out(supply: Supply, case: Case) -> Ints:
    """[condition, pool]: physical cards rejected; each at most once."""
    stopped = case.options.assessment.stopped_at()
    counted = np.zeros((len(CODES), len(supply)), np.int64)
    barred = np.flatnonzero(stopped < len(CODES))
    counted[stopped[barred], barred] = supply.total[barred]
    passed = stopped == len(CODES)
    free = np.minimum(case.standing.cards_free, supply.usable)
    guarded = np.minimum(case.standing.cards_guarded, free)
    fits = case.options.fits.any(axis=0)
    busy = supply.usable - np.where(fits, free, guarded)
    counted[ROW[Code.UNHEALTHY]] += np.where(passed, supply.total - supply.usable, 0)
    counted[ROW[Code.RESERVED]] = np.where(passed, guarded, 0)
    counted[ROW[Code.NOT_FREE_NOW]] = np.where(passed, busy, 0)
    return counted


def _not_free(case: Case) -> Bools:
    """[condition, pool]: what the free cards of the moment block, whatever else does."""
    assessment = case.options.assessment
    blocked = np.zeros(assessment.failed.shape[1:], np.bool_)
    shape = ROW[Code.TOO_FEW_CARDS], ROW[Code.SHAPE_UNFIT], ROW[Code.UNHEALTHY]
    accelerator = ROW[Code.UNKNOWN_ACCELERATOR], ROW[Code.WRONG_ACCELERATOR]
    could = ~assessment.failed[:, [*accelerator, *shape]].any(axis=1)
    missing = could & (case.options.missing_cards > 0)
    short = missing.any(axis=0) & ~(could & ~missing).any(axis=0)
    guarded = case.standing.cards_guarded > 0
    blocked[ROW[Code.NOT_FREE_NOW]] = short
    blocked[ROW[Code.RESERVED]] = short & guarded
    return blocked


def _silent(supply: Supply, case: Case) -> list[Rejection]:
    """Sites that are not heard and whose cards nobody knows: they might hold the job."""
    demand, tenant = case.options.assessment.demand, case.queued.tenant
    unknown: dict[Code, list[str]] = {}
    for site in supply.unreported:
        if welcomes(site, demand, tenant):
            unknown.setdefault(STATE_CODES[site.state], []).append(site.name)
    return [
        _rejection(code, 0, (), f"not heard yet what these own: {', '.join(names)}")
        for code, names in unknown.items()
    ]


def _candidates(supply: Supply, case: Case) -> tuple[Candidate, ...]:
    """The chosen, then the best of the others, one for each variant in each pool."""
    options = case.options
    ranked = options.sorted(options.fits | options.waits)
    best = case.chosen or dict.fromkeys(ranked[:1])
    reference = next(iter(best), None)
    found: dict[tuple[int, int], Candidate] = {}
    for way, pool in [*case.chosen, *ranked]:
        variant = options.assessment.ways[way].variant
        if (variant, pool) in found:
            continue
        if len(found) >= CANDIDATES_MAX:
            break
        chosen = (way, pool) in case.chosen
        assert reference is not None
        found[variant, pool] = Candidate(
            pool=supply.pools[pool].key,
            variant=variant,
            score=case.chosen.get((way, pool)) or options.score(way, pool),
            chosen=chosen,
            lost_because="" if chosen else lost_because(supply, case, (way, pool), reference),
        )
    return tuple(found.values())


def _rejection(code: Code, cards: int, pools: tuple[str, ...], words: str) -> Rejection:
    return Rejection(code.value, cards, pools, FIX_BY[code], words)
