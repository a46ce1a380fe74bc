"""Every hard condition with its code, all of them at once, and never against wait."""

from __future__ import annotations

from dataclasses import replace

import pytest
from federations import NOW, SHENZHEN, SITES, gang, pool, queued, snapshot, supernode

from scheduler.explain import plan
from scheduler.model import (
    AcceleratorClass,
    Dataset,
    Demand,
    Explanation,
    Hold,
    Pool,
    Precision,
    Rejection,
    Site,
    SiteState,
    Snapshot,
    Variant,
    Verdict,
    Work,
)
from scheduler.placement import place
from scheduler.reasons import CODES, FIX_BY, PERMANENT_COUNT, Code

FREE = supernode("s", 8, 8, 8, 8)
POOL = pool("shenzhen", supernodes=[FREE], cpus_per_node=192, memory_gib_per_node=1024.0)
NEVER, WAIT, PLACED = Verdict.NEVER, Verdict.WAIT, Verdict.PLACED


def asked(demand: Demand, the_pool: Pool = POOL, **facts: object) -> Explanation:
    return plan(snapshot([the_pool], **facts), demand, "tenant-a")  # type: ignore[arg-type]


def site(**facts: object) -> tuple[Site, ...]:
    return (replace(SHENZHEN, **facts), *SITES[1:])  # type: ignore[arg-type]


def reason(explanation: Explanation, code: str) -> Rejection:
    return {rejection.code: rejection for rejection in explanation.rejections}[code]


@pytest.mark.parametrize(
    ("code", "demand"),
    [
        ("UnknownAccelerator", Demand((gang(accelerator="ascend-9999"),))),
        ("WrongAccelerator", Demand((gang(accelerator="nvidia-h100"),))),
        (
            "WrongAccelerator",
            Demand((gang(accelerator=AcceleratorClass(Precision.BF16, 900.0)),)),  # type: ignore[arg-type]
        ),
        ("SiteNotAllowed", Demand((gang(),), sites_allowed=("zhengzhou",))),
        ("SiteNotAllowed", Demand((gang(),), sites_denied=("shenzhen",))),
        ("CpusTooFew", Demand((gang(cpus_per_node=193),))),
        ("MemoryTooSmall", Demand((gang(memory_gib_per_node=1025.0),))),
        ("TooFewCards", Demand((gang(5),))),
        ("ShapeUnfit", Demand((gang(1, 9),))),
        ("ShapeUnfit", Demand((gang(5, 4),))),
        ("ShapeUnfit", Demand((gang(0, 8),))),
        ("ShapeUnfit", Demand((gang(1, 0),))),
    ],
)
def test_what_no_waiting_mends_is_never(code: str, demand: Demand) -> None:
    explanation = asked(demand)
    assert explanation.verdict is NEVER
    assert reason(explanation, code).cards == 32
    assert reason(explanation, code).pools == ("shenzhen/main",)
    assert explanation.cards_left == 0


def test_a_group_wider_than_any_supernode_is_never_but_preferred_it_is_placed() -> None:
    pair = pool("shenzhen", supernodes=[supernode("a", 8, 8), supernode("b", 8, 8)])
    required = asked(Demand((gang(4, 8, group_nodes=4, group_required=True),)), pair)
    assert required.verdict is NEVER
    assert reason(required, "ShapeUnfit").cards == 32
    preferred = asked(Demand((gang(4, 8, group_nodes=4),)), pair)
    assert preferred.verdict is PLACED
    assert not any(rejection.code == "ShapeUnfit" for rejection in preferred.rejections)


def test_nodes_that_no_supernode_counts_are_not_held_against_the_job() -> None:
    partly = pool("shenzhen", supernodes=[supernode("a", 8, 8)], cards_total=64)
    group = asked(Demand((gang(4, 8, group_nodes=4, group_required=True),)), partly)
    assert group.verdict is WAIT


def test_the_sites_rules() -> None:
    demand = Demand((gang(),), time_limit_seconds=7200.0)
    for facts, code in (
        ({"tenants_allowed": ("tenant-b",)}, "TenantNotAllowed"),
        ({"tenants_denied": ("tenant-a",)}, "TenantNotAllowed"),
        ({"time_limit_seconds_max": 3600.0}, "TimeLimitTooLong"),
    ):
        explanation = asked(demand, sites=site(**facts))
        assert explanation.verdict is NEVER
        assert reason(explanation, code).cards == 32
    assert asked(demand, sites=site(tenants_allowed=("tenant-a",))).verdict is PLACED


def test_known_work_beyond_the_sites_limit_is_too_long_and_unknown_work_is_not() -> None:
    sites = site(time_limit_seconds_max=1800.0)
    long = asked(Demand((gang(),), work=Work(seconds=3600.0)), sites=sites)
    assert reason(long, "TimeLimitTooLong").cards == 32
    assert asked(Demand((gang(),)), sites=sites).verdict is PLACED


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (SiteState.PAUSED, "SitePaused"),
        (SiteState.DRAINING, "SiteDraining"),
        (SiteState.SUSPECT, "SiteSuspect"),
        (SiteState.LOST, "SiteLost"),
        (SiteState.UNSEEN, "SiteUnseen"),
    ],
)
def test_a_site_that_is_not_open_is_waited_for(state: SiteState, code: str) -> None:
    explanation = asked(Demand((gang(),)), sites=site(state=state))
    assert explanation.verdict is WAIT
    assert reason(explanation, code).cards == 32


def test_sites_that_have_not_reported_might_hold_the_job() -> None:
    wide = Demand((gang(5),))
    unheard = asked(wide, sites=(SHENZHEN, Site("wuhu", "Wuhu", state=SiteState.UNSEEN)))
    assert unheard.verdict is WAIT
    assert reason(unheard, "SiteUnseen").cards == 0
    assert "wuhu" in reason(unheard, "SiteUnseen").detail
    elsewhere = replace(wide, sites_allowed=("shenzhen",))
    assert (
        asked(elsewhere, sites=(SHENZHEN, Site("wuhu", "", state=SiteState.LOST))).verdict is NEVER
    )


def test_an_empty_federation_is_waited_for() -> None:
    explanation = plan(snapshot([], sites=()), Demand((gang(),)), "tenant-a")
    assert explanation.verdict is WAIT
    assert [rejection.code for rejection in explanation.rejections] == ["NoPools"]


def test_a_pool_of_an_unregistered_site_takes_nothing() -> None:
    assert reason(asked(Demand((gang(),)), sites=()), "SiteUnseen").cards == 32


def test_data_must_be_known_reachable_and_allowed_out() -> None:
    demand = Demand((gang(),), inputs=("wudao",))
    unknown = asked(demand)
    assert (unknown.verdict, reason(unknown, "DatasetUnknown").cards) == (WAIT, 32)
    home = Dataset("wudao", 10**12, ("zhengzhou",))
    assert asked(demand, datasets=(home,)).verdict is PLACED
    kept = asked(demand, datasets=(replace(home, regions_allowed=("central",)),))
    assert (kept.verdict, reason(kept, "DataResidency").cards) == (NEVER, 32)
    cut_off = asked(demand, datasets=(home,), gbps=0.0)
    assert (cut_off.verdict, reason(cut_off, "DataUnreachable").cards) == (WAIT, 32)


def test_cost_is_a_hard_limit() -> None:
    dear = replace(POOL, yuan_per_card_hour=10.0)
    work = Work(seconds=3600.0, accelerator="ascend-910b", cards=8)
    within = asked(Demand((gang(),), work=work, yuan_max=80.0), dear)
    assert within.verdict is PLACED
    assert within.candidates[0].score.yuan == pytest.approx(80.0)
    beyond = asked(Demand((gang(),), work=work, yuan_max=79.0), dear)
    assert (beyond.verdict, reason(beyond, "CostTooHigh").cards) == (NEVER, 32)
    assert "80.00" in reason(beyond, "CostTooHigh").detail


def test_faulty_cards_are_counted_and_waited_for() -> None:
    hurt = replace(POOL, cards_usable=24, supernodes=(supernode("s", 8, 8, 8, 0),))
    fits = asked(Demand((gang(),)), hurt)
    assert (fits.verdict, reason(fits, "Unhealthy").cards, fits.cards_left) == (PLACED, 8, 24)
    whole = asked(Demand((gang(4),)), hurt)
    assert (whole.verdict, reason(whole, "Unhealthy").cards) == (WAIT, 32)


def test_a_shape_that_was_refused_is_held_off_for_a_while() -> None:
    demand = Demand((gang(2),))
    for hold, verdict in (
        (Hold("shenzhen/main", 2, 8, NOW + 60), WAIT),
        (Hold("shenzhen/main", 1, 8, NOW + 60), WAIT),  # the larger shape is not tried either
        (Hold("shenzhen/main", 3, 8, NOW + 60), PLACED),
        (Hold("shenzhen/main", 2, 8, NOW - 1), PLACED),
        (Hold("elsewhere/main", 2, 8, NOW + 60), PLACED),
    ):
        assert asked(demand, holds=(hold,)).verdict is verdict
    held = asked(demand, holds=(Hold("shenzhen/main", 2, 8, NOW + 60),))
    assert reason(held, "HeldOff").cards == 32


def test_busy_cards_are_waited_for() -> None:
    busy = pool("shenzhen", supernodes=[supernode("s", 8, 4, 0, 0)])
    explanation = asked(Demand((gang(2),)), busy)
    assert (explanation.verdict, reason(explanation, "NotFreeNow").cards) == (WAIT, 32)
    single = asked(Demand((gang(1),)), busy)
    assert (single.verdict, reason(single, "NotFreeNow").cards, single.cards_left) == (
        PLACED,
        20,
        12,
    )


def test_all_blocking_reasons_are_told_and_each_card_is_counted_once() -> None:
    demand = Demand(
        (gang(2, 8, cpus_per_node=500, memory_gib_per_node=9999.0),), time_limit_seconds=1e6
    )
    busy = replace(POOL, supernodes=(supernode("s", 0, 0, 0, 0),))
    explanation = asked(
        demand, busy, sites=site(state=SiteState.PAUSED, time_limit_seconds_max=60.0)
    )
    codes = ["TimeLimitTooLong", "CpusTooFew", "MemoryTooSmall", "SitePaused", "NotFreeNow"]
    assert [rejection.code for rejection in explanation.rejections] == codes
    assert [rejection.cards for rejection in explanation.rejections] == [32, 0, 0, 0, 0]
    assert all(rejection.pools == ("shenzhen/main",) for rejection in explanation.rejections)


def test_of_two_variants_the_one_that_gets_furthest_is_counted() -> None:
    pools = [
        POOL,
        pool("zhengzhou", "hygon-k100-ai", [FREE]),
        pool("guiyang", "nvidia-h100", [FREE]),
    ]
    either = Demand((gang(cpus_per_node=999), gang(1, 8, "hygon-k100-ai", cpus_per_node=999)))
    counted = plan(snapshot(pools), either, "tenant-a")
    assert counted.verdict is PLACED  # zhengzhou does not state its CPUs
    assert reason(counted, "CpusTooFew").pools == ("shenzhen/main",)
    assert reason(counted, "WrongAccelerator").pools == ("guiyang/main",)
    assert counted.cards_left == 32


def test_a_class_of_accelerators_takes_any_model_that_reaches_its_figures() -> None:
    pools = [
        POOL,
        pool("zhengzhou", "hygon-k100-ai", [FREE]),
        pool("guiyang", "nvidia-h100", [FREE]),
    ]
    any_fast = Variant(AcceleratorClass(Precision.BF16, 300.0, 64.0), 1, 8)
    counted = plan(snapshot(pools), Demand((any_fast,)), "tenant-a")
    assert reason(counted, "WrongAccelerator").pools == ("zhengzhou/main",)
    assert {candidate.pool for candidate in counted.candidates} == {"guiyang/main", "shenzhen/main"}


def test_a_job_with_an_image_goes_where_images_run() -> None:
    demand = Demand((gang(in_image=True),))
    barred = asked(demand)
    assert barred.verdict is NEVER
    assert reason(barred, "ImagesUnsupported").detail
    assert asked(demand, sites=site(runs_images=True)).verdict is PLACED
    native = Demand((gang(in_image=True), gang()))  # another way of the same job
    assert asked(native).verdict is PLACED


def test_a_job_that_writes_datasets_goes_where_there_is_a_store() -> None:
    demand = Demand((gang(),), needs_store=True)
    barred = asked(demand)
    assert barred.verdict is NEVER
    assert reason(barred, "StoreMissing").detail
    assert asked(demand, sites=site(has_store=True)).verdict is PLACED


def test_a_demand_without_variants_is_never() -> None:
    assert asked(Demand(())).verdict is NEVER


def test_a_pool_that_stands_twice_is_an_error() -> None:
    twice: Snapshot = snapshot([POOL, POOL], [queued("c", Demand((gang(),)))])
    with pytest.raises(ValueError, match="twice"):
        place(twice)


def test_the_codes_are_stable() -> None:
    assert [code.value for code in CODES[:PERMANENT_COUNT]] == [
        "UnknownAccelerator",
        "WrongAccelerator",
        "SiteNotAllowed",
        "TenantNotAllowed",
        "DataResidency",
        "TimeLimitTooLong",
        "CpusTooFew",
        "MemoryTooSmall",
        "SoftwareMissing",
        "ImagesUnsupported",
        "StoreMissing",
        "TooFewCards",
        "ShapeUnfit",
        "CostTooHigh",
        "LatencyTooHigh",
        "QuotaTooSmall",
    ]
    assert set(FIX_BY) == set(Code)
    assert set(FIX_BY.values()) <= {"you", "site", "federation", "wait"}
