"""Fair shares: unlike cards compare, levels are kept, and competitors converge to their weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
from federations import (
    ASCEND,
    CATALOGUE,
    HYGON,
    NOW,
    gang,
    pool,
    queued,
    snapshot,
    supernode,
)
from micro_broker import MicroBroker

from scheduler.compute import UNKNOWN, worths
from scheduler.model import Accelerator, Demand, Entitlement, Policy, QueueClass, Usage
from scheduler.placement import place
from scheduler.priority import AGEING_RUNS, AGEING_SECONDS, PriorityClass, points
from scheduler.shares import Shares

FREE = supernode("s0", *[8] * 8)
POOLS = [pool("shenzhen", supernodes=[FREE]), pool("zhengzhou", "hygon-k100-ai", [FREE])]
ONE = Demand((gang(1, 1),))


def project_of(key: str, tenant: str, project: str, demand: Demand = ONE) -> QueueClass:
    return replace(queued(key, demand, tenant=tenant), project=project)


def test_cards_are_worth_what_they_compute_and_hold() -> None:
    worth = worths(CATALOGUE)
    assert (worth[ASCEND.model].compute, worth[ASCEND.model].memory) == (1.0, 1.0)
    assert worth[HYGON.model].compute == 0.5
    assert worth["nvidia-h100"].compute == 3.0
    assert worths((Accelerator("bare", "x", "npu"),))["bare"].compute == UNKNOWN.compute == 1.0


def test_an_hour_of_unlike_cards_compares() -> None:
    """The dominant of arithmetic and memory: two slow cards equal a fast one in arithmetic."""
    usages = (
        Usage("a", "", cards=((ASCEND.model, 8),)),
        Usage("b", "", cards=((HYGON.model, 16),)),
    )
    shares = Shares(snapshot(POOLS, usages=usages))
    capacity, memory = 64 * 1.0 + 64 * 0.5, 128.0
    assert shares.ratios("a", "")[0] == pytest.approx(max(8 / capacity, 8 / memory) * 2)
    assert shares.ratios("b", "")[0] == pytest.approx(max(8 / capacity, 16 / memory) * 2)


def test_what_was_held_before_counts_and_what_is_given_now_counts_at_once() -> None:
    usages = (Usage("old", "", mean_cards=((ASCEND.model, 8.0),)),)
    shares = Shares(snapshot(POOLS, [queued("n", ONE, tenant="new")], usages=usages))
    assert shares.ratios("old", "") > shares.ratios("new", "") == (0.0, 0.0)
    shares.give("new", "", ASCEND.model, 9)
    assert shares.ratios("new", "") > shares.ratios("old", "")


def test_a_project_never_passes_before_its_tenants_turn() -> None:
    usages = (
        Usage("big", "heavy", cards=((ASCEND.model, 40),)),
        Usage("small", "only", cards=((ASCEND.model, 8),)),
    )
    waiting = [project_of("x", "big", "idle"), project_of("y", "small", "only")]
    shares = Shares(snapshot(POOLS, waiting, usages=usages))
    assert shares.ratios("small", "only") < shares.ratios("big", "idle")
    assert shares.ratios("big", "idle") < shares.ratios("big", "heavy")


def test_no_project_is_a_project_of_its_own_and_gains_nothing() -> None:
    usages = (Usage("t", "", cards=((ASCEND.model, 8),)), Usage("t", "p", cards=()))
    shares = Shares(snapshot(POOLS, [project_of("x", "t", "p")], usages=usages))
    assert shares.ratios("t", "p") < shares.ratios("t", "")


def test_weights_of_projects_count_within_their_tenant() -> None:
    usages = tuple(Usage("t", name, cards=((ASCEND.model, 8),)) for name in ("light", "heavy"))
    entitled = (Entitlement("t", "heavy", weight=3.0),)
    shares = Shares(snapshot(POOLS, usages=usages, entitlements=entitled))
    light, heavy = shares.ratios("t", "light"), shares.ratios("t", "heavy")
    assert light[0] == heavy[0]
    assert light[1] == pytest.approx(3 * heavy[1])


@pytest.mark.parametrize(("weights", "expected"), [((1.0, 1.0), 0.5), ((3.0, 1.0), 0.75)])
def test_competing_tenants_converge_to_their_weights(
    weights: tuple[float, float], expected: float
) -> None:
    """From a state in which one of them holds everything, with jobs of unlike length."""
    broker = MicroBroker(
        [pool("shenzhen", supernodes=[FREE])],
        (Entitlement("a", weight=weights[0]), Entitlement("b", weight=weights[1])),
    )
    broker.keep_waiting("b", ONE, [7, 11, 13])
    for _ in range(30):
        broker.round()
    assert broker.held("b") == 64
    broker.keep_waiting("a", ONE, [5, 17])
    share = []
    for _ in range(150):
        broker.round()
        share.append(broker.held("a") / 64)
    assert sum(share[-75:]) / 75 == pytest.approx(expected, abs=0.05)


def test_projects_of_one_tenant_converge_to_theirs() -> None:
    broker = MicroBroker(
        [pool("shenzhen", supernodes=[FREE])], (Entitlement("t", "p", weight=3.0),)
    )
    broker.keep_waiting("t", ONE, [7, 11], project="p")
    broker.keep_waiting("t", ONE, [9, 13], project="q")
    share = []
    for _ in range(150):
        broker.round()
        share.append(broker.held("t", "p") / 64)
    assert sum(share[-75:]) / 75 == pytest.approx(0.75, abs=0.05)


# --- priority, age, deadline ----------------------------------------------------------


def test_classes_have_names_and_bounds() -> None:
    named = {-1000: "LOW", -1: "LOW", 0: "NORMAL", 99: "NORMAL", 100: "HIGH", 500: "URGENT"}
    assert {number: PriorityClass.of(number).name for number in named} == named
    assert PriorityClass.of(-5000) is PriorityClass.LOW


def test_age_moves_a_job_up_in_whole_steps_and_a_near_deadline_to_the_head_of_its_class() -> None:
    assert points(0, AGEING_SECONDS - 1) == 0
    assert points(0, AGEING_SECONDS) == 100
    assert points(0, AGEING_SECONDS, run_seconds=60.0) == 0  # twenty minutes more for its length
    assert points(0, AGEING_SECONDS + AGEING_RUNS * 60.0, run_seconds=60.0) == 100
    assert points(0, -5.0) == 0
    late, near, far = NOW - 1.0, NOW + 5_000.0, NOW + 1e6
    assert [points(0, 0.0, at, NOW, 3_600.0) for at in (late, near, far, 0.0)] == [0, 99, 0, 0]
    assert points(100, 0.0) > points(0, 0.0, near, NOW, 3_600.0)


def test_no_stream_of_urgent_jobs_keeps_an_old_one_waiting() -> None:
    full = Demand((gang(8, 8),))
    run_seconds = Policy().run_seconds_default
    step_seconds = AGEING_SECONDS + AGEING_RUNS * run_seconds
    old = queued("old", full, age_seconds=5 * step_seconds)
    urgent = queued("urgent", full, priority=499)
    young = replace(old, oldest_submitted_at=NOW)
    for waiting, first in ((old, "old/0"), (young, "urgent/0")):
        decided = place(snapshot([POOLS[0]], [urgent, waiting]))
        assert [placed.job_id for placed in decided.placements] == [first]


def test_a_hurried_job_goes_first_among_its_equals() -> None:
    full = Demand((gang(8, 8),), time_limit_seconds=3_600.0)
    calm = queued("calm", full, age_seconds=100.0)
    hurried = queued("hurried", replace(full, deadline_at=NOW + 5_000.0))
    decided = place(snapshot([POOLS[0]], [calm, hurried]))
    assert [placed.job_id for placed in decided.placements] == ["hurried/0"]
