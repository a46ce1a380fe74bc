"""Preemption: the least work lost, whole gangs, lawful victims, and borrowers that give back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest
from federations import CATALOGUE, gang, pool, queued, snapshot, supernode
from hypothesis import given
from hypothesis import strategies as st
from micro_broker import MicroBroker
from strategies import examples

from scheduler.compute import worths
from scheduler.model import (
    Demand,
    Entitlement,
    Policy,
    Preemption,
    PreemptionReason,
    Quota,
    Running,
    Slice,
    Snapshot,
    Usage,
)
from scheduler.placement import place
from scheduler.preemption import (
    Claim,
    PoolState,
    Preemptions,
    fits,
    least,
    lost,
    nodes_fitting,
    outranks,
    reclaims,
)
from scheduler.priority import PriorityClass
from scheduler.quotas import Quotas
from scheduler.shape import Way

MODEL = "ascend-910b"
KEY = "shenzhen/main"
WORTHS = worths(CATALOGUE)
EIGHT = Demand((gang(1, 8),))


def attempt(
    name: str, nodes: int = 1, cards: int = 8, seconds: float = 60.0, **facts: object
) -> Running:
    facts = {
        "tenant": "tenant-a",
        "preemptible": True,
        "slices": (Slice("s0", nodes, cards),),
    } | facts
    return Running(KEY, nodes * cards, 0.0, name, 1, lost_seconds=seconds, **facts)  # type: ignore[arg-type]


def busy(nodes: int, *running: Running, **facts: object) -> Callable[..., Snapshot]:
    """A pool of so many nodes, all taken."""
    full = pool("shenzhen", supernodes=[supernode("s0", *[0] * nodes)])
    return lambda *classes: snapshot([full], classes, running=running, **facts)


def names(proposal: Preemption) -> list[str]:
    return sorted(victim.job_id for victim in proposal.victims)


# --- by priority ------------------------------------------------------------------------


def test_the_attempt_that_loses_least_makes_room_for_a_higher_class() -> None:
    picture = busy(3, attempt("old", seconds=9_000.0), attempt("new", seconds=60.0), attempt("mid"))
    decided = place(picture(queued("high", EIGHT, priority=200)))
    (proposal,) = decided.preemptions
    assert (proposal.job_id, proposal.pool) == ("high/0", KEY)
    assert proposal.reason is PreemptionReason.PRIORITY
    assert names(proposal) in (["mid"], ["new"])
    assert proposal.lost_card_seconds == 8 * 60.0


@pytest.mark.parametrize(
    ("priority", "victim"),
    [
        (99, {}),  # the same class, whatever its number
        (200, {"priority": 150}),
        (900, {"tenant": "tenant-b"}),  # another tenant's urgency is not ours
        (900, {"preemptible": False}),
        (900, {"stopping": True}),
        (900, {"job_id": ""}),
    ],
)
def test_who_may_not_be_stopped_is_not(priority: int, victim: dict[str, object]) -> None:
    one = attempt("one")
    picture = busy(1, replace(one, **victim))
    assert place(picture(queued("wish", EIGHT, priority=priority))).preemptions == ()


def test_a_gang_that_would_not_fit_all_the_same_stops_nobody() -> None:
    picture = busy(3, attempt("one"), attempt("two", preemptible=False), attempt("three"))
    assert place(picture(queued("wide", Demand((gang(3, 8),)), priority=200))).preemptions == ()
    (proposal,) = place(picture(queued("two", Demand((gang(2, 8),)), priority=200))).preemptions
    assert names(proposal) == ["one", "three"]


def test_a_job_that_can_start_stops_nobody() -> None:
    free = pool("shenzhen", supernodes=[supernode("s0", 0, 8)])
    picture = snapshot([free], [queued("high", EIGHT, priority=200)], running=(attempt("one"),))
    decided = place(picture)
    assert len(decided.placements) == 1 and decided.preemptions == ()


def test_room_that_is_coming_is_waited_for() -> None:
    picture = busy(2, attempt("going", stopping=True), attempt("other"))
    assert place(picture(queued("high", EIGHT, priority=200))).preemptions == ()


def test_a_round_stops_no_more_than_it_may() -> None:
    picture = busy(2, attempt("one"), attempt("two"))
    wide = queued("wide", Demand((gang(2, 8),)), priority=200)
    assert len(place(picture(wide)).preemptions[0].victims) == 2
    assert place(picture(wide), Policy(victims_max=1)).preemptions == ()
    assert place(picture(wide), Policy(victims_max=0)).preemptions == ()


# --- reclaim ----------------------------------------------------------------------------


def entitled(guaranteed: float, name: str = "tenant-a", project: str = "") -> Entitlement:
    return Entitlement(name, project, quotas=(Quota("npu", guaranteed),))


def test_what_is_guaranteed_is_taken_back_from_who_borrows_it() -> None:
    mine = attempt("mine", tenant="tenant-b", seconds=1.0)
    lent = attempt("lent", tenant="tenant-c", seconds=500.0)
    usages = tuple(Usage(name, "", ((MODEL, 8),)) for name in ("tenant-b", "tenant-c"))
    rows = (entitled(8.0), entitled(8.0, "tenant-b"))
    picture = busy(2, mine, lent, entitlements=rows, usages=usages)
    (proposal,) = place(picture(queued("wish", EIGHT, count=3, priority=-500))).preemptions
    assert proposal.reason is PreemptionReason.RECLAIM
    assert names(proposal) == ["lent"], "tenant-b holds no more than its own"
    wide = queued("wide", Demand((gang(2, 8),)))
    assert place(picture(wide)).preemptions == (), "beyond the guarantee nothing is claimed"


def test_a_project_takes_its_own_back_from_its_siblings() -> None:
    sibling = attempt("sibling", project="q")
    picture = busy(
        1,
        sibling,
        entitlements=(entitled(8.0, project="p"),),
        usages=(Usage("tenant-a", "q", ((MODEL, 8),)),),
    )
    wish = queued("wish", EIGHT)
    assert place(picture(wish)).preemptions == ()
    (proposal,) = place(picture(replace(wish, project="p"))).preemptions
    assert names(proposal) == ["sibling"]


def test_a_borrowing_tenant_gives_back_and_then_there_is_peace() -> None:
    """One holds everything; another claims its half: just so much changes hands, and once."""
    free = supernode("s0", *[8] * 8)
    broker = MicroBroker([pool("shenzhen", supernodes=[free])], (entitled(32.0),))
    broker.keep_waiting("tenant-b", EIGHT, [1_000])
    broker.round()
    assert broker.held("tenant-b") == 64
    broker.keep_waiting("tenant-a", EIGHT, [1_000])
    for _ in range(30):
        broker.round()
    assert (broker.held("tenant-a"), broker.held("tenant-b")) == (32, 32)
    assert sum(len(each.victims) for each in broker.preemptions) == 4
    assert {each.reason for each in broker.preemptions} == {PreemptionReason.RECLAIM}


def test_lent_cards_are_used_until_they_are_claimed_and_again_after() -> None:
    free = supernode("s0", *[8] * 8)
    broker = MicroBroker([pool("shenzhen", supernodes=[free])], (entitled(32.0),))
    broker.keep_waiting("tenant-b", EIGHT, [1_000])
    broker.keep_waiting("tenant-a", EIGHT, [5], jobs_max=2)
    for _ in range(20):
        broker.round()
        assert broker.held("tenant-a") + broker.held("tenant-b") >= 48
    assert broker.held("tenant-a") == 16


# --- how few are enough -------------------------------------------------------------------

slices = st.builds(
    Slice, st.sampled_from(["s0", "s1"]), st.integers(1, 2), st.sampled_from([2, 4, 8])
)


@st.composite
def pools_of_attempts(draw: st.DrawFn) -> tuple[PoolState, list[Running]]:
    """A pool in which some nodes are free, and attempts that hold whole or parts of nodes."""
    levels = {
        name: tuple(draw(st.lists(st.integers(0, 2), min_size=9, max_size=9)))
        for name in ("s0", "s1")
    }
    count = draw(st.integers(0, 7))
    found = [
        attempt(f"j{at}", seconds=float(draw(st.integers(0, 50))), slices=(draw(slices),))
        for at in range(count)
    ]
    sized = [replace(each, cards=each.slices[0].nodes * each.slices[0].cards) for each in found]
    return PoolState(KEY, MODEL, 8, levels), sized


ways = st.builds(
    Way, st.just(0), st.integers(1, 4), st.sampled_from([2, 4, 8]), st.sampled_from([0, 2])
)


@examples(300)
@given(pools_of_attempts(), ways)
def test_no_victim_is_in_vain_and_brute_force_finds_nothing_where_we_find_nothing(
    drawn: tuple[PoolState, list[Running]], way: Way
) -> None:
    state, running = drawn
    chosen = least(state, way, running)
    able = [
        list(some)
        for size in range(len(running) + 1)
        for some in combinations(running, size)
        if fits(state, way, some)
    ]
    if not able:
        assert chosen == []
        return
    best = min(sum(map(lost, some)) for some in able)
    if [] in able:
        assert chosen == [], "it fits already"
        return
    assert fits(state, way, chosen)
    for one in chosen:
        assert not fits(state, way, [each for each in chosen if each is not one])
    assert best <= sum(map(lost, chosen)) <= sum(map(lost, running))


@examples(150)
@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=9), st.integers(1, 4))
def test_among_equal_attempts_the_choice_is_the_best_there_is(
    seconds: list[int], nodes: int
) -> None:
    running = [attempt(f"j{at}", seconds=float(each)) for at, each in enumerate(seconds)]
    state = PoolState(KEY, MODEL, 8, {"s0": (len(seconds), *[0] * 8)})
    chosen = least(state, Way(0, nodes, 8), running)
    if nodes > len(seconds):
        assert chosen == []
    else:
        assert sum(map(lost, chosen)) == 8 * sum(sorted(seconds)[:nodes])


@examples(300)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.lists(st.sampled_from([1, 2, 4, 8]), max_size=3)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([1, 2, 4, 8]),
)
def test_freed_cards_count_only_where_they_are_sure_to_be(
    drawn: list[tuple[int, list[int]]], cards: int
) -> None:
    """Each node: free cards, and what attempts hold there. The bound is never too high."""
    nodes = []
    for free, held in drawn:
        fitting: list[int] = []
        for part in held:
            if free + sum(fitting) + part <= 8:
                fitting.append(part)
        nodes.append((free, fitting))
    levels = [0] * 9
    for free, _ in nodes:
        levels[free] += 1
    freed = [(1, part) for _, held in nodes for part in held]
    truly = sum(free + sum(held) >= cards for free, held in nodes)
    bound = nodes_fitting(levels, freed, 8, cards)
    assert nodes_fitting(levels, (), 8, cards) <= bound <= truly


# --- proposals of any round -------------------------------------------------------------

PARTIES = [("a", ""), ("a", "p"), ("b", ""), ("c", "")]


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[Running], list[Claim], Quotas, int]:
    running = []
    for at in range(draw(st.integers(0, 8))):
        tenant, project = draw(st.sampled_from(PARTIES))
        running.append(
            attempt(
                f"j{at}",
                seconds=float(draw(st.integers(0, 99))),
                tenant=tenant,
                project=project,
                priority=draw(st.sampled_from([-200, 0, 200, 600])),
                preemptible=draw(st.booleans()),
                stopping=draw(st.sampled_from([False, False, False, True])),
            )
        )
    claims = []
    for at in range(draw(st.integers(0, 4))):
        tenant, project = draw(st.sampled_from(PARTIES))
        priority = draw(st.sampled_from([0, 200, 600]))
        wish = queued(f"q{at}", EIGHT, tenant=tenant, priority=priority)
        way = Way(0, draw(st.integers(1, 3)), 8)
        claims.append(Claim(replace(wish, project=project), f"q{at}/0", ((way, KEY),)))
    rows = tuple(
        Entitlement(*draw(st.sampled_from(PARTIES)), quotas=(Quota("npu", float(guaranteed)),))
        for guaranteed in draw(st.lists(st.sampled_from([8, 16, 24]), max_size=3))
    )
    held = [(each.tenant, each.project, MODEL, 8.0) for each in running]
    return running, claims, Quotas.of(rows, WORTHS, held), draw(st.integers(0, 4))


@examples(250)
@given(rounds())
def test_every_proposal_is_lawful_enough_and_within_its_cap(
    drawn: tuple[list[Running], list[Claim], Quotas, int],
) -> None:
    running, claims, quotas, victims_max = drawn
    state = PoolState(KEY, MODEL, 8, {"s0": (len(running), *[0] * 8)})
    proposals = Preemptions({KEY: state}, running, quotas, victims_max).propose(claims)
    assert len(proposals) <= 1, "a pool makes room once"
    assert sum(len(each.victims) for each in proposals) <= victims_max
    by_id = {each.job_id: each for each in running}
    for proposal in proposals:
        claim = next(each for each in claims if each.job_id == proposal.job_id)
        victims = [by_id[victim.job_id] for victim in proposal.victims]
        assert all(each.preemptible and not each.stopping for each in victims)
        stopping = [each for each in running if each.stopping]
        assert fits(state, claim.choices[0][0], [*victims, *stopping])
        for one in victims:
            if proposal.reason is PreemptionReason.PRIORITY:
                assert outranks(claim.queued, one)
                assert one.tenant == claim.queued.tenant
                assert PriorityClass.of(one.priority) < PriorityClass.of(claim.queued.priority)
        if proposal.reason is PreemptionReason.RECLAIM:
            for one in reversed(victims):  # as it was before they were stopped
                quotas.give(one.tenant, one.project, MODEL, one.cards)
                cards = claim.choices[0][0].cards
                assert reclaims(quotas, claim.queued, MODEL, cards, one)
