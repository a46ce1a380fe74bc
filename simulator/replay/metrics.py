"""What a replay came to, in the figures of the field.

JCT (job completion time) = end - submission. Wait = start - submission. Bounded slowdown
(Feitelson) = max(1, JCT / max(best solo time, 10 s)). Utilisation = card-seconds of runs /
(all cards x makespan). Jain's index is over the tenants' mean bounded slowdowns. Finish-time
fairness (Themis, NSDI'20) of a tenant = its mean JCT / its mean JCT alone in its share,
first come first served with skipping; the worst is the largest. Of n tenants each has 1/n of
the cards of every kind, in as few pools as hold them; a gang that is wider than that in all
kinds that it runs on widens the share in the largest of them. The worst wait is over what the
job should have the patience for: 20 times its best solo time, and a day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from simulator.replay.instance import Bools, Floats, Instance, Ints, Pools
from simulator.replay.loop import Outcome, replay
from simulator.replay.view import Policy

RUN_SECONDS_MIN = 10.0  # of the bounded slowdown
PATIENCE_RUNS, PATIENCE_SECONDS = 20.0, 86_400.0  # no job should wait longer than both together


@dataclass(frozen=True, slots=True)
class Metrics:
    """One policy on one trace; NaN where no job finished."""

    finished: int
    unfinished: int
    mean_jct_seconds: float
    p50_jct_seconds: float
    p99_jct_seconds: float
    mean_wait_seconds: float
    p50_wait_seconds: float
    p99_wait_seconds: float
    mean_bounded_slowdown: float
    makespan_seconds: float
    utilisation: float
    worst_tenant_ftf: float
    jain: float
    worst_wait_to_patience: float

    def as_json(self) -> dict[str, float | None]:
        """By name; None for what is not known, because JSON has no NaN."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def measure(instance: Instance, outcome: Outcome, isolated: Floats | None = None) -> Metrics:
    """The metrics of `outcome`; `isolated` is [tenant] mean JCT of `isolated_jct`."""
    done = np.isfinite(outcome.ended_seconds)
    known = instance.known
    if not done.any():
        none = float("nan")
        return Metrics(0, len(instance), *[none] * 12)
    jct = (outcome.ended_seconds - known.submit_seconds)[done]
    wait = (outcome.started_seconds - known.submit_seconds)[done]
    solo = instance.solo_seconds()[done]
    slowdown = np.maximum(1.0, jct / np.maximum(solo, RUN_SECONDS_MIN))
    makespan = float(outcome.ended_seconds[done].max())
    offered = makespan * float(known.pools.cards.sum())
    ftf = _tenant_means(instance, done, jct) / isolated if isolated is not None else None
    return Metrics(
        finished=int(done.sum()),
        unfinished=int((~done).sum()),
        mean_jct_seconds=float(jct.mean()),
        p50_jct_seconds=float(np.percentile(jct, 50)),
        p99_jct_seconds=float(np.percentile(jct, 99)),
        mean_wait_seconds=float(wait.mean()),
        p50_wait_seconds=float(np.percentile(wait, 50)),
        p99_wait_seconds=float(np.percentile(wait, 99)),
        mean_bounded_slowdown=float(slowdown.mean()),
        makespan_seconds=makespan,
        utilisation=_busy_card_seconds(instance, outcome, done) / offered if offered else 0.0,
        worst_tenant_ftf=float(np.nanmax(ftf)) if ftf is not None else float("nan"),
        jain=_jain(_tenant_means(instance, done, slowdown)),
        worst_wait_to_patience=float((wait / (PATIENCE_RUNS * solo + PATIENCE_SECONDS)).max()),
    )


def isolated_jct(instance: Instance, policy: Callable[[Instance], Policy]) -> Floats:
    """[tenant]: mean JCT of its jobs alone in its share; NaN: has no job that ended."""
    known = instance.known
    present = np.unique(known.tenant[instance.feasible])
    means = np.full(len(known.tenants), np.nan)
    for tenant in present:
        jobs = np.flatnonzero((known.tenant == tenant) & instance.feasible)
        alone = instance.chosen(jobs, _share(instance, jobs, len(present)))
        ended = replay(alone, policy(alone)).ended_seconds
        jct = (ended - alone.known.submit_seconds)[np.isfinite(ended)]
        means[tenant] = jct.mean() if len(jct) else np.nan
    return means


def _share(instance: Instance, jobs: Ints, tenants: int) -> Pools:
    """What one of `tenants` tenants, with these jobs, owns of the pools."""
    pools, cards = instance.known.pools, instance.known.cards[jobs]
    share = np.ceil(pools.cards_by_kind / tenants)
    runs = np.isfinite(instance.run_seconds[jobs])
    most = np.where(runs, share, 0.0)
    wide = np.flatnonzero(cards > most.max(axis=1))
    np.maximum.at(share, most[wide].argmax(axis=1), cards[wide])
    own = np.zeros_like(pools.cards)
    for pool in np.argsort(-pools.cards, kind="stable").tolist():  # the largest first
        kind = int(pools.kind[pool])
        own[pool] = min(int(pools.cards[pool]), int(share[kind]))
        share[kind] -= own[pool]
    return replace(pools, cards=own)


def _tenant_means(instance: Instance, done: Bools, values: Floats) -> Floats:
    tenant, count = instance.known.tenant[done], len(instance.known.tenants)
    jobs = np.bincount(tenant, minlength=count)
    total = np.bincount(tenant, values, minlength=count)
    means = np.divide(total, jobs, out=np.full(count, np.nan), where=jobs > 0)
    return np.asarray(means, np.float64)


def _busy_card_seconds(instance: Instance, outcome: Outcome, done: Bools) -> float:
    known = instance.known
    runs = instance.run_seconds[np.flatnonzero(done), known.pools.kind[outcome.pool[done]]]
    return float((runs * known.cards[done]).sum())


def _jain(values: Floats) -> float:
    there = values[np.isfinite(values)]
    return float(there.sum() ** 2 / (len(there) * (there**2).sum()))
