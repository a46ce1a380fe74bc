"""GPU allocation of the openb trace (Alibaba 2023) at 130 % demand, beside published results.

The published table (Weng et al., ATC 2023) submits pods one by one, drawn from the
trace until they ask for 1.3 times the GPUs, to machines that nothing leaves; what does
not fit is dropped. "as they come" is the same with the product's
`scheduler.fragmentation`: whole cards, thousandths of a card, CPUs and memory. "from a
queue" is what a broker that binds late can do with the same pods: widest first.
Neither asks for a round of placement: there are no sites, data or durations here.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from scheduler.arrays import Ints
from scheduler.fragmentation import Machines, Mix, Shape

DATA = Path(__file__).resolve().parents[2] / "shared/data/traces/openb_v2023"
DEMAND = 1.3  # of the GPUs
WHOLE = 1000  # thousandths of a card
DEVICES = 8
MIX_COVERS = 0.95  # of the pods: rarer shapes are not prepared for


def report(data: Path = DATA, seeds: int = 2) -> Iterator[str]:
    """The lines of the table; one that says so when the trace is not there."""
    if not (data / "openb_node_list_all_node.csv.gz").exists():
        yield f"openb: no trace in {data}; it is not part of this repository"
        return
    machines, pods = _machines(data), _pods(data)
    yield f"openb, GPU allocation at {DEMAND:.0%} demand, mean; nothing leaves"
    for policy, ratios in sorted(_published(data).items()):
        yield f"  {policy:34} {mean(ratios):7.4f}   published, {len(ratios)} seeds"
    drawn = [_drawn(pods, machines, seed) for seed in range(seeds)]
    for name, ordered in (
        ("suan, as they come", drawn),
        ("suan, from a queue", [sorted(each, key=_width, reverse=True) for each in drawn]),
    ):
        ratios = [_allocation(machines, pods, each) for each in ordered]
        each = ", ".join(f"{ratio:.4f}" for ratio in ratios)
        yield f"  {name:34} {mean(ratios):7.4f}   seeds 0 to {seeds - 1}: {each}"


def _width(pod: Shape) -> tuple[int, int, int]:
    return pod.devices, pod.share, pod.cpus


def _allocation(machines: Ints, pods: Sequence[Shape], order: Sequence[Shape]) -> float:
    """Share of all GPUs that the pods in `order` were given."""
    usual, covered = [], 0
    for shape, count in Counter(pods).most_common():
        usual.append((shape, float(count)))
        covered += count
        if covered >= MIX_COVERS * len(pods):
            break
    mix = Mix(tuple(shape for shape, _ in usual), tuple(count for _, count in usual))
    free = np.where(np.arange(DEVICES) < machines[:, 2:3], WHOLE, 0)
    packed = Machines(free, machines[:, 0], machines[:, 1], WHOLE, mix)
    given = sum(pod.devices * pod.share for pod in order if packed.take(pod) is not None)
    left = int(packed.free.sum())
    if left != free.sum() - given:
        raise AssertionError("cards were lost or given twice")
    return given / int(free.sum())


def _drawn(pods: Sequence[Shape], machines: Ints, seed: int) -> list[Shape]:
    """All pods in random order, then drawn again, until they ask for `DEMAND`."""
    random = np.random.default_rng(seed)
    order = [pods[at] for at in random.permutation(len(pods)).tolist()]
    asked, wanted = sum(p.devices * p.share for p in order), DEMAND * WHOLE * machines[:, 2].sum()
    while asked < wanted:
        order.append(pods[int(random.integers(len(pods)))])
        asked += order[-1].devices * order[-1].share
    return order


def _machines(data: Path) -> Ints:
    """[machine, (cpu thousandths, MiB, GPUs)], machines without GPUs included."""
    rows = _rows(data / "openb_node_list_all_node.csv.gz")
    return np.array([[int(r["cpu_milli"]), int(r["memory_mib"]), int(r["gpu"])] for r in rows])


def _pods(data: Path) -> list[Shape]:
    return [
        Shape(
            int(r["num_gpu"]), int(r["gpu_milli"] or 0), int(r["cpu_milli"]), int(r["memory_mib"])
        )
        for r in _rows(data / "openb_pod_list_default.csv.gz")
    ]


def _published(data: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in _rows(data / "fgd_expected_allocation_ratio.csv.gz"):
        if row["workload"] == "openb_pod_list_default":
            found.setdefault(row["sc_policy"], []).append(float(row["130"]) / 100.0)
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as lines:
        return list(csv.DictReader(lines))
