"""Many seeds, on several processes: what they came to together, and what broke.

Nothing here depends on how many processes there are, except how long it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from simulator.faults.federation import Federation, Outcome, Scenario
from simulator.faults.invariants import Violation

SEEDS_AT_A_TIME = 4  # that one process plays before it tells
SEEDS_AHEAD_MAX = 64  # handed out and not told, for each process


@dataclass(frozen=True, slots=True)
class Broken:
    """A seed that broke an invariant, and the story of the job."""

    seed: int
    invariant: str
    what: str
    story: tuple[str, ...] = field(repr=False)


Play = Callable[[int], Outcome | Broken]


def play(scenario: Scenario, seed: int) -> Outcome | Broken:
    """One run of `scenario` with another seed."""
    federation = Federation(scenario.of(seed))
    try:
        return federation.run()
    except Violation as violation:
        story = tuple(federation.world.chronicle.story(violation.job_id))
        return Broken(seed, violation.invariant, str(violation), story)


def played(play_one: Play, seeds: range, processes: int) -> Generator[Outcome | Broken, None, None]:
    """Each seed's result, in the order of the seeds."""
    if processes <= 1:
        yield from map(play_one, seeds)
        return
    with ProcessPoolExecutor(processes) as pool:
        try:
            waiting: list[Future[list[Outcome | Broken]]] = []
            chunks = _chunks(seeds)
            for chunk in islice(chunks, SEEDS_AHEAD_MAX // SEEDS_AT_A_TIME * processes):
                waiting.append(pool.submit(_play_all, play_one, chunk))
            while waiting:
                yield from waiting.pop(0).result()
                for chunk in islice(chunks, 1):
                    waiting.append(pool.submit(_play_all, play_one, chunk))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _chunks(seeds: range) -> Iterator[range]:
    for first in range(seeds.start, seeds.stop, SEEDS_AT_A_TIME):
        yield range(first, min(first + SEEDS_AT_A_TIME, seeds.stop))


def _play_all(play_one: Play, seeds: range) -> list[Outcome | Broken]:
    return [play_one(seed) for seed in seeds]


@dataclass(slots=True)
class Totals:
    """What a campaign came to."""

    wall_seconds: float = 0.0
    seeds: int = 0
    virtual_seconds: float = 0.0
    steps: int = 0
    starts: int = 0
    copies: int = 0
    jobs: int = 0
    elections: int = 0
    dropped: int = 0
    delayed: int = 0
    repeated: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    faults_fewest: int = 0  # of one seed
    broken: list[Broken] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        faults = sum(outcome.faults.values())
        whole = self.seeds > len(self.broken)
        self.faults_fewest = min(self.faults_fewest, faults) if whole else faults
        self.seeds += 1
        self.virtual_seconds += outcome.seconds
        for name in ("steps", "starts", "copies", "jobs", "elections"):
            setattr(self, name, getattr(self, name) + getattr(outcome, name))
        for name in ("dropped", "delayed", "repeated"):
            setattr(self, name, getattr(self, name) + getattr(outcome, name))
        for kind, count in outcome.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + count


def run(
    scenario: Scenario,
    seeds: range,
    processes: int,
    tell: Callable[[Broken], None],
    broken_max: int,
) -> Totals:
    """Play all seeds, or until `broken_max` of them broke; each of those is told at once."""
    totals, began = Totals(), time.monotonic()
    with closing(played(partial(play, scenario), seeds, processes)) as results:
        for result in results:
            if isinstance(result, Outcome):
                totals.add(result)
                continue
            totals.seeds += 1
            totals.broken.append(result)
            tell(result)
            if len(totals.broken) >= broken_max:
                break
    totals.wall_seconds = time.monotonic() - began
    return totals
