"""What a trace lacks, made up from a seed and said: data, affinity to accelerators, tenants.

Traces know how wide and how long jobs were on one kind of machine. Where the data lie, on
which other models the same program runs and how fast, how large its checkpoints are: that
is drawn here, per family of jobs (a tenant has a few programs), so that a tenant's jobs are
alike. Deterministic for a seed and independent of the order of the jobs' names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.model import Accelerator, Dataset, Precision
from simulator.federation.model import Federation
from simulator.replay.instance import Ints
from simulator.traces.job import TraceJob

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Habits:
    """From which distributions; all assumed."""

    families_per_tenant: int = 4
    tenants: int = 20  # drawn for a trace that names none; sizes fall as 1 / rank
    datasets_per_tenant: int = 6
    dataset_gb_median: float = 50.0
    dataset_sigma: float = 1.5  # of the log
    dataset_gb_max: float = 5_000.0
    replicas_mean: float = 1.5
    port_probability: float = 0.5  # that a program runs on another vendor's cards too
    compute_share: tuple[float, float] = (0.4, 0.9)  # power of the ratio of peaks that it keeps
    speed_sigma: float = 0.15
    checkpoint_share: float = 0.5  # of the cards' memory


@dataclass(frozen=True, slots=True)
class Family:
    """One program of one tenant: the models it runs on and its run time there over the trace's."""

    name: str
    tenant: str
    precision: Precision
    slowdown: tuple[tuple[str, float], ...]  # (model, factor of the trace's run time)


@dataclass(frozen=True, slots=True)
class Workload:
    """The jobs of a trace and all that was made up for them."""

    jobs: tuple[TraceJob, ...]
    tenants: tuple[str, ...]
    tenant: Ints  # [job]: which of `tenants`
    families: tuple[Family, ...]
    family: Ints  # [job]
    datasets: tuple[Dataset, ...]
    dataset: Ints  # [job]: what it reads
    checkpoint_bytes: Ints  # [job]
    said: tuple[str, ...]  # what was made up, for people


def synthesise(
    jobs: Sequence[TraceJob], federation: Federation, seed: int, habits: Habits | None = None
) -> Workload:
    """Complete a trace for a federation. Raises ValueError when the federation has no pool."""
    if not federation.pools:
        raise ValueError("the federation has no pool")
    habits = habits or Habits()
    streams = np.random.default_rng(seed).spawn(4)
    names, tenant, drawn = _tenants(jobs, streams[0], habits)
    families = _families(names, federation, streams[1], habits)
    datasets, first = _datasets(names, federation, streams[2], habits)
    count = len(jobs)
    family = tenant * habits.families_per_tenant + _zipf(
        streams[3], habits.families_per_tenant, count
    )
    families = _widened(families, family, jobs, federation)
    width = np.array([job.cards for job in jobs], np.int64)
    memory = float(np.mean([each.memory_gib or 64.0 for each in federation.accelerators]))
    return Workload(
        jobs=tuple(jobs),
        tenants=names,
        tenant=tenant,
        families=families,
        family=family,
        datasets=(*federation.datasets, *datasets),
        dataset=len(federation.datasets)
        + first[tenant]
        + _zipf(streams[3], habits.datasets_per_tenant, count),
        checkpoint_bytes=(width * memory * habits.checkpoint_share * GIB).astype(np.int64),
        said=_said(habits, seed, drawn, names, families, datasets),
    )


def _tenants(
    jobs: Sequence[TraceJob], random: np.random.Generator, habits: Habits
) -> tuple[tuple[str, ...], Ints, bool]:
    """Names, [job] which, and whether they had to be drawn."""
    stated = [job.tenant or job.user for job in jobs]
    if all(stated) and jobs:
        names = tuple(sorted(set(stated)))
        index = {name: at for at, name in enumerate(names)}
        return names, np.array([index[name] for name in stated], np.int64), False
    names = tuple(f"tenant-{at:02d}" for at in range(habits.tenants))
    return names, _zipf(random, habits.tenants, len(jobs)), True


def _families(
    tenants: Sequence[str], federation: Federation, random: np.random.Generator, habits: Habits
) -> tuple[Family, ...]:
    models = federation.accelerators
    vendors = sorted({model.vendor for model in models})
    made = []
    for tenant in tenants:
        for number in range(habits.families_per_tenant):
            precision = Precision.BF16 if random.random() < 0.8 else Precision.FP32
            native = vendors[int(random.integers(len(vendors)))]
            ported = {name for name in vendors if random.random() < habits.port_probability}
            runs = [model for model in models if model.vendor in {native, *ported}]
            share = float(random.uniform(*habits.compute_share))
            noise = np.exp(random.normal(0.0, habits.speed_sigma, len(runs)))
            name = f"{tenant}/{number}"
            made.append(Family(name, tenant, precision, _slowdown(runs, precision, share, noise)))
    return tuple(made)


def _slowdown(
    models: Sequence[Accelerator],
    precision: Precision,
    share: float,
    noise: np.typing.NDArray[np.float64],
) -> tuple[tuple[str, float], ...]:
    """Per model: (its peak over the geometric mean) ** -share x noise, so that the trace's
    run time is the typical one."""
    peaks = np.array([_peak(model, precision) for model in models])
    speed = (peaks / np.exp(np.log(peaks).mean())) ** share * noise
    return tuple(
        (model.model, float(1.0 / value)) for model, value in zip(models, speed, strict=True)
    )


def _peak(model: Accelerator, precision: Precision) -> float:
    """The peak at the precision, else at bf16, else an unremarkable one."""
    return model.peak(precision) or model.peak(Precision.BF16) or 100.0


def _widened(
    families: tuple[Family, ...], family: Ints, jobs: Sequence[TraceJob], federation: Federation
) -> tuple[Family, ...]:
    """Where a family's widest job fits no pool of its models, it runs on the largest pool too."""
    if not jobs:
        return families
    widest = np.zeros(len(families), np.int64)
    np.maximum.at(widest, family, np.array([job.cards for job in jobs], np.int64))
    largest = max(federation.pools, key=lambda pool: (pool.cards_usable, pool.key))
    most: dict[str, int] = {}
    for pool in federation.pools:
        most[pool.accelerator] = max(most.get(pool.accelerator, 0), pool.cards_usable)
    made = []
    for each, cards in zip(families, widest.tolist(), strict=True):
        models = dict(each.slowdown)
        if cards > max(most[model] for model in models):
            models.setdefault(largest.accelerator, 1.0)
        made.append(Family(each.name, each.tenant, each.precision, tuple(models.items())))
    return tuple(made)


def _datasets(
    tenants: Sequence[str], federation: Federation, random: np.random.Generator, habits: Habits
) -> tuple[tuple[Dataset, ...], Ints]:
    """The tenants' datasets, and [tenant] the first of each; homes where the cards are."""
    sites = [site.name for site in federation.sites]
    cards = dict.fromkeys(sites, 0)
    for pool in federation.pools:
        cards[pool.site] += pool.cards_usable
    weights = np.array([cards[name] for name in sites], np.float64)
    made = []
    for tenant in tenants:
        for number in range(habits.datasets_per_tenant):
            gb = habits.dataset_gb_median * float(np.exp(random.normal(0, habits.dataset_sigma)))
            copies = min(len(sites), 1 + int(random.poisson(habits.replicas_mean - 1.0)))
            homes = random.choice(
                len(sites), size=min(copies, int((weights > 0).sum())), replace=False,
                p=weights / weights.sum(),
            )  # fmt: skip
            size = int(min(gb, habits.dataset_gb_max) * 1e9)
            replicas = tuple(sorted(sites[at] for at in homes))
            made.append(Dataset(f"{tenant}/data-{number}", size, replicas))
    return tuple(made), np.arange(len(tenants), dtype=np.int64) * habits.datasets_per_tenant


def _zipf(random: np.random.Generator, count: int, draws: int) -> Ints:
    """`draws` ranks below `count`, each as likely as 1 / (rank + 1)."""
    weights = 1.0 / np.arange(1, count + 1)
    return random.choice(count, size=draws, p=weights / weights.sum()).astype(np.int64)


def _said(
    habits: Habits,
    seed: int,
    drawn: bool,
    tenants: Sequence[str],
    families: Sequence[Family],
    datasets: Sequence[Dataset],
) -> tuple[str, ...]:
    models = np.mean([len(family.slowdown) for family in families]) if families else 0
    said = [
        f"not in the trace, drawn from seed {seed}:",
        f"  {len(families)} programs ({habits.families_per_tenant} per tenant), each on "
        f"{models:.1f} models on average, speeds from the catalogue's peaks to the power of "
        f"{habits.compute_share[0]} to {habits.compute_share[1]}, sigma {habits.speed_sigma}",
        f"  {len(datasets)} datasets, median {habits.dataset_gb_median:g} GB "
        f"(sigma {habits.dataset_sigma}, at most {habits.dataset_gb_max:g} GB), "
        f"{habits.replicas_mean} copies on average, where the cards are; one per job",
        f"  checkpoints of {habits.checkpoint_share:.0%} of the cards' memory",
    ]
    if drawn:
        said.append(f"  {len(tenants)} tenants, because the trace does not name all")
    return tuple(said)
