"""Decisions per second of one placement round, beside a plain greedy loop in the same run.

    python -m bench.placement [--jobs 10000] [--classes 100] [--pools 200] [--repeat 5]

Both see the same snapshot. The greedy loop does the least that a broker without
classes must do: for each job, oldest first, look at every pool, estimate the finish,
take the best that has room on enough nodes. It explains nothing, shares nothing,
reserves nothing and knows no supernodes; `place` does all that.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

from scheduler.model import (
    Accelerator,
    Dataset,
    Demand,
    Link,
    Network,
    Pool,
    Precision,
    QueueClass,
    Site,
    Snapshot,
    Supernode,
    Variant,
    Work,
)
from scheduler.network import Routes
from scheduler.placement import place

MODELS = {"ascend-910b": 320.0, "ascend-910c": 780.0, "hygon-k100-ai": 196.0, "nvidia-h100": 989.0}
NOW = 1_000_000.0


def federation(jobs: int, classes: int, pools: int, seed: int) -> Snapshot:
    """A random federation, half busy: sites on a ring, four models, data at some sites."""
    rng = random.Random(seed)
    sites = [Site(f"site{at}", f"city{at}", "region") for at in range(max(2, pools // 2))]
    ring = zip(sites, sites[1:] + sites[:1], strict=True)
    links = tuple(Link(a.city, b.city, rng.choice([25.0, 100.0]), 2.0) for a, b in ring)
    accelerators = tuple(
        Accelerator(model, model.split("-")[0], "npu", 1, 64.0, 1.6, ((Precision.BF16, peak),))
        for model, peak in MODELS.items()
    )
    data = tuple(
        Dataset(f"data{at}", rng.randrange(1, 50) * 10**12, (rng.choice(sites).name,))
        for at in range(20)
    )
    return Snapshot(
        now=NOW,
        accelerators=accelerators,
        sites=tuple(sites),
        pools=tuple(random_pool(rng, rng.choice(sites).name, at) for at in range(pools)),
        network=Network(links=links),
        datasets=data,
        queue=tuple(random_class(rng, at, jobs // classes) for at in range(classes)),
    )


def random_pool(rng: random.Random, site: str, number: int) -> Pool:
    rows = []
    for row in range(8):
        counts = [0] * 9
        for _ in range(16):
            counts[rng.choice([0, 0, 2, 4, 8, 8, 8, 8])] += 1
        rows.append(Supernode(f"s{row}", tuple(counts)))
    model = rng.choice(list(MODELS))
    return Pool(
        site, f"p{number}", model, 8, 1024, 1024, tuple(rows), yuan_per_card_hour=rng.uniform(2, 12)
    )


def random_class(rng: random.Random, number: int, jobs: int) -> QueueClass:
    shape = rng.choice([(1, 1), (1, 2), (1, 8), (1, 8), (2, 8), (4, 8), (16, 8)])
    models = rng.sample(list(MODELS), rng.choice([1, 2]))
    demand = Demand(
        variants=tuple(Variant(model, *shape) for model in models),
        inputs=(f"data{rng.randrange(20)}",) if rng.random() < 0.5 else (),
        work=Work(flops=shape[0] * shape[1] * rng.uniform(0.1, 20) * 3600 * 100e12),
    )
    return QueueClass(
        f"class{number}",
        demand,
        f"tenant{number % 7}",
        jobs=tuple(f"{number}/{job}" for job in range(jobs)),
        queued=jobs,
        oldest_submitted_at=NOW - rng.uniform(1e7, 2e7),
    )


def greedy(snapshot: Snapshot, routes: Routes) -> list[float]:
    """Finish seconds of the jobs that a plain loop places."""
    cities = {site.name: site.city for site in snapshot.sites}
    peaks = {one.model: one.peak(Precision.BF16) * 1e12 for one in snapshot.accelerators}
    data = {dataset.name: dataset for dataset in snapshot.datasets}
    nodes = {
        pool.key: list(map(sum, zip(*(s.nodes_by_free for s in pool.supernodes), strict=True)))
        for pool in snapshot.pools
    }
    moves: dict[tuple[str, str], float] = {}
    finishes = []
    for queued in sorted(snapshot.queue, key=lambda one: one.oldest_submitted_at):
        for _ in queued.jobs:
            best = None
            for pool in snapshot.pools:
                for variant in queued.demand.variants:
                    free = nodes[pool.key]
                    if variant.accelerator != pool.accelerator:
                        continue
                    if sum(free[variant.cards_per_node :]) < variant.nodes:
                        continue
                    finish = queued.demand.work.flops / (
                        variant.cards * peaks[pool.accelerator] * pool.utilisation
                    )
                    for name in queued.demand.inputs:
                        move = name, cities[pool.site]
                        if move not in moves:
                            home = cities[data[name].replicas[0]]
                            moves[move] = routes.transfer_seconds(
                                home, move[1], data[name].size_bytes
                            )
                        finish += moves[move]
                    if best is None or finish < best[0]:
                        best = finish, pool.key, variant
            if best is not None:
                take(nodes[best[1]], best[2])
                finishes.append(best[0])
    return finishes


def take(free: list[int], variant: Variant) -> None:
    left, cards = variant.nodes, variant.cards_per_node
    for level in range(cards, len(free)):
        used = min(left, free[level])
        free[level] -= used
        free[level - cards] += used
        left -= used


def timed(repeat: int, run: Callable[[], list[float]]) -> tuple[float, list[float]]:
    """Median seconds of `repeat` runs, and what the last one gave."""
    seconds = []
    for _ in range(repeat):
        started = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("jobs", 10_000),
        ("classes", 100),
        ("pools", 200),
        ("repeat", 5),
        ("seed", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    snapshot = federation(asked.jobs, asked.classes, asked.pools, asked.seed)
    routes = Routes(snapshot.network)
    ours, placed = timed(
        asked.repeat,
        lambda: [p.score.stage_seconds + p.score.run_seconds for p in place(snapshot).placements],
    )
    plain, rival = timed(1, lambda: greedy(snapshot, routes))
    print(f"{asked.jobs} jobs in {asked.classes} classes, {asked.pools} pools, seed {asked.seed}")
    for name, seconds, finishes in (("suan place", ours, placed), ("greedy loop", plain, rival)):
        print(
            f"{name:12} {1000 * seconds:10.1f} ms {len(finishes):7} placed "
            f"{asked.jobs / seconds:12,.0f} jobs decided/s "
            f"mean finish {statistics.mean(finishes):9.0f} s"
        )
    print(f"ratio {plain / ours:.1f}: one round against the loop, explanations included")


if __name__ == "__main__":
    main()
