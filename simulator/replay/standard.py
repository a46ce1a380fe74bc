"""The standard instances that policies are compared on: a trace, a random federation, a load.

They are those of the project's notes on scheduling: Philly twice over with gangs eight times
as wide on 20 sites with 40 pools, KTH eight times over and as wide on 10 sites, a week of
the LCG grid on 50 sites. Sizes follow from the load by the fluid program, and where the pools
must be larger than that, submissions come faster.

KTH has gangs as wide as its machine, 800 cards here, and its load needs some 4,200 in all. So
there are two readings: `kth-0.8`, where every pool holds the widest gang as every cluster did
(16,000 cards, submissions four times as fast), and `kth-tight-0.8` with one such pool
for each model: six of 800 hold nearly all 5,400, and the widest gang must have one empty.
`wide-0.75` has gangs of up to a quarter of any pool, by the model of Lublin and Feitelson.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.model import Network
from simulator.bounds.fluid import load, loaded
from simulator.federation.generator import random_federation
from simulator.federation.instance import instance
from simulator.federation.model import Federation
from simulator.federation.synthesis import Workload, synthesise
from simulator.replay.instance import Instance
from simulator.traces import TraceJob, copies, read_trace, widened

SIZINGS_MAX = 5
CLOSE = 0.02  # relative; the rest is made up by the speed of the arrivals


@dataclass(frozen=True, slots=True)
class Standard:
    """How an instance is made."""

    trace: str  # file below the folder of traces
    copies: int
    gang: int
    sites: int
    pools: int
    load: float
    pool_cards_min: int = 0  # of every pool


STANDARDS: dict[str, Standard] = {
    "philly-0.9": Standard("philly_sia/philly_dev.csv.gz", 2, 8, 20, 40, 0.9),
    "philly-0.7": Standard("philly_sia/philly_dev.csv.gz", 2, 8, 20, 40, 0.7),
    "kth-0.8": Standard("kth_sp2/KTH-SP2-1996.swf.gz", 8, 8, 10, 20, 0.8, 800),
    "kth-tight-0.8": Standard("kth_sp2/KTH-SP2-1996.swf.gz", 8, 8, 10, 20, 0.8),
    "wide-0.75": Standard("lublin/lublin_256.swf.gz", 1, 8, 4, 8, 0.75, 8192),
    "lcg-0.9": Standard("lcg2005/LCG_days0-7.swf.gz", 1, 1, 50, 50, 0.9),
}


@dataclass(frozen=True, slots=True)
class Made:
    """An instance and what it was made of; `stretch` is how much slower jobs arrive."""

    federation: Federation
    workload: Workload
    instance: Instance
    stretch: float
    said: tuple[str, ...]


def make(name: str, traces: Path, network: Network, seed: int) -> Made:
    """The standard instance `name`. Raises KeyError for an unknown one."""
    standard = STANDARDS[name]
    jobs, report = read_trace(traces / standard.trace)
    jobs = widened(copies(jobs, standard.copies, seed), standard.gang)
    made = sized(jobs, standard, network, seed)
    said = (
        *report.words(),
        f"{standard.copies} copies, gangs x{standard.gang}, {made.federation.name}, "
        f"{made.federation.cards:,} cards, load {standard.load:g} "
        f"(submissions {made.stretch:.3f} times as far apart)",
        *made.workload.said,
    )
    return Made(made.federation, made.workload, made.instance, made.stretch, said)


def sized(jobs: Sequence[TraceJob], standard: Standard, network: Network, seed: int) -> Made:
    """A random federation so large that the jobs load it as wanted."""
    span = max(1.0, jobs[-1].submit_seconds)
    work = sum(job.cards * job.run_seconds for job in jobs)
    cards = int(work / span / standard.load)
    for _ in range(SIZINGS_MAX):
        made = _attempt(jobs, standard, network, seed, cards)
        now = load(made.instance)
        if abs(now / standard.load - 1.0) < CLOSE:
            break
        cards = max(1, round(cards * now / standard.load))
    return Made(
        made.federation,
        made.workload,
        loaded(made.instance, standard.load),
        now / standard.load,
        (),
    )


def _attempt(
    jobs: Sequence[TraceJob], standard: Standard, network: Network, seed: int, cards: int
) -> Made:
    widest = max(job.cards for job in jobs)
    federation = random_federation(
        network,
        standard.sites,
        standard.pools,
        cards,
        seed,
        widest_cards=widest,
        pool_cards_min=standard.pool_cards_min,
    )
    workload = synthesise(jobs, federation, seed)
    return Made(federation, workload, instance(federation, workload), 1.0, ())
