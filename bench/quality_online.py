"""How near jobs end to the proved lower bound, beside other policies, on whole traces.

    python -m bench.quality_online [--instances kth-0.8,lcg-0.9] [--seeds 2] [--first 4000]
        [--sigma 1.5] [--policies sjf,suan] [--round 60] [-o json]

Mean completion time ÷ the time-indexed bound (`simulator.bounds`) of each policy on each
instance, load-calibrated by the fluid program; `suan` is the real core and scheduler. A whole
trace takes the product minutes to an hour: `--first` takes the first jobs only, which load an
instance less than the whole does. `wait/max` is the longest wait of any job over what nobody
should wait beyond, 20 times its run and a day.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.report import machine
from simulator.replay.comparison import PRODUCT, TRACES, Question, Run
from simulator.replay.standard import STANDARDS

POLICIES = ("sjf", "easy", "ect-sjf", "slurm-federation", PRODUCT)
ROUND_SECONDS = 60.0
# Of the product on whole traces: mean completion time ÷ bound.
AIMS = {"kth-0.8": 1.30, "lcg-0.9": 1.35, "philly-0.7": 1.35, "philly-0.9": 1.70, "wide-0.75": 6.0}

HEADER = (
    f"  {'policy':<18}{'JCT/bnd':>9}{'span/bnd':>10}{'p99':>11}{'FTF':>9}{'wait/max':>10}"
    f"{'left':>6}{'jobs/CPU s':>12}"
)


def figures(question: Question, run: Run) -> dict[str, float]:
    """What is told of one policy on one instance."""
    its, bounds = run.metrics, question.bounds
    return {
        "jct_to_bound": its.mean_jct_seconds / bounds.mean_jct_seconds,
        "makespan_to_bound": its.makespan_seconds / bounds.makespan_seconds,
        "p99_jct_seconds": its.p99_jct_seconds,
        "worst_tenant_ftf": its.worst_tenant_ftf,
        "worst_wait_to_patience": its.worst_wait_to_patience,
        "unfinished": its.unfinished,
        "jobs_per_cpu_second": len(question.instance) / max(run.cpu_seconds, 1e-9),
    }


def told(name: str, found: dict[str, float]) -> str:
    return (
        f"  {name:<18}{found['jct_to_bound']:>9.3f}{found['makespan_to_bound']:>10.2f}"
        f"{found['p99_jct_seconds'] / 3600:>9.1f} h{found['worst_tenant_ftf']:>9.2f}"
        f"{found['worst_wait_to_patience']:>10.2f}{found['unfinished']:>6.0f}"
        f"{found['jobs_per_cpu_second']:>12,.0f}"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--instances", default=",".join(AIMS))
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--traces", type=Path, default=TRACES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="only so many jobs; 0: all")
    parser.add_argument("--sigma", type=float, default=0.0, help="of the log of estimate errors")
    parser.add_argument("--round", type=float, default=ROUND_SECONDS, help="seconds, of suan")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    asked = parser.parse_args()
    names = asked.instances.split(",")
    if unknown := [name for name in names if name not in STANDARDS]:
        parser.error(f"no instance {unknown[0]}; there are {', '.join(sorted(STANDARDS))}")
    if not asked.traces.is_dir():
        parser.error(f"no traces in {asked.traces}; name their folder with --traces")
    everything: dict[str, dict[str, dict[str, float]]] = {}
    as_table = asked.output == "table"
    if as_table:
        print(machine())
    for name in names:
        for seed in range(asked.seeds):
            question = Question.of(name, asked.traces, seed, asked.sigma, asked.first)
            aim = f", aim {AIMS[name]:.2f} for all jobs" if name in AIMS else ""
            if as_table:
                print(f"{name}, seed {seed}: {len(question.instance):,} jobs{aim}")
                print(HEADER)
            rows = everything.setdefault(f"{name}/{seed}", {})
            for run in question.replayed(tuple(asked.policies.split(",")), asked.round):
                rows[run.name] = figures(question, run)
                if as_table:
                    print(told(run.name, rows[run.name]), flush=True)
    if not as_table:
        print(json.dumps(everything, indent=2))


if __name__ == "__main__":
    main()
