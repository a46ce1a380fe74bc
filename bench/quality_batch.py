"""What one batch of placements is worth, of the bound that its prices certify.

    python -m bench.quality_batch [--seeds 2] [--small] [--openb]

Every policy sees the same gangs, groups and pools; the worth of each is divided by the
best bound that was certified for the instance, which no assignment can pass. "warm" is
the product as it runs: prices kept from the batch before (other gangs, same
federation), bettered by a few passes. The class LP is solved where it takes seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.openb import DATA, report
from bench.quality_instances import Batch, batch
from bench.quality_rivals import (
    at_random,
    by_relaxation,
    densest_first,
    first_come,
    market,
    partitioned,
    relaxed,
)
from scheduler.assignment import assign
from scheduler.prices import Auction, auction

SIZES = ((2_000, 100), (10_000, 200), (50_000, 1_000))  # gangs, sites
RELAXED_GANGS_MAX = 2_000  # beyond, the linear program takes minutes
AIMS = {10_000: 0.975, 50_000: 0.965}
Row = tuple[str, float, float]  # policy, worth, seconds


def measured(gangs: int, sites: int, seed: int) -> Iterator[str]:
    """The table of one instance, line by line."""
    now = batch(gangs, sites, seed, turn=1)
    asked = market(now)
    kept = auction(market(batch(gangs, sites, seed, turn=0))).prices
    found: dict[str, tuple[Auction, float]] = {}
    for name, prices in (("warm prices", kept), ("cold prices", None)):
        begun = time.process_time()
        found[name] = auction(asked, prices), time.process_time() - begun
    bound = min(one.bound for one, _ in found.values())
    load = now.cards.sum() / now.free.sum()
    yield (
        f"{gangs} gangs x {sites} sites, seed {seed}: {len(now.free)} pools, "
        f"{now.values.shape[1]} groups, asks for {load:.2f} x the cards, bound {bound:.0f}"
    )
    for name, worth, seconds in [*_rivals(now, seed), *_ours(now, found)]:
        yield f"  {name:34} {worth / bound:7.4f} {seconds:9.2f} s"
    if gangs <= RELAXED_GANGS_MAX:
        begun = time.process_time()
        exact = relaxed(now)
        seconds = time.process_time() - begun
        worth = by_relaxation(now, exact)
        yield f"  {'class LP (HiGHS), its duals + fill':34} {worth / bound:7.4f} {seconds:9.2f} s"
        yield f"  certified bound / value of the LP  {bound / exact.bound:7.4f}"


def _rivals(now: Batch, seed: int) -> Iterator[Row]:
    runs: list[tuple[str, Callable[[], float]]] = [
        ("random", lambda: at_random(now, seed)),
        ("FIFO, group worth most", lambda: first_come(now)),
        ("greedy by worth per card", lambda: densest_first(now)),
        ("POP over sites, 4 parts", lambda: partitioned(now, 4, seed)),
        ("POP over sites, 16 parts", lambda: partitioned(now, 16, seed)),
    ]
    for name, run in runs:
        begun = time.process_time()
        worth = run()
        yield name, worth, time.process_time() - begun


def _ours(now: Batch, found: dict[str, tuple[Auction, float]]) -> Iterator[Row]:
    for name, (auctioned, seconds) in found.items():
        begun = time.process_time()
        worth = assign(market(now), auctioned, now.group_of, now.free).value
        yield f"suan, {name}", worth, seconds + time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="without the largest instance")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the openb trace")
    asked = parser.parse_args()
    print("worth / certified bound, and CPU seconds; aims:", AIMS)
    for gangs, sites in SIZES[: 2 if asked.small else 3]:
        for seed in range(asked.seeds):
            for line in measured(gangs, sites, seed):
                print(line, flush=True)
    for line in report(asked.data):
        print(line, flush=True)


if __name__ == "__main__":
    main()
