"""How many seeds each mutant lives: the proof that the simulation can see."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from simulator.faults.campaign import Broken, play, played
from simulator.faults.federation import Outcome, Scenario
from simulator.faults.mutants import BY_NAME, Mutant


@dataclass(frozen=True, slots=True)
class Caught:
    """What became of a mutant. `broken` None: it lived through all its seeds."""

    mutant: Mutant
    seeds: int  # that were played
    seconds: float
    broken: Broken | None


def play_mutant(name: str, seed: int) -> Outcome | Broken:
    """One run of the house without a mechanism."""
    mutant = BY_NAME[name]
    with mutant.applied():
        return play(scenario_of(mutant), seed)


def scenario_of(mutant: Mutant) -> Scenario:
    return Scenario(0, mutant.lease_classes, hunt=mutant.hunt)


def hunt(mutants: Sequence[Mutant], seeds: range, processes: int) -> Iterator[Caught]:
    """Each mutant in turn, until the first seed that kills it."""
    for mutant in mutants:
        began = time.monotonic()
        broken: Broken | None = None
        count = 0
        with closing(played(partial(play_mutant, mutant.name), seeds, processes)) as results:
            for result in results:
                count += 1
                if isinstance(result, Broken):
                    broken = result
                    break
        yield Caught(mutant, count, time.monotonic() - began, broken)
