"""Small random instances, and their optimum by trying everything."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np

from simulator.replay import Instance, Pools


def random_instance(
    seed: int, jobs: int, pools: int = 2, kinds: int = 2, late: float = 12.0
) -> Instance:
    """Integer times, gangs of 1 to 4 cards, pools of 2 to 5; some jobs cannot run on some kinds."""
    random = np.random.default_rng(seed)
    cards = random.integers(2, 6, pools)
    kind = np.arange(pools) % kinds
    width = random.integers(1, 5, jobs)
    run = random.integers(1, 20, (jobs, kinds)).astype(float)
    banned = random.random((jobs, kinds)) < 0.15
    banned[np.arange(jobs), random.integers(0, kinds, jobs)] = False
    run[banned] = np.inf
    submit = np.sort(random.integers(0, int(late) + 1, jobs)).astype(float)
    submit -= submit[0]
    return Instance.of(
        Pools(tuple(f"p{at}" for at in range(pools)), tuple(f"k{at}" for at in range(kinds)),
              kind, cards, np.ones(pools)),
        submit,
        np.minimum(width, cards.max()),
        run,
        random.integers(0, 4, (jobs, pools)).astype(float),
    )  # fmt: skip


def optimum(instance: Instance) -> tuple[float, float]:
    """Least sum of completion times and least makespan over all schedules of feasible jobs.

    For both objectives some active schedule is best, and inserting the jobs one by one as
    early as they fit, in every order and every pool, makes all active schedules.
    """
    known = instance.known
    jobs = np.flatnonzero(instance.feasible).tolist()
    count = len(known.pools)

    @cache
    def best(pool: int, chosen: frozenset[int]) -> tuple[float, float]:
        allowed = known.allowed[:, pool]
        if not all(allowed[job] for job in chosen):
            return math.inf, math.inf
        found = [inserted(instance, pool, order) for order in itertools.permutations(chosen)]
        total = min(sum(e - known.submit_seconds[j] for j, e in ends.items()) for ends in found)
        return float(total), min(max(ends.values(), default=0.0) for ends in found)

    total = makespan = math.inf
    for places in itertools.product(range(count), repeat=len(jobs)):
        parts = [
            best(pool, frozenset(job for job, at in zip(jobs, places, strict=True) if at == pool))
            for pool in range(count)
        ]
        total = min(total, sum(part[0] for part in parts))
        makespan = min(makespan, max(part[1] for part in parts))
    return total, makespan


def inserted(instance: Instance, pool: int, order: tuple[int, ...]) -> dict[int, float]:
    """Ends of jobs put into a pool one by one, each as early as it fits."""
    known = instance.known
    size, kind = int(known.pools.cards[pool]), int(known.pools.kind[pool])
    placed: list[tuple[float, float, int]] = []
    ends: dict[int, float] = {}
    for job in order:
        cards, run = int(known.cards[job]), float(instance.run_seconds[job, kind])
        ready = float(known.submit_seconds[job] + known.stage_seconds[job, pool])
        starts = sorted({ready, *(end for _, end, _ in placed if end > ready)})
        start = next(s for s in starts if fits(placed, s, s + run, cards, size))
        placed.append((start, start + run, cards))
        ends[job] = start + run
    return ends


def fits(
    placed: list[tuple[float, float, int]], start: float, end: float, cards: int, size: int
) -> bool:
    moments = [start, *(begin for begin, _, _ in placed if start < begin < end)]
    return all(
        cards + sum(held for begin, until, held in placed if begin <= at < until) <= size
        for at in moments
    )
