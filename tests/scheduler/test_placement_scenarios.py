"""Where jobs go, and why: one small federation for each rule of routing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from federations import NOW, gang, pool, queued, replay, snapshot, supernode

from scheduler.memo import Memo
from scheduler.model import (
    Dataset,
    Demand,
    Entitlement,
    Link,
    Network,
    Policy,
    QueueClass,
    Running,
    Snapshot,
    Usage,
    Variant,
    Verdict,
    Work,
)
from scheduler.placement import place
from scheduler.shape import SPREAD_SLOWDOWN

TB = 10**12
HOUR = 3600.0
NODES = (8, 8, 8, 8)


def homes(before: Snapshot, policy: Policy | None = None) -> dict[str, str]:
    """Pool by job, after a replay that checks the round."""
    decided = place(before, policy)
    replay(before, decided)
    return {placement.job_id: placement.pool for placement in decided.placements}


def fast_and_slow(demand: Demand, **facts: object) -> Snapshot:
    """An H100 pool at Shenzhen, six times as fast as the Hygon pool at Zhengzhou."""
    pools = [
        pool("shenzhen", "nvidia-h100", [supernode("s", *NODES)]),
        pool("zhengzhou", "hygon-k100-ai", [supernode("s", *NODES)]),
    ]
    data = (Dataset("wudao", 100 * TB, ("zhengzhou",)),)
    return snapshot(pools, [queued("c", demand)], datasets=data, **facts)  # type: ignore[arg-type]


EITHER = (gang(1, 8, "nvidia-h100"), gang(1, 8, "hygon-k100-ai"))
MEASURED = Work(seconds=600.0, accelerator="nvidia-h100", cards=8)


def test_without_data_the_fast_cards_win() -> None:
    assert homes(fast_and_slow(Demand(EITHER, work=MEASURED))) == {"c/0": "shenzhen/main"}


def test_data_pulls_the_job_to_where_it_lies_and_a_fast_link_lets_it_go() -> None:
    demand = Demand(EITHER, work=MEASURED, inputs=("wudao",))
    assert homes(fast_and_slow(demand)) == {"c/0": "zhengzhou/main"}
    assert homes(fast_and_slow(demand, gbps=400.0)) == {"c/0": "shenzhen/main"}


def test_outputs_that_must_come_home_count_too() -> None:
    small = (Dataset("seed", 1, ("zhengzhou",)),)
    demand = Demand(EITHER, work=MEASURED, inputs=("seed",))
    far = fast_and_slow(demand)
    near = fast_and_slow(replace(demand, output_bytes=100 * TB))
    assert homes(replace(far, datasets=small)) == {"c/0": "shenzhen/main"}
    assert homes(replace(near, datasets=small)) == {"c/0": "zhengzhou/main"}


def test_preferences_put_money_or_energy_before_time() -> None:
    before = fast_and_slow(Demand(EITHER, work=MEASURED))
    slow_is_cheap = tuple(
        replace(one, yuan_per_card_hour=90.0 if one.accelerator == "nvidia-h100" else 1.0)
        for one in before.pools
    )
    for prefer, home in (
        (("finish",), "shenzhen"),
        (("cost",), "zhengzhou"),
        (("energy",), "shenzhen"),
    ):
        demand = Demand(EITHER, work=MEASURED, prefer=prefer)
        asked = replace(before, pools=slow_is_cheap, queue=(queued("c", demand),))
        assert homes(asked) == {"c/0": f"{home}/main"}


def test_the_policy_may_weigh_money_against_time() -> None:
    before = fast_and_slow(Demand(EITHER, work=MEASURED))
    dear = tuple(
        replace(one, yuan_per_card_hour=90.0 if one.accelerator == "nvidia-h100" else 1.0)
        for one in before.pools
    )
    priced = replace(before, pools=dear)
    assert homes(priced) == {"c/0": "shenzhen/main"}
    assert homes(priced, Policy(yuan_per_hour_saved=10.0)) == {"c/0": "zhengzhou/main"}


def test_a_class_overflows_from_the_best_pool_to_the_next() -> None:
    demand = Demand(EITHER, work=MEASURED)
    before = replace(fast_and_slow(demand), queue=(queued("c", demand, 20, age_seconds=1e9),))
    placed = Counter(homes(before).values())
    assert placed == {"shenzhen/main": 4, "zhengzhou/main": 4}


def test_the_oldest_jobs_of_a_class_go_first() -> None:
    before = snapshot(
        [pool("shenzhen", supernodes=[supernode("s", 8, 8)])], [queued("c", Demand((gang(),)), 5)]
    )
    assert sorted(homes(before)) == ["c/0", "c/1"]


def test_many_small_jobs_pack_onto_few_nodes() -> None:
    nodes = pool("shenzhen", supernodes=[supernode("s", 8, 8, 8), supernode("t", 3, 8, 8)])
    before = snapshot([nodes], [queued("c", Demand((gang(1, 1),)), 11)])
    decided = place(before)
    replay(before, decided)
    used = Counter(p.slices[0].supernode for p in decided.placements)
    assert used == {"t": 11}


def test_fragmentation_sends_small_jobs_to_the_begun_supernode_of_another_pool() -> None:
    whole = pool("shenzhen", supernodes=[supernode("s", *NODES)])
    begun = pool("zhengzhou", supernodes=[supernode("s", 8, 0, 0, 0)])
    before = snapshot([whole, begun], [queued("small", Demand((gang(),), work=MEASURED))])
    assert homes(before) == {"small/0": "zhengzhou/main"}


def test_a_preferred_group_is_kept_where_it_can_and_costs_time_where_not() -> None:
    torn = pool("guiyang", supernodes=[supernode("a", 8), supernode("b", 8)])
    kept = pool("zhengzhou", supernodes=[supernode("a", 8, 8)])
    demand = Demand((gang(2, 8, group_nodes=2),), work=Work(seconds=HOUR))
    decided = place(snapshot([torn, kept], [queued("c", demand, 2)]))
    runs = {p.pool: p.score.run_seconds for p in decided.placements}
    assert runs["guiyang/main"] == pytest.approx(runs["zhengzhou/main"] * SPREAD_SLOWDOWN)
    assert decided.placements[0].pool == "zhengzhou/main"


def busy_near(ends_in: float, run: float, age_seconds: float = 0.0, jobs: int = 1) -> Snapshot:
    """The fast pool is full for `ends_in` seconds; the slow one is free."""
    work = Work(seconds=run, accelerator="nvidia-h100", cards=8)
    pools = [
        pool("shenzhen", "nvidia-h100", [supernode("s", 0, 0)]),
        pool("zhengzhou", "hygon-k100-ai", [supernode("s", *NODES)]),
    ]
    running = tuple(Running("shenzhen/main", 8, NOW + ends_in) for _ in range(2))
    queue = [queued("c", Demand(EITHER, work=work), jobs, age_seconds=age_seconds)]
    return snapshot(pools, queue, running=running)


def test_a_job_waits_for_the_fast_pool_when_it_ends_earlier_there() -> None:
    before = busy_near(ends_in=600.0, run=HOUR)
    decided = place(before)
    assert not decided.placements
    ((_, told),) = decided.explanations
    assert told.verdict is Verdict.WAIT
    best, other = told.candidates
    assert (best.pool, best.score.wait_seconds) == ("shenzhen/main", pytest.approx(600.0))
    assert "free in about" in best.lost_because
    assert "by waiting for shenzhen/main" in other.lost_because
    assert told.cards_left == 32  # it could start, and the candidates say why it does not


def test_a_job_goes_to_the_slow_pool_when_the_wait_is_longer() -> None:
    assert homes(busy_near(ends_in=6 * HOUR, run=HOUR)) == {"c/0": "zhengzhou/main"}


def test_waiting_for_a_better_pool_is_bounded_by_what_it_can_save() -> None:
    """Six hours there, one hour here: after five hours of waiting nobody waits on."""
    assert homes(busy_near(600.0, HOUR, age_seconds=4.9 * HOUR)) == {}
    assert homes(busy_near(600.0, HOUR, age_seconds=5.1 * HOUR)) == {"c/0": "zhengzhou/main"}


def test_only_as_many_jobs_wait_as_the_fast_pool_can_take_in_time() -> None:
    placed = homes(busy_near(ends_in=600.0, run=HOUR, jobs=5))
    assert len(placed) == 3  # two nodes come free in time, the other jobs go now
    assert set(placed.values()) == {"zhengzhou/main"}


def test_a_class_that_fills_the_fast_pool_waits_for_it_rather_than_go_where_it_is_slow() -> None:
    """Four places at one hour, then as many again at two; six hours on the slow cards."""
    work = Work(seconds=HOUR, accelerator="nvidia-h100", cards=8)
    before = fast_and_slow(Demand(EITHER, work=work))
    for jobs, slow in ((8, 0), (10, 2), (12, 4)):
        asked = replace(before, queue=(queued("c", before.queue[0].demand, jobs),))
        expected = {"shenzhen/main": 4, "zhengzhou/main": slow} if slow else {"shenzhen/main": 4}
        assert Counter(homes(asked).values()) == expected


def test_those_behind_do_not_count_on_cards_that_are_promised() -> None:
    before = busy_near(ends_in=600.0, run=HOUR, jobs=2)
    behind = replace(before.queue[0], key="d", jobs=("d/0",), queued=1, oldest_submitted_at=NOW)
    assert homes(replace(before, queue=(*before.queue, behind))) == {"d/0": "zhengzhou/main"}


def test_who_wants_it_cheap_does_not_wait_for_an_early_finish() -> None:
    before = busy_near(ends_in=600.0, run=HOUR)
    cheap = replace(before.queue[0].demand, prefer=("cost",))
    queue = (replace(before.queue[0], demand=cheap),)
    assert homes(replace(before, queue=queue)) == {"c/0": "zhengzhou/main"}


def scarce(*queue: QueueClass, **facts: object) -> Snapshot:
    """Eight single-node places."""
    nodes = supernode("s", *NODES, *NODES)
    return snapshot([pool("shenzhen", supernodes=[nodes])], queue, **facts)  # type: ignore[arg-type]


ONE = Demand((gang(),))


def counted(before: Snapshot) -> Counter[str]:
    return Counter(job.split("/")[0] for job in homes(before))


def held(cards: int) -> tuple[Usage, ...]:
    return (Usage("tenant-a", "", (("ascend-910b", cards),)),)


def test_priority_comes_before_share_and_age() -> None:
    urgent = queued("urgent", ONE, 8, "tenant-a", priority=1)
    old = queued("old", ONE, 8, "tenant-b", age_seconds=1e6)
    assert counted(scarce(old, urgent, usages=held(999))) == {"urgent": 8}


def test_tenants_share_a_round_evenly_or_by_weight() -> None:
    a, b = queued("a", ONE, 99, "tenant-a", age_seconds=1e6), queued("b", ONE, 99, "tenant-b")
    assert counted(scarce(a, b)) == {"a": 4, "b": 4}
    assert counted(scarce(a, b, entitlements=(Entitlement("tenant-a", weight=3.0),))) == {
        "a": 6,
        "b": 2,
    }
    assert counted(scarce(a, b, usages=held(32))) == {"a": 2, "b": 6}


def test_within_a_tenant_the_oldest_class_goes_first() -> None:
    young, old = queued("young", ONE, 8), queued("old", ONE, 8, age_seconds=60.0)
    assert counted(scarce(young, old)) == {"old": 8}


def test_positions_count_the_jobs_that_stay_ahead() -> None:
    queue = [
        queued("x", Demand((gang(99),)), 7, age_seconds=99.0),  # never: it is in nobody's way
        queued("a", ONE, 10, age_seconds=9.0),
        queued("b", ONE, 3, age_seconds=5.0),
        queued("c", ONE),
    ]
    told = dict(place(scarce(*queue)).explanations)
    assert [told[key].position for key in "abc"] == [0, 2, 5]


def test_a_round_places_no_more_than_the_policy_allows() -> None:
    decided = place(scarce(queued("a", ONE, 8)), Policy(placements_max=3))
    assert len(decided.placements) == 3
    none = place(scarce(queued("a", ONE, 8)), Policy(placements_max=0))
    ((_, told),) = none.explanations
    assert told.verdict is Verdict.WAIT
    assert "limit of placements" in told.candidates[0].lost_because


def test_a_round_with_a_kept_memo_is_the_same_round() -> None:
    before = fast_and_slow(Demand(EITHER, work=MEASURED, inputs=("wudao",)))
    memo = Memo()
    assert place(before, memo=memo) == place(before, memo=memo) == place(before)


def test_a_cut_link_sends_the_job_to_the_other_replica() -> None:
    demand = Demand((Variant("hygon-k100-ai", 1, 8),), inputs=("wudao",))
    before = fast_and_slow(demand)
    shore = Link("Shenzhen", "Guiyang", 100.0, 5.0)
    cut = replace(before, network=Network(links=(shore,)))
    away = (Dataset("wudao", TB, ("shenzhen",)),)
    assert homes(replace(before, datasets=away)) == {"c/0": "zhengzhou/main"}
    assert homes(replace(cut, datasets=away)) == {}
