"""Running a study: bounds, then every policy over the same world, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scheduler import model
from simulator.bounds import Bounds, bounds
from simulator.policies import RIVALS, Staying, reference
from simulator.production import ROUND_SECONDS, Suan
from simulator.replay import Metrics, Outcome, Policy, measure, replay
from simulator.replay.instance import Floats
from simulator.replay.metrics import isolated_jct
from simulator.study.accounts import Accounts, account
from simulator.study.what_if import unknown
from simulator.study.world import World

PRODUCT = "suan"
POLICIES = (*RIVALS, PRODUCT)

# A step's name, how many units it has, how many are done.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Result:
    """One policy over the world."""

    name: str
    outcome: Outcome
    metrics: Metrics
    accounts: Accounts
    cpu_seconds: float

    @property
    def decisions_per_second(self) -> float:
        return self.outcome.decisions / self.cpu_seconds if self.cpu_seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Study:
    """What came of a question."""

    world: World
    bounds: Bounds
    results: tuple[Result, ...]


def checked(names: tuple[str, ...]) -> tuple[str, ...]:
    """The policies that are asked for, each once. Raises InvalidRequest for an unknown one."""
    for name in names:
        if name not in POLICIES:
            raise unknown(f"--compare: there is no policy {name!r}", name, POLICIES)
    return tuple(dict.fromkeys(names))


def study(world: World, policy: model.Policy, progress: Progress) -> Study:
    """Find the bounds and replay every policy of the question."""
    names = checked(world.question.compare)
    progress("lower bounds", 2, 0)
    found = bounds(world.instance)
    progress("lower bounds", 2, 1)
    isolated = isolated_jct(world.instance, reference)
    progress("lower bounds", 2, 2)
    return Study(world, found, tuple(_results(world, names, policy, isolated, progress)))


def _results(
    world: World,
    names: tuple[str, ...],
    policy: model.Policy,
    isolated: Floats,
    progress: Progress,
) -> Iterator[Result]:
    for name in names:
        jobs = len(world.instance)
        progress(name, jobs, 0)
        period = _period(world) if name == PRODUCT else 0.0
        begun = time.process_time()
        outcome = replay(
            world.instance,
            _policy(world, name, policy),
            period,
            world.incidents,
            lambda done, name=name, jobs=jobs: progress(name, jobs, done),  # type: ignore[misc]
        )
        spent = time.process_time() - begun
        progress(name, jobs, jobs)
        metrics = measure(world.instance, outcome, isolated)
        yield Result(name, outcome, metrics, account(world, outcome), spent)


def _period(world: World) -> float:
    asked = world.question.round_seconds
    return ROUND_SECONDS if asked is None else asked


def _policy(world: World, name: str, policy: model.Policy) -> Policy:
    known = world.instance.known
    if name == PRODUCT:
        return Suan(known, world.federation, world.workload, policy, networks=world.networks)
    rival = RIVALS[name].make(known, world.question.seed)
    return Staying(rival, known) if world.incidents.absences else rival
