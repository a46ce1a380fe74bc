"""`python -m simulator faults` and `python -m simulator mutants`."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from simulator.faults import campaign, report
from simulator.faults.campaign import Broken
from simulator.faults.federation import Federation, Scenario
from simulator.faults.hunting import hunt
from simulator.faults.invariants import Violation
from simulator.faults.mutants import BY_NAME, MUTANTS, REDUNDANT
from simulator.faults.specs import DRIFT

SEEDS_MAX = 10_000_000
JOBS_MAX = 256
BROKEN_MAX = 5  # seeds that break until a campaign ends
DRIFT_TIMES = 30.0  # beyond the assumed bound, with --drift


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The two subcommands of this room."""
    faults = commands.add_parser("faults", help="play seeds with faults; judge every step")
    _add_common(faults, "0:200")
    faults.add_argument("--story", action="store_true", help="print all that happened")
    faults.add_argument(
        "--drift",
        action="store_true",
        help=f"clocks drift {DRIFT_TIMES:.0f} times the assumed bound: what breaks, and what not",
    )
    faults.set_defaults(run=run_faults)
    mutants = commands.add_parser("mutants", help="switch off each safety mechanism in turn")
    _add_common(mutants, "0:2000")
    mutants.add_argument(
        "--only", metavar="NAME", choices=sorted(BY_NAME), help="one mechanism: %(choices)s"
    )
    mutants.set_defaults(run=run_mutants)


def _add_common(parser: argparse.ArgumentParser, seeds: str) -> None:
    parser.add_argument(
        "--seeds",
        type=_seeds,
        default=seeds,
        metavar="FIRST:END",
        help="which seeds; END is the first that is left out (%(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (%(default)s)",
    )


def _seeds(text: str) -> range:
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST:END, for example 0:1000")
    seeds = range(int(first), int(end))
    if not 1 <= len(seeds) <= SEEDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} names {len(seeds)} seeds; 1 to {SEEDS_MAX}")
    return seeds


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= JOBS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {JOBS_MAX}")
    return int(text)


# --- faults -------------------------------------------------------------------------


def run_faults(arguments: argparse.Namespace) -> int:
    """Exit status 1 when an invariant broke that must not."""
    seeds, processes = arguments.seeds, arguments.jobs
    if arguments.drift:
        return _drift(seeds, processes)
    if arguments.story:
        return _tell(seeds)
    result = campaign.run(Scenario(0), seeds, processes, _say, BROKEN_MAX)
    print(report.totals("faults", result, processes))
    if len(result.broken) >= BROKEN_MAX:
        print(f"  ended early, after {BROKEN_MAX} seeds that broke")
    return 1 if result.broken else 0


def _say(broken: Broken) -> None:
    command = f"python -m simulator faults --seeds {broken.seed}:{broken.seed + 1} --story"
    print(report.violation(broken, command), flush=True)


def _tell(seeds: range) -> int:
    """Each seed's whole chronicle; of one that breaks, the story of its job."""
    broke = False
    for seed in seeds:
        federation = Federation(Scenario(seed))
        lines = federation.world.chronicle
        try:
            outcome = federation.run()
        except Violation as violation:
            broke = True
            told = tuple(lines.story(violation.job_id))
            _say(Broken(seed, violation.invariant, str(violation), told))
            continue
        print(f"seed {seed}: {outcome.starts} starts, {sum(outcome.faults.values())} faults")
        print("\n".join(lines.table()))
        print(f"fingerprint {outcome.fingerprint}")
    return 1 if broke else 0


def _drift(seeds: range, processes: int) -> int:
    """Far beyond what is assumed of clocks: the fenced class may break, `proof` must not."""
    wild = Scenario(0, drift=DRIFT_TIMES * DRIFT)
    fenced = campaign.run(
        replace(wild, lease_classes=("restart",)), seeds, processes, _pass_over, len(seeds) + 1
    )
    proof = campaign.run(
        replace(wild, lease_classes=("proof",)), seeds, processes, _say, BROKEN_MAX
    )
    for name, result in (("restart", fenced), ("proof", proof)):
        title = f"class {name}, clocks off by up to {DRIFT_TIMES * DRIFT:.0%}"
        print(report.totals(title, result, processes))
    print(
        f"beyond the assumed {DRIFT:.0%} the time-fenced class broke in {len(fenced.broken)} of "
        f"{fenced.seeds} seeds, the class of proof in {len(proof.broken)} of {proof.seeds}"
    )
    return 1 if proof.broken else 0


def _pass_over(broken: Broken) -> None:
    """Documented, and no failure."""


# --- mutants ------------------------------------------------------------------------


def run_mutants(arguments: argparse.Namespace) -> int:
    """Exit status 1 when a mutant lives."""
    chosen = [BY_NAME[arguments.only]] if arguments.only else MUTANTS
    print(
        f"mutants: seeds {arguments.seeds.start}:{arguments.seeds.stop}, {len(chosen)} mechanisms"
    )
    alive = 0
    for result in hunt(chosen, arguments.seeds, arguments.jobs):
        alive += result.broken is None
        print(report.caught(result), flush=True)
    print(f"  {len(chosen) - alive} of {len(chosen)} died, {alive} live")
    for mutant in () if arguments.only else REDUNDANT:
        print(f"  redundant, not hunted: {mutant.name}: {mutant.with_it} suffice")
    return 1 if alive else 0
