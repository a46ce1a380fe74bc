"""A round in parts is as safe as a whole one, and gives as much."""

from dataclasses import replace

import pytest
from federations import CATALOGUE, gang, pool, queued, replay, snapshot, supernode
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.merge import merge, policy_for, split
from scheduler.model import (
    AcceleratorClass,
    Demand,
    Entitlement,
    Placement,
    Policy,
    Precision,
    Quota,
    Round,
    Score,
    Snapshot,
    Usage,
    Work,
)
from scheduler.placement import place

MODELS = tuple(each.model for each in CATALOGUE)
SITES = ("shenzhen", "zhengzhou", "guiyang")


def in_parts(whole: Snapshot, parts_max: int, policy: Policy | None = None) -> Round:
    parts = split(whole, parts_max)
    each = policy_for(policy or Policy(), len(parts))
    return merge(tuple(place(part, each) for part in parts))


@st.composite
def federations(draw: st.DrawFn) -> Snapshot:
    """Pools of all models at three sites; classes that mostly want one model."""
    pools = [
        pool(site, model, [supernode(f"s{n}", *draw(frees)) for n in range(2)], name=f"p-{model}")
        for site in SITES
        for model in MODELS
        if draw(st.booleans())
        for frees in [st.lists(st.integers(0, 8), min_size=1, max_size=3)]
    ]
    classes = []
    for number in range(draw(st.integers(1, 6))):
        models = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=2, unique=True))
        nodes, cards = draw(st.sampled_from([(1, 1), (1, 4), (1, 8), (2, 8)]))
        demand = Demand(
            variants=tuple(gang(nodes, cards, model) for model in models),
            work=Work(seconds=draw(st.sampled_from([60.0, 3600.0]))),
        )
        tenant = draw(st.sampled_from(["a", "b"]))
        classes.append(queued(f"c{number}", demand, draw(st.integers(1, 5)), tenant))
    return snapshot(pools, classes)


WIDEST = 16  # cards of a gang


@settings(max_examples=120, deadline=None)
@given(federations(), st.integers(1, 4))
def test_parts_are_safe_and_give_as_many_cards(whole: Snapshot, parts_max: int) -> None:
    together, apart = place(whole), in_parts(whole, parts_max)
    replay(whole, apart)
    assert {key for key, _ in apart.explanations} == {each.key for each in whole.queue}
    assert len(apart.explanations) == len(whole.queue)
    # parts that are filled in another order may end one wide gang apart
    assert cards(whole, apart) >= 0.8 * cards(whole, together) - WIDEST
    assert in_parts(whole, parts_max) == apart


def cards(whole: Snapshot, decided: Round) -> int:
    variants = {job: each.demand.variants for each in whole.queue for job in each.jobs}
    return sum(variants[p.job_id][p.variant].cards for p in decided.placements)


def one_tenant() -> Snapshot:
    """Three models, three classes, each with a model of its own."""
    pools = [
        pool(site, model, [supernode("s0", 8, 8)], name=model[:3])
        for site in SITES
        for model in MODELS
    ]
    classes = [
        queued(model, Demand(variants=(gang(1, 8, model),), work=Work(seconds=60.0)), 9)
        for model in MODELS
    ]
    return snapshot(pools, classes)


def test_without_shared_models_the_parts_decide_as_the_whole() -> None:
    whole = one_tenant()
    assert len(split(whole, 3)) == 3
    assert set(in_parts(whole, 3).placements) == set(place(whole).placements)


def test_a_class_with_a_choice_keeps_its_models_together() -> None:
    whole = one_tenant()
    both = queued("both", Demand(variants=(gang(1, 8, MODELS[0]), gang(1, 8, MODELS[1]))))
    parts = split(replace(whole, queue=(*whole.queue, both)), 3)
    assert sorted(len({pool.accelerator for pool in part.pools}) for part in parts) == [1, 2]


def test_an_accelerator_class_joins_all_that_reach_it() -> None:
    want = AcceleratorClass(Precision.BF16, 100.0)
    demand = Demand(variants=(replace(gang(), accelerator=want),))
    whole = one_tenant()
    assert len(split(replace(whole, queue=(*whole.queue, queued("any", demand))), 3)) == 1


def test_a_quota_is_kept_over_all_models() -> None:
    """8 cards of any kind: parts that do not see each other would give 8 of each."""
    limit = Entitlement("tenant-a", quotas=(Quota(guaranteed=8, borrow_max=0),))
    whole = replace(one_tenant(), entitlements=(limit,), usages=(Usage("tenant-a", "", cards=()),))
    assert cards(whole, place(whole)) == 8
    assert cards(whole, in_parts(whole, 3)) == 8


def test_a_wide_gang_is_not_split_and_its_reservation_holds() -> None:
    """POP's fault: capacity dealt out breaks gangs. Here every pool stays whole."""
    wide = queued("wide", Demand(variants=(gang(4, 8),), work=Work(seconds=60.0)), priority=9)
    small = queued("small", Demand(variants=(gang(1, 8, MODELS[1]),)), 20)
    whole = snapshot(
        [
            pool("shenzhen", MODELS[0], [supernode("s0", 8, 8), supernode("s1", 8, 8)]),
            pool("zhengzhou", MODELS[1], [supernode("s0", 8, 8)]),
        ],
        [wide, small],
    )
    assert "wide/0" in {placement.job_id for placement in in_parts(whole, 2).placements}


def test_a_class_that_nothing_matches_is_explained_once() -> None:
    strange = queued("strange", Demand(variants=(gang(1, 1, "no-such-model"),)))
    whole = one_tenant()
    told = in_parts(replace(whole, queue=(*whole.queue, strange)), 3).explanations
    assert [key for key, _ in told].count("strange") == 1


def test_no_queue_and_no_pools() -> None:
    assert in_parts(snapshot([]), 3).placements == ()
    assert (
        len(in_parts(snapshot([], [queued("c", Demand(variants=(gang(),)))]), 3).explanations) == 1
    )


def test_the_limits_of_a_round_are_those_of_its_parts_together() -> None:
    decided = in_parts(one_tenant(), 3, Policy(placements_max=9))
    assert len(decided.placements) == 9


def test_two_parts_may_not_give_from_one_pool() -> None:
    taken = Placement("job", 0, "shenzhen/main", (), Score(0.0, 0.0, 1.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="shenzhen/main"):
        merge((Round((taken,)), Round((replace(taken, job_id="other"),))))


def test_bounds_of_parts_add_up() -> None:
    merged = merge((Round(worth=9.0, worth_bound=10.0), Round(worth=5.0, worth_bound=10.0)))
    assert merged.gap == pytest.approx(0.3)
    assert merge(()).gap is None
