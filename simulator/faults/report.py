"""What campaigns and hunts say on the terminal."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from simulator.faults.campaign import Broken, Totals
from simulator.faults.hunting import Caught

STORY_LINES_MAX = 400


def commit() -> str:
    """The commit that is checked out, with a + when files were changed since; "unknown"."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip()


def violation(broken: Broken, command: str) -> str:
    """A seed that broke, why, and the one command that plays it again."""
    lines = [
        f"VIOLATION of {broken.invariant} in seed {broken.seed}, commit {commit()}",
        f"  {broken.what}",
        *(f"  {line}" for line in broken.story[:STORY_LINES_MAX]),
        f"  replay: {command}",
    ]
    return "\n".join(lines)


def totals(name: str, result: Totals, processes: int) -> str:
    """A campaign's figures."""
    seconds = max(result.wall_seconds, 1e-9)
    seeds = max(result.seeds, 1)
    faults = sum(result.faults.values())
    hours = result.virtual_seconds / 3_600
    lines = [
        f"{name}: {result.seeds} seeds in {seconds:.1f} s on {processes} "
        f"{'process' if processes == 1 else 'processes'}: {result.seeds / seconds:.2f} seeds/s",
        f"  virtual time   {hours:,.1f} h, {hours * 3_600 / seconds:,.0f} times as fast as real",
        f"  jobs           {result.jobs:,}; {result.starts:,} starts, of them {result.copies:,} "
        "beside an older copy of class overlap",
        f"  elections      {result.elections:,}",
        f"  messages       {result.dropped:,} lost, {result.delayed:,} late, "
        f"{result.repeated:,} again or from dead streams",
        f"  faults         {faults:,}: {faults / seeds:.1f} a seed, "
        f"at least {result.faults_fewest}",
    ]
    lines += [f"    {kind:<16} {count:,}" for kind, count in sorted(result.faults.items())]
    lines.append(f"  violations     {len(result.broken)}")
    lines += [f"    {what} {count}" for what, count in _by_invariant(result.broken)]
    return "\n".join(lines)


def _by_invariant(broken: Iterable[Broken]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for each in broken:
        counts[each.invariant] = counts.get(each.invariant, 0) + 1
    return sorted(counts.items())


def caught(result: Caught) -> str:
    """One line for a mutant."""
    mutant = result.mutant
    if result.broken is None:
        end = f"LIVES after {result.seeds} seeds"
    else:
        end = f"dies of {result.broken.invariant} at seed {result.broken.seed}"
    also = f" (with {mutant.with_it})" if mutant.with_it else ""
    return (
        f"  {mutant.name:<26} {end:<28} {result.seconds:6.1f} s  without: {mutant.mechanism}{also}"
    )
