"""Sending ahead in virtual time: data come while jobs wait, and nobody ends later for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from broker.core.limits import Limits
from scheduler.model import (
    Accelerator,
    Dataset,
    Link,
    Network,
    NetworkNode,
    Pool,
    Precision,
    Site,
)
from simulator.federation import Federation, Workload, instance, synthesise
from simulator.federation.model import empty_supernodes
from simulator.production import Suan
from simulator.production.ahead import Ahead
from simulator.replay import Absence, Incidents, Instance, Outcome, replay
from simulator.replay.view import Place
from simulator.traces import TraceJob

MODEL = Accelerator(
    "ascend-910b", "huawei", "npu", 1, 64.0, 1.6, ((Precision.BF16, 320.0),), 8, 400.0
)
NO_INCIDENTS = Incidents()
STAGE_SECONDS, RUN_SECONDS = 800.0, 1_000.0
DATA = Dataset("data", 10**12, ("store",))


def world(count: int, every: float = 10.0) -> tuple[Federation, Workload, Instance]:
    """All data are at `store`, which has no room for such wide jobs; `west` runs one at a time."""
    made = Federation(
        name="two",
        sites=(Site("store", "a", "r"), Site("west", "b", "r")),
        pools=tuple(
            Pool(name, "main", MODEL.model, 8, 8 * nodes, 8 * nodes, empty_supernodes(nodes, 8, 1))
            for name, nodes in (("store", 1), ("west", 2))
        ),
        accelerators=(MODEL,),
        network=Network((NetworkNode("a"), NetworkNode("b")), (Link("a", "b", 10.0, 0.0),)),
    )
    trace = [TraceJob(f"j{at}", at * every, RUN_SECONDS, 16, at + 1) for at in range(count)]
    workload = synthesise(trace, made, 1)
    workload = replace(workload, datasets=(DATA,), dataset=np.zeros(count, np.int64))
    return made, workload, instance(made, workload)


def played(
    count: int,
    ahead: bool,
    incidents: Incidents = NO_INCIDENTS,
    every: float = 10.0,
) -> tuple[Suan, Outcome]:
    made, workload, found = world(count, every)
    limits = Limits() if ahead else Limits(prestages_max=0)
    suan = Suan(found.known, made, workload, limits=limits)
    return suan, replay(found, suan, 10.0, incidents)


def test_what_waits_for_cards_does_not_wait_for_its_data_too() -> None:
    _, without = played(6, ahead=False)
    suan, sent = played(6, ahead=True)
    assert without.finished == sent.finished == 6
    runs = float(world(6)[2].run_seconds[:, 0].sum())
    assert without.ended_seconds.max() == pytest.approx(6 * STAGE_SECONDS + runs, abs=100.0)
    assert sent.ended_seconds.max() == pytest.approx(STAGE_SECONDS + runs, abs=100.0)
    assert (sent.started_seconds <= without.started_seconds).all()
    assert (sent.ended_seconds <= without.ended_seconds).all()
    assert suan.broker.core.memory.transfers.counts.booked >= 1


def test_the_same_again() -> None:
    once, again = played(6, ahead=True)[1], played(6, ahead=True)[1]
    assert np.array_equal(once.ended_seconds, again.ended_seconds)


@pytest.mark.parametrize("every", [10.0, 700.0, 3_000.0])
def test_no_job_ends_sooner_than_alone(every: float) -> None:
    """Data set out at the submission at the earliest: the lower bounds hold."""
    _, _, found = world(6, every)
    _, sent = played(6, ahead=True, every=every)
    took = sent.ended_seconds - found.known.submit_seconds
    assert (took >= found.solo_seconds() - 1e-6).all()


def test_a_site_that_fails_and_returns_is_sent_to_again() -> None:
    away = Incidents((Absence((1,), 2_500.0, 2_600.0),))
    _, sent = played(6, ahead=True, incidents=away)
    assert sent.finished == 6 and sent.lost_runs == 1
    _, without = played(6, ahead=False, incidents=away)
    assert sent.ended_seconds.max() < without.ended_seconds.max()


def test_each_job_is_sent_for_once_in_each_pool() -> None:
    _, workload, found = world(3)
    ahead = Ahead(found.known, workload, {"store": [0], "west": [1]})
    assert ahead.wait(0, 0.0) == []
    assert ahead.want("west", ["data", "other"], 10.0) == [Place(0, 1)]
    assert ahead.want("west", ["data"], 20.0) == []
    assert ahead.wait(1, 30.0) == [Place(1, 1)]
    ahead.want("west", [], 40.0)
    assert ahead.wait(2, 50.0) == []
    assert ahead.start(Place(0, 1), 500.0) == pytest.approx(10.0 + STAGE_SECONDS)
    assert ahead.start(Place(2, 1), 500.0) == pytest.approx(500.0 + STAGE_SECONDS)
    assert ahead.start(Place(1, 1), 5_000.0) == 5_000.0
