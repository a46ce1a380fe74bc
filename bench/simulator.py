"""The simulator beside AccaSim, and the production path in jobs of trace per second.

    python -m bench.simulator [--accasim PYTHON] [--jobs 5000] [--first 2000] [--round 10]

One: first come first served on the first jobs of KTH-SP2 on 100 processors, by AccaSim 1.1.3
(Galleguillos et al. 2020, from the package index, in a virtual environment of its own that is
thrown away) and by `simulator.replay`. FIFO has one right answer, so the mean waits must be
equal within 0.1 %; both are timed on their own CPU seconds, reading included.

Two: Philly at load 0.9 over 40 pools, through the real core and the real scheduler, with how the
seconds fall to the scheduler, the core with its snapshots, and the virtual sites.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.policies import make as make_policy
from simulator.production import ROUND_SECONDS, Suan
from simulator.production import broker as production_broker
from simulator.replay import Instance, Pools, measure, replay
from simulator.replay.comparison import NETWORK, TRACES
from simulator.replay.standard import make
from simulator.traces import Selection, read_trace
from suan.network import load as load_network

KTH = TRACES / "kth_sp2" / "KTH-SP2-1996.swf.gz"
PROCESSORS = 100
ACCASIM = "accasim==1.1.3"
INSTALL_SECONDS_MAX = 300.0
RUN_SECONDS_MAX = 600.0
DIFFERENCE_MAX = 0.001  # relative, of the mean waits

# AccaSim is of 2020: it names abstract classes where Python 3.10 has them no longer.
_CHILD = """
import collections, collections.abc, json, logging, sys, time
for name in ("Mapping", "MutableMapping", "Sequence", "Iterable", "Callable", "Hashable"):
    setattr(collections, name, getattr(collections.abc, name))
from accasim.base.allocator_class import FirstFit
from accasim.base.scheduler_class import FirstInFirstOut
from accasim.base.simulator_class import Simulator
logging.disable(logging.CRITICAL)
trace, config, folder = sys.argv[1:4]
begun = time.process_time()
Simulator(trace, config, FirstInFirstOut(FirstFit()), scheduling_output=False,
          statistics_output=True, show_statistics=False,
          RESULTS_FOLDER_PATH=folder).start_simulation()
print(json.dumps(time.process_time() - begun))
"""
_CONFIG = {
    "groups": {"node": {"core": 1}},
    "resources": {"node": PROCESSORS},
    "equivalence": {"processor": {"core": 1}},
    "start_time": 0,
}


@dataclass(frozen=True, slots=True)
class Fifo:
    """One simulator on the same jobs."""

    mean_wait_seconds: float
    cpu_seconds: float


def ours(jobs: int) -> Fifo:
    """`simulator.replay`, from the file to the mean wait."""
    begun = time.process_time()
    read, _ = read_trace(KTH, Selection(first=jobs))
    instance = Instance.of(
        Pools(("kth",), ("sp2",), np.zeros(1, np.int64), np.array([PROCESSORS]), np.ones(1)),
        np.array([job.submit_seconds for job in read]),
        np.array([job.cards for job in read]),
        np.array([[job.run_seconds] for job in read]),
        np.zeros((len(read), 1)),
    )
    found = measure(instance, replay(instance, make_policy("fifo", instance.known)))
    return Fifo(found.mean_wait_seconds, time.process_time() - begun)


def accasims(python: Path, jobs: int, folder: Path) -> Fifo:
    """AccaSim on the same rows. Raises RuntimeError when it does not come to an end."""
    with gzip.open(KTH, "rt") as file:
        rows = [line for line in file if not line.startswith(";")]
    (folder / "kth.swf").write_text("".join(rows[:jobs]))
    (folder / "system.json").write_text(json.dumps(_CONFIG))
    command = [str(python), "-c", _CHILD, "kth.swf", "system.json", "out"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS_MAX
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    statistics = next((folder / "out").glob("stats-*")).read_text()
    waits = [line for line in statistics.splitlines() if "waiting" in line.lower()]
    return Fifo(_mean(waits), float(done.stdout.strip().splitlines()[-1]))


def _mean(lines: list[str]) -> float:
    """The average of a line such as "Avg. waiting times: 210520.15"."""
    line = next(line for line in lines if "avg" in line.lower())
    return float(line.rsplit(":", 1)[1].strip().rstrip("s").strip())


def installed(folder: Path) -> Path | str:
    """The interpreter of a fresh environment with AccaSim, or why there is none."""
    steps = (
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [str(folder / "venv" / "bin" / "pip"), "install", "--quiet", ACCASIM],
    )
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            return said[-1] if said else f"{step[0]} failed"
    return folder / "venv" / "bin" / "python"


def beside_accasim(asked: argparse.Namespace) -> bool:
    """Print both; False when the mean waits differ."""
    found = ours(asked.jobs)
    print(f"FIFO, KTH-SP2, {asked.jobs:,} jobs on {PROCESSORS} processors")
    _told("simulator.replay", found, asked.jobs)
    with tempfile.TemporaryDirectory(prefix="suan-accasim-") as name:
        folder = Path(name)
        python = asked.accasim or installed(folder)
        if isinstance(python, str):
            print(f"  {ACCASIM}: skipped, it cannot be installed here: {python}")
            return True
        theirs = accasims(python, asked.jobs, folder)
    _told(ACCASIM, theirs, asked.jobs)
    apart = abs(found.mean_wait_seconds / theirs.mean_wait_seconds - 1.0)
    print(
        f"  mean waits apart by {apart:.4%} (at most {DIFFERENCE_MAX:.1%}); "
        f"{theirs.cpu_seconds / found.cpu_seconds:,.0f} times as many jobs per second"
    )
    return apart <= DIFFERENCE_MAX


def _told(name: str, found: Fifo, jobs: int) -> None:
    print(
        f"  {name:<18} mean wait {found.mean_wait_seconds:>11,.1f} s, "
        f"{found.cpu_seconds:.2f} CPU s, {jobs / found.cpu_seconds:>9,.0f} jobs/s"
    )


# --- the production path ----------------------------------------------------------------


class Clock:
    """CPU seconds in each of some functions, without those of the ones they call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = 0.0

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any, **named: Any) -> Any:
            outer, self._inner = self._inner, 0.0
            begun = time.process_time()
            try:
                return function(*values, **named)
            finally:
                spent = time.process_time() - begun
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner
                self._inner = outer + spent

        return call


def production(asked: argparse.Namespace) -> None:
    """Print jobs of trace per second and where the seconds go."""
    network = load_network(NETWORK.read_bytes()).network
    made = make("philly-0.9", TRACES, network, 0)
    count = min(asked.first, len(made.instance)) if asked.first else len(made.instance)
    instance = made.instance.chosen(np.arange(count)) if asked.first else made.instance
    clock = Clock()
    suan = Suan(instance.known, made.federation, made.workload)
    core = suan.broker.core
    core.handle = clock.timed("core", core.handle)  # type: ignore[method-assign]
    broker: Any = production_broker
    places = broker.place, broker.take_snapshot
    broker.place = clock.timed("scheduler", places[0])
    broker.take_snapshot = clock.timed("snapshots", places[1])
    try:
        outcome = clock.timed("sites and replay", replay)(instance, suan, asked.round)
    finally:
        broker.place, broker.take_snapshot = places
    spent = sum(clock.seconds.values())
    found = measure(instance, outcome)
    print(f"production path, Philly 0.9, {len(instance.known.pools)} pools, {count:,} jobs")
    print(
        f"  {count / spent:,.0f} jobs/s: {spent:.1f} CPU s, {suan.broker.rounds:,} rounds of at "
        f"least {asked.round:g} s, mean completion {found.mean_jct_seconds:,.0f} s, "
        f"{found.unfinished} unfinished"
    )
    for name, seconds in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        print(f"  {name:<18}{seconds:>8.2f} CPU s {seconds / spent:>5.0%}")


def main() -> int:
    """Exit status 1 when the mean waits differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--accasim", type=Path, metavar="PYTHON", help="one that has AccaSim")
    parser.add_argument("--jobs", type=int, default=5_000, help="of KTH")
    parser.add_argument("--first", type=int, default=2_000, help="jobs of Philly; 0: all")
    parser.add_argument("--round", type=float, default=ROUND_SECONDS, help="virtual seconds")
    asked = parser.parse_args()
    if not KTH.exists():
        print(f"skipped: the traces are not on this machine ({KTH.name})")
        return 0
    equal = beside_accasim(asked)
    production(asked)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
