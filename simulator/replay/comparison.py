"""Policies side by side on one instance, beside the lower bounds.

    python -m simulator.replay.comparison philly-0.9 [--traces DIR] [--policies ect-sjf,suan]
        [--seed 0] [--sigma 0] [--first 0] [--round 10] [-o json]

The rivals of `simulator.policies` by name; the product, `suan`, joins through the same seam.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scheduler import model
from simulator.bounds import Bounds, bounds
from simulator.federation import Federation, Workload
from simulator.policies import RIVALS, reference
from simulator.production import ROUND_SECONDS, Suan
from simulator.replay.instance import Floats, Instance
from simulator.replay.loop import replay
from simulator.replay.metrics import Metrics, isolated_jct, measure
from simulator.replay.standard import STANDARDS, Made, make
from simulator.replay.view import Policy
from suan.network import load as load_network

ROOT = Path(__file__).resolve().parents[2]
TRACES = ROOT.parent / "shared" / "data" / "traces"
NETWORK = ROOT / "deploy" / "networks" / "china.yaml"

PRODUCT = "suan"
Maker = Callable[[Instance], Policy]


@dataclass(frozen=True, slots=True)
class Run:
    """One policy's metrics and what it cost to find them."""

    name: str
    metrics: Metrics
    decisions: int
    cpu_seconds: float


def rivals(names: tuple[str, ...], seed: int) -> dict[str, Maker]:
    """Makers of the rivals by name. Raises KeyError for an unknown one."""
    return {name: partial(_rival, name, seed) for name in names}


def _rival(name: str, seed: int, instance: Instance) -> Policy:
    return RIVALS[name].make(instance.known, seed)


def product(federation: Federation, workload: Workload, policy: model.Policy | None) -> Maker:
    """The maker of the product's own policy."""
    return lambda instance: Suan(instance.known, federation, workload, policy)


def compare(
    instance: Instance,
    makers: Mapping[str, Maker],
    isolated: Floats | None = None,
    round_seconds: float = ROUND_SECONDS,
) -> Iterator[Run]:
    """Replay the instance under each policy, one after the other.

    Rivals decide at every event, the product at most once per `round_seconds`.
    """
    for name, maker in makers.items():
        begun = time.process_time()
        period = round_seconds if name == PRODUCT else 0.0
        outcome = replay(instance, maker(instance), period)
        spent = time.process_time() - begun
        yield Run(name, measure(instance, outcome, isolated), outcome.decisions, spent)


def nowhere(instance: Instance) -> tuple[str, ...]:
    """What to say of the jobs that no pool could hold: they stay unfinished."""
    names = [instance.names[at] for at in np.flatnonzero(~instance.feasible)]
    if not names:
        return ()
    some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return (f"{len(names):,} jobs fit no pool and stay unfinished: {some}",)


def as_json(trace: str, instance: Instance, found: Bounds, runs: list[Run]) -> dict[str, object]:
    """The figures as `suan simulate -o json` gives them."""
    decisions, spent = (sum(run.decisions for run in runs), sum(run.cpu_seconds for run in runs))
    return {
        "trace": trace,
        "jobs": len(instance),
        "bounds": {
            "mean_jct_seconds": found.mean_jct_seconds,
            "makespan_seconds": found.makespan_seconds,
        },
        "policies": {run.name: run.metrics.as_json() for run in runs},
        "decisions_per_second": decisions / spent if spent > 0 else 0.0,
    }


HEADER = (
    f"{'policy':<17}{'mean JCT':>11}{'/bound':>8}{'p50':>11}{'p99':>11}{'wait':>11}{'slowdown':>10}"
    f"{'makespan':>10}{'/bound':>7}{'util':>6}{'FTF':>9}{'Jain':>6}{'left':>6}{'CPU s':>7}"
)


def row(run: Run, found: Bounds) -> str:
    """One line of the table under HEADER; seconds, makespan in days."""
    its = run.metrics
    return (
        f"{run.name:<17}{its.mean_jct_seconds:>11,.0f}"
        f"{its.mean_jct_seconds / found.mean_jct_seconds:>8.2f}"
        f"{its.p50_jct_seconds:>11,.0f}{its.p99_jct_seconds:>11,.0f}"
        f"{its.mean_wait_seconds:>11,.0f}{its.mean_bounded_slowdown:>10.1f}"
        f"{its.makespan_seconds / 86_400:>10.1f}"
        f"{its.makespan_seconds / found.makespan_seconds:>7.2f}{its.utilisation:>6.2f}"
        f"{its.worst_tenant_ftf:>9.2f}{its.jain:>6.2f}{its.unfinished:>6}{run.cpu_seconds:>7.1f}"
    )


@dataclass(frozen=True, slots=True)
class Question:
    """One instance, ready to be replayed under any policy."""

    made: Made
    instance: Instance
    bounds: Bounds
    bounds_cpu_seconds: float
    isolated: Floats
    seed: int

    @classmethod
    def of(cls, name: str, traces: Path, seed: int, sigma: float = 0.0, first: int = 0) -> Question:
        """A standard instance; its first jobs only where `first` > 0, estimates wrong by `sigma`
        of their logarithm. Raises KeyError for an unknown name."""
        made = make(name, traces, load_network(NETWORK.read_bytes()).network, seed)
        instance = made.instance.guessed(sigma, seed) if sigma else made.instance
        if first:
            instance = instance.chosen(np.arange(min(first, len(instance))))
        begun = time.process_time()
        found = bounds(instance)
        spent = time.process_time() - begun
        return cls(made, instance, found, spent, isolated_jct(instance, reference), seed)

    def replayed(self, policies: tuple[str, ...], round_seconds: float) -> Iterator[Run]:
        """Each policy on the instance, the product last."""
        makers = rivals(tuple(name for name in policies if name != PRODUCT), self.seed)
        if PRODUCT in policies:
            makers[PRODUCT] = product(self.made.federation, self.made.workload, None)
        return compare(self.instance, makers, self.isolated, round_seconds)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("name", choices=sorted(STANDARDS))
    parser.add_argument("--traces", type=Path, default=TRACES)
    parser.add_argument("--policies", default=",".join(RIVALS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sigma", type=float, default=0.0, help="of the log of estimate errors")
    parser.add_argument("--first", type=int, default=0, help="only so many jobs; 0: all")
    parser.add_argument("--round", type=float, default=ROUND_SECONDS, help="seconds, of suan")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    asked = parser.parse_args()
    question = Question.of(asked.name, asked.traces, asked.seed, asked.sigma, asked.first)
    instance, found = question.instance, question.bounds
    runs = question.replayed(tuple(asked.policies.split(",")), asked.round)
    if asked.output == "json":
        print(json.dumps(as_json(asked.name, instance, found, list(runs)), indent=2))
        return
    print(*question.made.said, *nowhere(instance), sep="\n")
    print(
        f"bounds: indexed {found.indexed_seconds:,.0f} s, relaxed {found.relaxed_seconds:,.0f} s, "
        f"solo {found.solo_seconds:,.0f} s; makespan {found.makespan_seconds / 86_400:.1f} d "
        f"({question.bounds_cpu_seconds:.0f} CPU s)\n{HEADER}"
    )
    for run in runs:
        print(row(run, found), flush=True)


if __name__ == "__main__":
    main()
