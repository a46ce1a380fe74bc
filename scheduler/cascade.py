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

CANDIDATES_MAX = 8  # per explanation, the chosen ones first


def describe(supply: Supply, case: Case, suggestions: tuple[Suggestion, ...] = ()) -> Explanation:
    """Explain one class as it stands at the end of its turns; `position` is left at 0."""
    rejections = _rejections(supply, case)
    silent = _silent(supply, case)
    rejections += silent
    if not len(supply) and not silent:
        rejections.append(_rejection(Code.NO_POOLS, 0, (), "no site has offered cards yet"))
    return Explanation(
        verdict=verdict(supply, case),
        examined_pools=len(supply),
        examined_cards=int(supply.total.sum()),
        rejections=tuple(rejections),
        candidates=_candidates(supply, case),
        suggestions=suggestions,
    )


def verdict(supply: Supply, case: Case) -> Verdict:
    """In a word what the round has for the class."""
    if case.chosen:
        return Verdict.PLACED
    possible = not len(supply) or case.options.assessment.could_ever.any()
    return Verdict.WAIT if possible or _silent(supply, case) else Verdict.NEVER


def _rejections(supply: Supply, case: Case) -> list[Rejection]:
    """One per condition that costs cards or blocks a pool, in the order of the cascade.

    `cards` counts each card once, under the condition that stopped the way that got
    furthest; `pools` are all that the condition blocks, also those stopped before.
    """
    stopped = case.options.assessment.stopped_at()
    blocking = case.options.assessment.blocking(stopped)
    _block_not_free(case, blocking)
    cards = _count_out(supply, case, stopped, blocking)
    rejections: list[Rejection] = []
    for row in np.flatnonzero(blocking.any(axis=1)).tolist():
        words = detail(CODES[row], supply, case, blocking[row])
        names = tuple(supply.keys[blocking[row]].tolist())
        rejections.append(_rejection(CODES[row], int(cards[row]), names, words))
    return rejections


def _count_out(supply: Supply, case: Case, stopped: Ints, blocking: Bools) -> Ints:
    """[condition]: physical cards rejected, each at most once; marks their pools in `blocking`."""
    counted = np.bincount(stopped, supply.total, len(CODES) + 1)[: len(CODES)].astype(np.int64)
    barred = np.flatnonzero((stopped < len(CODES)) & (supply.total > 0))
    blocking[stopped[barred], barred] = True
    passed = stopped == len(CODES)
    free = np.minimum(case.standing.cards_free, supply.usable)
    guarded = np.minimum(case.standing.cards_guarded, free)
    fits = case.options.fits.any(axis=0)
    for code, cards in (
        (Code.UNHEALTHY, supply.total - supply.usable),
        (Code.RESERVED, guarded),
        (Code.NOT_FREE_NOW, supply.usable - np.where(fits, free, guarded)),
    ):
        counted[ROW[code]] += cards[passed].sum()
        blocking[ROW[code]] |= passed & (cards > 0)
    return counted


def _block_not_free(case: Case, blocking: Bools) -> None:
    """Mark what the free cards of the moment block, whatever else does."""
    failed = case.options.assessment.failed
    could = ~failed[:, ROW[Code.UNKNOWN_ACCELERATOR]]
    for code in (Code.WRONG_ACCELERATOR, Code.TOO_FEW_CARDS, Code.SHAPE_UNFIT, Code.UNHEALTHY):
        could &= ~failed[:, ROW[code]]
    missing = could & (case.options.missing_cards > 0)
    short = missing.any(axis=0) & ~(could & ~missing).any(axis=0)
    blocking[ROW[Code.NOT_FREE_NOW]] |= short
    blocking[ROW[Code.RESERVED]] |= short & (case.standing.cards_guarded > 0)


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
    variants = max(1, len(options.assessment.ways))
    ranked = options.sorted(options.fits | options.waits, CANDIDATES_MAX * variants)
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
