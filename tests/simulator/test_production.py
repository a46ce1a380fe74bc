"""The product in virtual time: every job runs once, also when sites fail and links are cut."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from broker.core.lifecycle import JobState
from scheduler.model import (
    Accelerator,
    Link,
    Network,
    NetworkNode,
    Pool,
    Precision,
    Site,
    Slice,
    Supernode,
)
from simulator.federation import Federation, Workload, instance, synthesise
from simulator.federation.model import empty_supernodes
from simulator.production import Suan
from simulator.production.cards import PoolCards
from simulator.production.policy import id_of
from simulator.production.specs import layout
from simulator.replay import Absence, Incidents, Instance, Outcome, measure, replay
from simulator.traces import TraceJob

MODEL = Accelerator(
    "ascend-910b", "huawei", "npu", 1, 64.0, 1.6, ((Precision.BF16, 320.0),), 8, 400.0
)


def federation(nodes: int = 2, sites: int = 2) -> Federation:
    names = [f"s{at}" for at in range(sites)]
    links = tuple(Link(a, b, 10.0, 5.0) for a, b in pairwise(names))
    return Federation(
        name="small",
        sites=tuple(Site(name, name, f"r-{name}") for name in names),
        pools=tuple(
            Pool(name, "main", MODEL.model, 8, 8 * nodes, 8 * nodes, empty_supernodes(nodes, 8, 1))
            for name in names
        ),
        accelerators=(MODEL,),
        network=Network(tuple(NetworkNode(name) for name in names), links),
    )


def jobs(count: int, every: float = 100.0, seconds: float = 1_000.0) -> list[TraceJob]:
    widths = (1, 8, 3, 16, 2)
    return [
        TraceJob(
            f"j{at}", at * every, seconds + 7 * at, widths[at % len(widths)], at + 1, tenant="a"
        )
        for at in range(count)
    ]


def world(made: Federation, trace: list[TraceJob]) -> tuple[Instance, Workload]:
    workload = synthesise(trace, made, 1)
    return instance(made, workload), workload


def played(
    made: Federation,
    trace: list[TraceJob],
    incidents: Incidents = Incidents(),  # noqa: B008
    round_seconds: float = 10.0,
) -> tuple[Instance, Suan, Outcome]:
    found, workload = world(made, trace)
    suan = Suan(found.known, made, workload)
    return found, suan, replay(found, suan, round_seconds, incidents)


def never_over_capacity(found: Instance, outcome: Outcome) -> bool:
    """By the outcome alone: cards held at the start of each job stay within its pool."""
    start, end, pool = outcome.started_seconds, outcome.ended_seconds, outcome.pool
    for at in np.flatnonzero(np.isfinite(end)):
        there = (pool == pool[at]) & (start <= start[at]) & (end > start[at])
        if found.known.cards[there].sum() > found.known.pools.cards[pool[at]]:
            return False
    return True


def test_every_job_runs_to_its_end() -> None:
    found, suan, outcome = played(federation(), jobs(60))
    state = suan.broker.core.memory.state
    assert outcome.finished == 60
    assert never_over_capacity(found, outcome)
    assert {job.state for job in state.jobs.values()} == {JobState.SUCCEEDED}
    state.check()
    for row, job in enumerate(state.jobs.values()):
        attempt = job.attempts[-1]
        assert (job.id, len(job.attempts)) == (id_of(row), 1)
        ran = attempt.ended_at - attempt.started_at
        assert ran == pytest.approx(found.run_seconds[row, 0], abs=1e-3)
        staged = attempt.started_at - attempt.placed_at
        place = row, int(outcome.pool[row])
        assert 0.0 <= staged <= found.known.stage_seconds[place] + 1e-3  # some was sent ahead


def test_the_same_again() -> None:
    once, again = (played(federation(), jobs(40))[2] for _ in range(2))
    assert np.array_equal(once.ended_seconds, again.ended_seconds)
    assert np.array_equal(once.pool, again.pool)


def test_rounds_are_no_more_often_than_asked() -> None:
    _, often, _ = played(federation(), jobs(60), round_seconds=0.0)
    found, seldom, outcome = played(federation(), jobs(60), round_seconds=500.0)
    last = float(np.nanmax(outcome.ended_seconds))
    assert seldom.broker.rounds <= last / 500.0 + 1 < often.broker.rounds
    assert measure(found, outcome).finished == 60


def test_a_job_that_fits_nowhere_stays_unfinished() -> None:
    trace = [*jobs(5), TraceJob("wide", 600.0, 10.0, 64, 9, tenant="a")]
    found, suan, outcome = played(federation(), trace)
    assert outcome.finished == 5 == found.feasible.sum()
    assert suan.broker.core.memory.state.jobs[id_of(5)].failure.code == "NeverPlaceable"  # type: ignore[union-attr]


def test_a_failed_sites_jobs_run_elsewhere_once_their_leases_are_over() -> None:
    """Nobody tells the core: it hears the silence, waits for the lease, and places again."""
    away = Incidents((Absence((0,), 500.0, math.inf),))
    found, suan, outcome = played(federation(), jobs(12), away)
    assert outcome.lost_runs > 0
    assert outcome.finished == 12
    state = suan.broker.core.memory.state
    moved = [job for job in state.jobs.values() if len(job.attempts) == 2]
    assert len(moved) == outcome.lost_runs
    for job in moved:
        lost, second = job.attempts
        assert (lost.outcome, lost.failure.code if lost.failure else "") == ("lost", "SiteLost")
        assert second.site == "s1"
        assert second.placed_at - (1.8e9 + 500.0) > 600.0  # the lease
    assert not np.any((outcome.pool == 0) & (outcome.ended_seconds > 500.0))
    assert outcome.lost_card_seconds is not None and outcome.lost_card_seconds[0] > 0
    assert never_over_capacity(found, outcome)


def test_a_site_that_comes_back_soon_speaks_for_its_lost_runs() -> None:
    """Its reports come before the leases are over, so its jobs need not wait for them."""
    away = Incidents((Absence((0, 1), 500.0, 560.0),))
    _, suan, outcome = played(federation(), jobs(12), away)
    assert outcome.lost_runs > 0 and outcome.finished == 12
    attempts = [job.attempts for job in suan.broker.core.memory.state.jobs.values()]
    again = [each for each in attempts if len(each) == 2]
    assert len(again) == outcome.lost_runs
    assert {each[0].failure.code for each in again if each[0].failure} == {"SiteFailed"}


def test_a_cut_link_keeps_jobs_where_their_data_are() -> None:
    made = federation()
    trace = jobs(20)
    found, workload = world(made, trace)
    cut = Network(made.network.nodes, ())
    suan = Suan(found.known, made, workload, networks=((0.0, cut),))
    outcome = replay(found, suan, 10.0)
    homes = [workload.datasets[at].replicas for at in workload.dataset]
    assert outcome.finished == 20
    for job, pool in enumerate(outcome.pool):
        assert made.pools[pool].site in homes[job]


@pytest.mark.parametrize(
    ("cards", "most", "expected"),
    [
        (1, 8, (1, 1)),
        (8, 8, (1, 8)),
        (64, 8, (8, 8)),
        (12, 8, (2, 6)),
        (79, 8, (10, 8)),
        (5, 4, (2, 3)),
    ],
)
def test_gangs_are_laid_over_few_nodes(cards: int, most: int, expected: tuple[int, int]) -> None:
    assert layout(cards, most) == expected


def test_nodes_are_taken_as_the_core_believes() -> None:
    pool = Pool("s", "p", MODEL.model, 8, 24, 24, (Supernode("x", (0,) * 8 + (3,)),))
    cards = PoolCards(pool)
    expected = pool.supernodes[0]
    held = []
    for nodes, each in ((1, 3), (2, 4), (1, 5), (1, 8)):
        part = cards.take((Slice("x", nodes, each),))
        if expected.nodes_fitting(each) < nodes:
            assert part is None
            continue
        assert part is not None
        held.append(part)
        expected = expected.take(nodes, each)
        assert cards.report().supernodes == (expected,)
    for part in held:
        cards.give(part)
    assert cards.report() == pool
