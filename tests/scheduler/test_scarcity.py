"""How scarce models are: what a backlog does to the factors, and what factors do to places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.fleet import Fleet
from scheduler.length import Lengths, Wishes
from scheduler.model import (
    Accelerator,
    Demand,
    Network,
    Placement,
    Policy,
    Pool,
    QueueClass,
    Running,
    Scarce,
    Scarcity,
    Site,
    SiteState,
    Snapshot,
    Supernode,
    Variant,
    Work,
)
from scheduler.network import routes_of
from scheduler.placement import place
from scheduler.scarcity import FACTOR_MAX, MEMORY_SECONDS, Backlog, drifted
from scheduler.supply import Supply

NOW = 1_800_000_000.0
FAST, SLOW = "fast-card", "slow-card"


def pool(site: str, model: str) -> Pool:
    """One node of 8 cards, all free."""
    return Pool(site, "cards", model, 8, 8, 8, (Supernode("s0", (0,) * 8 + (1,)),))


def job(key: str, runs: dict[str, float], jobs: int = 1, at: float = NOW) -> QueueClass:
    """`jobs` gangs of 8 cards with a run measured on each model."""
    variants = tuple(Variant(model, 1, 8) for model in runs)
    model, seconds = next(iter(runs.items()))
    work = Work(seconds=seconds, accelerator=model, measured=tuple(runs.items()))
    ids = tuple(f"{key}-{n}" for n in range(jobs))
    return QueueClass(key, Demand(variants, work=work), "t", "", 0, ids, jobs, at)


def snapshot(*queue: QueueClass, running: tuple[Running, ...] = ()) -> Snapshot:
    return Snapshot(
        now=NOW,
        accelerators=(Accelerator(FAST, "FAST", "gpu"), Accelerator(SLOW, "SLOW", "npu")),
        sites=tuple(Site(name, "here", state=SiteState.OPEN) for name in ("a", "b")),
        pools=(pool("a", FAST), pool("b", SLOW)),
        network=Network((), ()),
        datasets=(),
        queue=queue,
        running=running,
    )


def left(here: Snapshot) -> Scarcity:
    """What a round leaves that finds no free card."""
    supply = Supply(Fleet(here, routes_of(here.network), 0.4), here)
    lengths = Lengths(here.accelerators, Policy(), supply.by_model())
    runs = [lengths.by_model(queued.demand) for queued in here.queue]
    wishes = Wishes.of(tuple(supply.by_model()), runs)
    jobs = np.array([queued.queued for queued in here.queue])
    factors = drifted(here.scarcity, here.now)
    return Backlog(supply, here.running, here.now).scarcity(factors, wishes, jobs, here.now)


def after(here: Snapshot, seconds: float) -> dict[str, float]:
    """The factors when the same state has lasted so long."""
    return drifted(left(here), here.now + seconds)


def told(**factors: float) -> Scarcity:
    named = sorted((name.replace("_", "-"), factor) for name, factor in factors.items())
    return Scarcity(NOW, tuple(Scarce(name, factor, factor) for name, factor in named))


def test_a_first_look_changes_nothing() -> None:
    assert after(snapshot(job("many", {FAST: 3600.0}, jobs=50)), 0.0) == {FAST: 1.0, SLOW: 1.0}


def test_a_backlog_makes_its_model_scarce_and_the_other_plentiful() -> None:
    here = snapshot(job("many", {FAST: 3600.0}, jobs=50))
    soon, late = after(here, MEMORY_SECONDS / 10), after(here, 1e9)
    assert 1.0 < soon[FAST] < late[FAST]
    assert 1.0 > soon[SLOW] > late[SLOW]
    # all of the backlog is on one of two models: (0.2 + 0.8 × 2)^½ and 0.2^½
    assert late == pytest.approx({FAST: 1.8**0.5, SLOW: 0.2**0.5})


def test_runs_alone_make_nothing_scarce() -> None:
    busy = Running("a/cards", 8, NOW + 86_400.0)
    here = replace(snapshot(running=(busy,)), scarcity=told(fast_card=4.0))
    assert after(here, 0.0)[FAST] == pytest.approx(4.0)
    assert after(here, 1e9) == pytest.approx({FAST: 1.0, SLOW: 1.0})


def test_whoever_may_choose_counts_where_it_costs_least() -> None:
    here = snapshot(job("either", {FAST: 3000.0, SLOW: 3600.0}, jobs=10))
    assert after(here, 1e9)[FAST] > 1.0
    dear = replace(here, scarcity=told(fast_card=2.0, slow_card=1.0))
    assert after(dear, 1e9)[SLOW] > 1.0


def test_what_a_round_places_waits_no_more() -> None:
    found = place(snapshot(job("few", {FAST: 3600.0}))).scarcity
    assert [each.pull for each in found.models] == [1.0, 1.0]
    found = place(snapshot(job("many", {FAST: 3600.0}, jobs=5))).scarcity
    assert found.models[0].pull > 1.0 > found.models[1].pull


def test_a_model_that_is_gone_and_absurd_figures() -> None:
    here = snapshot(
        job("endless", {FAST: 1e300}, jobs=3),
        job("elsewhere", {"unknown-card": 60.0}),
        running=(Running("b/cards", 8, NOW - 1e9), Running("gone/cards", 8, NOW + 60.0)),
    )
    found = after(replace(here, scarcity=told(old_card=3.0, fast_card=FACTOR_MAX)), 60.0)
    assert set(found) == {FAST, SLOW}
    assert all(1 / FACTOR_MAX <= factor <= FACTOR_MAX for factor in found.values())


def places(here: Snapshot, **factors: float) -> dict[str, str]:
    found: tuple[Placement, ...] = place(replace(here, scarcity=told(**factors))).placements
    return {each.job_id: each.pool for each in found}


def test_a_job_leaves_a_scarce_model_to_those_that_gain_more() -> None:
    little, much = {FAST: 3000.0, SLOW: 3600.0}, {FAST: 600.0, SLOW: 36_000.0}
    assert places(snapshot(job("j", little))) == {"j-0": "a/cards"}
    assert places(snapshot(job("j", little)), fast_card=2.0) == {"j-0": "b/cards"}
    assert places(snapshot(job("j", much)), fast_card=2.0) == {"j-0": "a/cards"}


def test_the_explanation_tells_that_a_model_is_scarce() -> None:
    here = snapshot(job("j", {FAST: 3000.0, SLOW: 3600.0}))
    found = place(replace(here, scarcity=told(fast_card=2.0, slow_card=1.0)))
    ((_, why),) = found.explanations
    chosen, lost = why.candidates
    assert chosen.chosen and chosen.pool == "b/cards"
    assert lost.score.scarcity_seconds == pytest.approx(lost.score.run_seconds)
    assert lost.lost_because == "fast-card is scarce and better kept for others than b/cards"
