"""One round of a million queued jobs, and what deciding costs without and with the rest.

    python -m bench.rounds [--jobs 1000000] [--classes 2000] [--pools 1000] [--repeat 3]

In one run: the product's round (every class scored, explained, with reasons), its
decision kernel alone, and beside them numpy's argmin over the same sites, the linear
program over the classes by HiGHS, Ray tasks with one custom resource per site, and the
round in parts on Ray beside the whole. CPU seconds of one core, unless wall is said.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bench.placement import federation
from bench.quality_instances import batch
from bench.quality_rivals import market, relaxed
from broker import ray_settings
from scheduler.arrays import Floats, Ints
from scheduler.kernel import decide
from scheduler.memo import Memo
from scheduler.merge import merge, policy_for, split
from scheduler.model import Policy, Round, Snapshot
from scheduler.placement import place
from scheduler.prices import auction

PLANNED = Policy(explain_waiting=False)  # as the planner has it
RESOURCES = 8
RAY_SITES, RAY_JOBS = 200, 1_000
LOAD = 1.2  # of the kernel's sites


def of_cpu(run: Callable[[], object], repeat: int = 1) -> float:
    """CPU seconds, the least of `repeat` runs."""
    seconds = []
    for _ in range(repeat):
        begun = time.process_time()
        run()
        seconds.append(time.process_time() - begun)
    return min(seconds)


def line(name: str, decisions: float, seconds: float, remark: str = "") -> str:
    return f"{name:46} {seconds:9.3f} s {decisions / seconds:14,.0f} jobs/s  {remark}"


def rounds(snapshot: Snapshot, jobs: int, repeat: int) -> Iterator[str]:
    """The product's round, with what a planner keeps between rounds."""
    memo = Memo()
    found: list[Round] = []
    cold = of_cpu(lambda: found.append(place(snapshot, PLANNED, memo)))
    kept = of_cpu(lambda: place(snapshot, PLANNED, memo), repeat)
    candidates = sum(len(told.candidates) for _, told in found[0].explanations)
    told = f"{len(found[0].placements)} placed, {candidates} candidates told"
    yield line("place, first round", jobs, cold, told)
    yield line("place, later rounds", jobs, kept)
    yield f"  {1000 * kept / len(snapshot.queue):.3f} ms per class over {len(snapshot.pools)} pools"


def kernels(classes: int, jobs: int, sites: int, repeat: int) -> Iterator[str]:
    """The kernel on classes of gangs and on gangs that are all unlike; argmin on the same."""
    for kinds, gangs in ((classes, jobs), (10_000, 10_000)):
        costs, needs, counts, free = columns(kinds, gangs, sites)
        seconds = of_cpu(lambda: decide(costs, needs, counts, free), repeat)  # noqa: B023
        yield line(f"kernel, {gangs} gangs in {kinds} classes", gangs, seconds, "in sequence")
    seconds = of_cpu(lambda: independent(costs, needs, free))
    yield line("numpy argmin, all unlike", 10_000, seconds, "independent: over capacity")
    seconds = of_cpu(lambda: looped(costs[:2000], needs[:2000], free))
    yield line("numpy argmin in a loop, all unlike", 2_000, seconds, "in sequence")


def columns(kinds: int, gangs: int, sites: int) -> tuple[Floats, Ints, Ints, Ints]:
    """(costs, needs, gangs, free) that ask for `LOAD` of every resource."""
    random = np.random.default_rng(0)
    needs = random.integers(1, 9, (kinds, RESOURCES))
    counts = np.full(kinds, gangs // kinds)
    free = np.full((RESOURCES, sites), int(needs.mean() * gangs / sites / LOAD))
    return random.random((kinds, sites)), needs, counts, free


def independent(costs: Floats, needs: Ints, free: Ints) -> Ints:
    """Each gang's cheapest site with room, as if it were alone; blocks of 500."""
    chosen = []
    for at in range(0, len(costs), 500):
        fits = np.ones((len(needs[at : at + 500]), free.shape[1]), np.bool_)
        for resource, row in enumerate(free):
            fits &= row >= needs[at : at + 500, resource, None]
        chosen.append(np.where(fits, costs[at : at + 500], np.inf).argmin(axis=1))
    return np.concatenate(chosen)


def looped(costs: Floats, needs: Ints, free: Ints) -> Ints:
    """The plain loop: room is looked at for every site, and taken."""
    free, chosen = free.copy(), np.empty(len(costs), np.int64)
    for at, (row, need) in enumerate(zip(costs, needs, strict=True)):
        fits = (free >= need[:, None]).all(axis=0)
        chosen[at] = np.where(fits, row, np.inf).argmin()
        if fits.any():
            free[:, chosen[at]] -= need
    return chosen


def programs(classes: int) -> Iterator[str]:
    """The linear program over classes × groups beside the auction's prices for the same."""
    found = batch(classes, 100, seed=0)
    asked = market(found)
    exact = [0.0]
    seconds = of_cpu(lambda: exact.append(relaxed(found).bound))
    yield line(f"HiGHS, {classes} classes x {found.values.shape[1]} groups", classes, seconds)
    priced = [0.0]
    seconds = of_cpu(lambda: priced.append(auction(asked).bound))
    ratio = f"bound {priced[-1] / exact[-1]:.4f} of the program's"
    yield line("auction from nothing, the same", classes, seconds, ratio)
    kept = auction(market(batch(classes, 100, seed=0, turn=1))).prices
    seconds = of_cpu(lambda: priced.append(auction(asked, kept).bound))
    ratio = f"bound {priced[-1] / exact[-1]:.4f} of the program's"
    yield line("auction from kept prices, the same", classes, seconds, ratio)


def on_ray(snapshot: Snapshot, jobs: int) -> Iterator[str]:
    """Wall seconds: a task per job with its site's resource; then the round in parts."""
    ray_settings.prepare("")
    import ray

    cpus = max(2, os.cpu_count() or 2)
    with tempfile.TemporaryDirectory(prefix="suan-ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=cpus,
            resources={f"site{at}": 1e6 for at in range(RAY_SITES)},
            include_dashboard=False,
            object_store_memory=200 << 20,
            log_to_driver=False,
            _temp_dir=folder,
        )
        try:
            yield from _tasks(ray, cpus, snapshot, jobs)
        finally:
            ray.shutdown()


def _tasks(ray: object, cpus: int, snapshot: Snapshot, jobs: int) -> Iterator[str]:
    begin = ray.remote(_nothing)  # type: ignore[attr-defined]
    get = ray.get  # type: ignore[attr-defined]
    get([begin.remote() for _ in range(2 * cpus)])
    begun = time.monotonic()
    sites = [{f"site{at % RAY_SITES}": 1} for at in range(RAY_JOBS)]
    get([begin.options(num_cpus=0, resources=site).remote() for site in sites])
    seconds = time.monotonic() - begun
    yield line(f"Ray tasks, a resource for each of {RAY_SITES} sites", RAY_JOBS, seconds, "wall")
    part = ray.remote(place)  # type: ignore[attr-defined]
    parts = split(snapshot, cpus)
    each = policy_for(Policy(), len(parts))
    get([part.remote(small, each) for small in parts])  # imports, routes
    begun = time.monotonic()
    whole: Round = get(part.remote(snapshot, Policy()))
    alone = time.monotonic() - begun
    yield line("place on Ray, whole", jobs, alone, f"wall, {len(whole.placements)} placed")
    begun = time.monotonic()
    merged = merge(tuple(get([part.remote(small, each) for small in parts])))
    apart = time.monotonic() - begun
    told = f"wall, {len(merged.placements)} placed, {alone / apart:.2f} x as fast on {cpus} CPUs"
    yield line(f"place on Ray, {len(parts)} parts", jobs, apart, told)


def _nothing() -> None:
    return None


def one_model_each(snapshot: Snapshot) -> Snapshot:
    """The same queue where every job names one model, as images for one vendor do."""
    queue = tuple(
        replace(queued, demand=replace(queued.demand, variants=queued.demand.variants[:1]))
        for queued in snapshot.queue
    )
    return replace(snapshot, queue=queue)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("jobs", 1_000_000), ("classes", 2_000), ("pools", 1_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    snapshot = federation(asked.jobs, asked.classes, asked.pools, asked.seed)
    print(f"{asked.jobs} jobs in {asked.classes} classes, {asked.pools} pools, seed {asked.seed}")
    for lines in (
        rounds(snapshot, asked.jobs, asked.repeat),
        kernels(asked.classes, asked.jobs, 1_000, asked.repeat),
        programs(asked.classes),
        on_ray(one_model_each(snapshot), asked.jobs),
    ):
        for each in lines:
            print(each, flush=True)


if __name__ == "__main__":
    main()
