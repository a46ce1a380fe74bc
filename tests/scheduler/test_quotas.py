"""Quotas: guaranteed, borrowed up to a limit, never more; and rounds that keep to them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from federations import CATALOGUE, gang, pool, queued, replay, snapshot, supernode
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from scheduler.compute import worths
from scheduler.explain import explain
from scheduler.model import Demand, Entitlement, Explanation, Quota, Usage, Verdict
from scheduler.placement import place
from scheduler.quotas import Quotas

WORTHS = worths(CATALOGUE)
ASCEND, HYGON = "ascend-910b", "hygon-k100-ai"
FREE = supernode("s0", *[8] * 8)
POOLS = [pool("shenzhen", supernodes=[FREE]), pool("zhengzhou", HYGON, [FREE])]
EIGHT = Demand((gang(1, 8),))
FIXED = Demand((gang(1, 8),), preemptible=False)


def quotas(
    *entitlements: Entitlement, held: tuple[tuple[str, str, str, float], ...] = ()
) -> Quotas:
    return Quotas.of(entitlements, WORTHS, held)


def tenant(name: str, *given_quotas: Quota) -> Entitlement:
    return Entitlement(name, quotas=given_quotas)


def test_without_a_quota_there_is_no_limit() -> None:
    book = quotas(tenant("a", Quota("npu", 8.0)))
    assert book.cards_left("b", "", ASCEND) == math.inf
    assert book.cards_left("a", "", HYGON) == math.inf, "a quota of npu says nothing of dcu"


def test_the_guarantee_and_what_may_be_borrowed_are_the_most() -> None:
    book = quotas(tenant("a", Quota("npu", 8.0, 4.0)), held=(("a", "p", ASCEND, 7.0),))
    assert int(book.cards_left("a", "p", ASCEND)) == 5
    assert int(book.cards_ever("a", "p", ASCEND)) == 12
    book.give("a", "p", ASCEND, 10.0)
    assert int(book.cards_left("a", "p", ASCEND)) == 0


def test_a_job_must_fit_into_every_quota_that_covers_it() -> None:
    book = quotas(
        tenant("a", Quota("npu", 64.0, 0.0), Quota("", 20.0, 0.0, "compute")),
        Entitlement("a", "p", quotas=(Quota("npu", 4.0, 2.0),)),
    )
    assert int(book.cards_left("a", "p", ASCEND)) == 6
    assert int(book.cards_left("a", "q", ASCEND)) == 20
    assert int(book.cards_left("a", "q", HYGON)) == 40, "two of these are one reference card"


def test_the_guarantee_of_others_is_lent_only_to_jobs_that_may_be_stopped() -> None:
    book = quotas(tenant("a", Quota("npu", 8.0)), tenant("b", Quota("npu", 4.0)))
    assert book.cards_left("a", "", ASCEND) == math.inf
    assert int(book.cards_left("a", "", ASCEND, preemptible=False)) == 8
    assert book.cards_left("c", "", ASCEND, preemptible=False) == 0.0
    assert book.cards_left("c", "", HYGON, preemptible=False) == math.inf, "nobody claims these"


def test_who_borrows_and_who_claims_its_own() -> None:
    book = quotas(
        tenant("a", Quota("npu", 16.0)),
        tenant("b", Quota("npu", 8.0)),
        held=(("a", "", ASCEND, 8.0), ("b", "", ASCEND, 24.0), ("c", "", ASCEND, 8.0)),
    )
    assert book.is_guaranteed("a", "", ASCEND, 8.0)
    assert not book.is_guaranteed("a", "", ASCEND, 9.0)
    assert not book.is_guaranteed("c", "", ASCEND, 1.0), "to whom nothing is guaranteed"
    assert [book.borrows(name, ASCEND) for name in "abc"] == [False, True, True]


# --- rounds -----------------------------------------------------------------------------


def asked(demand: Demand, *entitlements: Entitlement, held: int = 0) -> Explanation:
    usages = (Usage("tenant-a", "", cards=((ASCEND, held),)),)
    picture = snapshot(POOLS, [queued("c", demand)], entitlements=entitlements, usages=usages)
    return explain(picture, "c")


@pytest.mark.parametrize(
    ("demand", "held", "code", "verdict"),
    [
        (EIGHT, 0, "", Verdict.PLACED),
        (EIGHT, 9, "QuotaExhausted", Verdict.WAIT),
        (Demand((gang(3, 8),)), 0, "QuotaTooSmall", Verdict.NEVER),
    ],
)
def test_what_the_quota_bars_is_told_with_counts_that_add_up(
    demand: Demand, held: int, code: str, verdict: Verdict
) -> None:
    told = asked(demand, tenant("tenant-a", Quota("npu", 8.0, 8.0)), held=held)
    codes = {each.code: each.cards for each in told.rejections}
    assert told.verdict is verdict
    assert sum(codes.values()) + told.cards_left == told.examined_cards == 128
    assert codes.get(code, 64) == 64


def test_a_job_that_may_not_be_stopped_waits_for_its_own_cards() -> None:
    others = tenant("tenant-b", Quota("npu", 32.0))
    mine = tenant("tenant-a", Quota("npu", 8.0))
    assert asked(FIXED, mine, others).verdict is Verdict.PLACED
    assert asked(FIXED, mine, others, held=8).verdict is Verdict.WAIT
    assert asked(EIGHT, mine, others, held=8).verdict is Verdict.PLACED


def test_what_is_guaranteed_goes_before_what_is_borrowed_whatever_its_priority() -> None:
    loud = queued("loud", Demand((gang(8, 8),)), tenant="tenant-b", priority=900)
    mine = queued("mine", EIGHT, count=4)
    entitled = (tenant("tenant-a", Quota("npu", 16.0)),)
    placed = place(snapshot([POOLS[0]], [loud, mine], entitlements=entitled)).placements
    assert [each.job_id for each in placed][:2] == ["mine/0", "mine/1"]


def test_a_guarantee_inverts_no_priority_within_its_tenant() -> None:
    """Its own high job, which would have to borrow, is not passed by a low one."""
    high = queued("high", Demand((gang(8, 8),)), priority=200)
    low = queued("low", EIGHT, count=4)
    entitled = (tenant("tenant-a", Quota("npu", 16.0)), tenant("tenant-b", Quota("npu", 8.0)))
    placed = place(snapshot([POOLS[0]], [low, high], entitlements=entitled)).placements
    assert [each.job_id for each in placed] == ["high/0"]


demands = st.builds(
    lambda nodes, cards, model, preemptible: Demand(
        (gang(nodes, cards, model),), preemptible=preemptible
    ),
    st.integers(1, 3),
    st.sampled_from([1, 2, 8]),
    st.sampled_from([ASCEND, HYGON]),
    st.booleans(),
)
given_quotas = st.builds(
    Quota,
    st.sampled_from(["", "npu", "dcu"]),
    st.integers(0, 40).map(float),
    st.none() | st.integers(0, 24).map(float),
    st.sampled_from(["cards", "compute"]),
)
NAMES = [("a", ""), ("a", "p"), ("b", ""), ("b", "q")]


@examples(100)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), demands, st.integers(1, 9)), max_size=8),
    st.lists(st.tuples(st.sampled_from(NAMES), given_quotas), max_size=5),
)
def test_no_round_gives_anybody_more_than_its_quota(
    wanted: list[tuple[tuple[str, str], Demand, int]],
    quota_rows: list[tuple[tuple[str, str], Quota]],
) -> None:
    classes = [
        replace(queued(f"c{at}", demand, count, tenant=party[0]), project=party[1])
        for at, (party, demand, count) in enumerate(wanted)
    ]
    rows = tuple(Entitlement(*party, quotas=(quota,)) for party, quota in quota_rows)
    picture = snapshot(POOLS, classes, entitlements=rows)
    decided = place(picture)
    replay(picture, decided)
    of = {job: each for each in classes for job in each.jobs}
    for row in rows:
        quota, held = row.quotas[0], 0.0
        for placed in decided.placements:
            queue_class = of[placed.job_id]
            if queue_class.tenant == row.tenant and row.project in ("", queue_class.project):
                model = ASCEND if placed.pool.startswith("shenzhen") else HYGON
                covered = quota.kind in ("", WORTHS[model].kind)
                each = WORTHS[model].compute if quota.unit == "compute" else 1.0
                cards = sum(part.nodes * part.cards for part in placed.slices)
                held += cards * each if covered else 0.0
        if quota.borrow_max is not None:
            assert held <= quota.guaranteed + quota.borrow_max + 1e-3
    for key, told in decided.explanations:
        assert told.cards_left >= 0, key
