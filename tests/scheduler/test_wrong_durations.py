"""Durations that are wrong by up to ten times, either way, are survived.

A small federation in virtual time: real rounds, jobs that run for their true time while the
scheduler believes another. Everything is placed, and ends not much later than with the truth.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from federations import NOW, gang, pool, queued, snapshot, supernode

from scheduler.corrections import updated
from scheduler.memo import Memo
from scheduler.model import Correction, Demand, Learned, Running, Snapshot, Supernode, Work
from scheduler.placement import place

JOBS = 60
MODELS = ("ascend-910b", "hygon-k100-ai", "nvidia-h100")
SITES = ("shenzhen", "zhengzhou", "guiyang")
PEAKS = {"ascend-910b": 320.0, "hygon-k100-ai": 160.0, "nvidia-h100": 960.0}
FAMILIES = 6


@dataclass(frozen=True)
class Task:
    """A job: `seconds` are true on 8 Ascend cards' worth of speed; `stated` is what it says."""

    name: str
    submitted_at: float
    cards: int
    seconds: float
    stated: float
    family: str = ""

    def true_seconds(self, model: str) -> float:
        return self.seconds * PEAKS["ascend-910b"] / PEAKS[model]


def tasks(
    seed: int, wrong: Callable[[random.Random, int], float], family: bool = False
) -> list[Task]:
    """Arrivals at about 0.8 of what the federation can do, runs of minutes to a day."""
    shape, error = random.Random(seed), random.Random(seed + 1)
    found, at = [], 0.0
    for number in range(JOBS):
        at += shape.expovariate(1 / 600.0)
        seconds = min(86_400.0, max(60.0, shape.lognormvariate(math.log(3600), 1.2)))
        cards = shape.choice((1, 2, 4, 8, 8))
        kin = number % FAMILIES
        stated = seconds * wrong(error, kin)
        found.append(Task(f"j{number}", at, cards, seconds, stated, f"f{kin}" if family else ""))
    return found


class World:
    """The federation and its clock; one real round at each arrival and each end."""

    def __init__(self, jobs: list[Task]) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.waiting: list[Task] = []
        self.events: list[tuple[float, int, str]] = []
        for number, job in enumerate(jobs):
            heapq.heappush(self.events, (job.submitted_at, number, f"submit {job.name}"))
        self.nodes: dict[str, dict[str, Supernode]] = {
            f"{site}/main": {name: supernode(name, 8) for name in ("a", "b")} for site in SITES
        }
        self.running: dict[str, tuple[Running, str, str, float]] = {}  # … supernode, model, begun
        self.learned: dict[tuple[str, str], Correction] = {}
        self.predicted: dict[str, tuple[str, float]] = {}
        self.ended_at: dict[str, float] = {}
        self.off_by: dict[str, float] = {}  # ln(expected run ÷ true), by job
        self.memo = Memo()

    def run(self) -> float:
        """Mean completion time in seconds."""
        while self.events:
            at, _, what = heapq.heappop(self.events)
            kind, name = what.split()
            self._submit(name) if kind == "submit" else self._end(name, at)
            self._round(at)
        assert len(self.ended_at) == len(self.jobs), "everything is placed and ends"
        spent = (at - self.jobs[name].submitted_at for name, at in self.ended_at.items())
        return sum(spent) / len(self.jobs)

    def _submit(self, name: str) -> None:
        self.waiting.append(self.jobs[name])

    def _end(self, name: str, at: float) -> None:
        held, row, model, begun = self.running.pop(name)
        back = self.nodes[held.pool][row].nodes_by_free.index(1)
        self.nodes[held.pool][row] = supernode(row, back + held.cards)
        self.ended_at[name] = at
        if family := self.jobs[name].family:
            source, seconds = self.predicted[name]
            after = updated(self.learned.get((family, model)), source, seconds, at - begun)
            if after is not None:
                self.learned[family, model] = after

    def _snapshot(self, at: float) -> Snapshot:
        pools = [
            replace(pool(site, model, self.nodes[f"{site}/main"].values()), cards_total=16)
            for site, model in zip(SITES, MODELS, strict=True)
        ]
        queue = [
            replace(
                queued(job.name, self._demand(job)),
                jobs=(job.name,),
                oldest_submitted_at=NOW + job.submitted_at,
            )
            for job in self.waiting
        ]
        learned = tuple(
            Learned("tenant-a", family, model, row) for (family, model), row in self.learned.items()
        )
        running = tuple(held for held, *_ in self.running.values())
        shot = snapshot(pools, queue, running=running, learned=learned)
        return replace(shot, now=NOW + at)

    def _demand(self, job: Task) -> Demand:
        ways = tuple(gang(1, job.cards, model) for model in MODELS)
        work = Work(job.stated, "ascend-910b", job.cards)
        return Demand(ways, work=work, family=job.family)

    def _round(self, at: float) -> None:
        shot = self._snapshot(at)
        for chosen in place(shot, memo=self.memo).placements:
            job, [part] = self.jobs[chosen.job_id], chosen.slices
            model = MODELS[chosen.variant]
            row = self.nodes[chosen.pool][part.supernode]
            self.nodes[chosen.pool][part.supernode] = row.take(part.nodes, part.cards)
            expected = Running(chosen.pool, job.cards, shot.now + chosen.score.run_seconds)
            self.running[job.name] = (expected, part.supernode, model, at)
            basis = chosen.score.basis
            self.predicted[job.name] = basis.source, basis.work_seconds
            self.off_by[job.name] = math.log(chosen.score.run_seconds / job.true_seconds(model))
            self.waiting.remove(job)
            end = at + job.true_seconds(model)
            heapq.heappush(self.events, (end, len(self.jobs), f"end {job.name}"))


def exact(_random: random.Random, _kin: int) -> float:
    return 1.0


def anything(chance: random.Random, _kin: int) -> float:
    """0.1 to 10, evenly on a log scale, job by job."""
    return 10.0 ** chance.uniform(-1.0, 1.0)


def by_family(_chance: random.Random, kin: int) -> float:
    """0.1 to 10, the same for all jobs of a family."""
    return 10.0 ** (2.0 * kin / (FAMILIES - 1) - 1.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_durations_wrong_by_ten_times_cost_a_bounded_share(seed: int) -> None:
    truth = World(tasks(seed, exact)).run()
    wrong = World(tasks(seed, anything)).run()
    assert wrong <= 1.5 * truth


def test_what_is_wrong_by_family_is_learned() -> None:
    unlearned = World(tasks(4, by_family))
    learned = World(tasks(4, by_family, family=True))
    unlearned.run(), learned.run()
    late = [f"j{number}" for number in range(JOBS // 2, JOBS)]
    errors = [sorted(abs(world.off_by[name]) for name in late) for world in (unlearned, learned)]
    median, median_learned = (each[len(each) // 2] for each in errors)
    assert median_learned < median / 2
