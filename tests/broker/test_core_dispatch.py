"""From proposals to grants: checked against the present, never over what a site offered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support_core import Desk, facts_of, pool_of, running, spec_of, with_limits

from broker.core.lifecycle import AttemptState, JobState
from broker.core.messages import (
    Capacity,
    CapacityReport,
    Goodbye,
    Grants,
    Hello,
    Proposals,
    RemoveSite,
    SessionClosed,
    SetDrain,
    Verdicts,
)
from broker.core.rows import Failure
from broker.queries import Counters, answer
from scheduler.model import Slice


def report(desk: Desk, site: str, free: int, reflects: int, seq: int = 2, usable: int = 8) -> None:
    pools = (pool_of(site, free=free, usable=usable),)
    desk.step(Capacity(site, "s1", CapacityReport(seq, pools, reflects, full=True)))


def free_cards(desk: Desk, site: str = "east") -> int:
    return sum(use.placeable().cards_free for use in desk.core.memory.presence[site].pools.values())


def test_a_placement_becomes_a_grant_of_the_next_epoch() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.beat("east", seq=7)
    desk.submit("a")
    (grant,) = desk.place(desk.offer("a", "east"))
    assert (grant.job_id, grant.epoch, grant.grant_seq, grant.anchor_seq) == ("a", 1, 1, 7)
    assert (grant.pool, grant.slices) == ("main", (Slice("s0", 1, 1),))
    assert desk.job("a").state is JobState.PLACED
    assert desk.attempt("a").state is AttemptState.OFFERED


def test_a_specification_travels_once_to_a_session() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a", "b", "c")
    desk.place(desk.offer("a", "east"), desk.offer("b", "east"))
    (message,) = desk.sent(Grants)
    assert [sha for sha, _ in message.specs] == [desk.job("a").spec_sha256]
    desk.place(desk.offer("c", "east"))
    (message,) = desk.sent(Grants)
    assert message.specs == ()
    desk.hello("east", "s2")
    desk.submit("d")
    desk.place(desk.offer("d", "east"))
    (message,) = desk.sent(Grants)
    assert len(message.specs) == 1, "another session has not been sent it"


def test_a_real_round_places_what_fits_and_leaves_the_rest() -> None:
    desk = Desk("east", "west")
    desk.hello("east", pools=(pool_of("east", free=4),))
    desk.hello("west", pools=(pool_of("west", free=2),))
    desk.submit(*"abcdefgh")
    desk.place(*desk.round().placements)
    states = [desk.job(job_id).state for job_id in "abcdefgh"]
    assert states.count(JobState.PLACED) == 6
    assert states.count(JobState.QUEUED) == 2
    assert desk.round().placements == ()


@pytest.mark.parametrize("case", ["cancelled", "placed", "forgotten", "no pool", "no site"])
def test_a_stale_placement_is_dropped(case: str) -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    offer = desk.offer("a", "east")
    if case == "cancelled":
        desk.cancel("a")
    elif case == "placed":
        desk.place(offer)
    elif case == "forgotten":
        offer = desk.offer("never-submitted", "east")
    elif case == "no pool":
        offer = replace(offer, pool="east/other")
    else:
        offer = replace(offer, pool="atlantis/main")
    before = dict(desk.state.jobs)
    assert desk.place(offer) == []
    assert desk.state.jobs == before


@pytest.mark.parametrize("case", ["draining", "paused", "closed", "suspect", "unseen"])
def test_nothing_is_granted_to_a_site_that_is_not_open(case: str) -> None:
    desk = Desk("east", "west")
    desk.hello("west")
    if case != "unseen":
        desk.hello("east")
    desk.submit("a")
    if case == "draining":
        desk.step(SetDrain("east", True, "repairs", "admin"))
    elif case == "paused":
        report = CapacityReport(2, (), 0, full=False, facts=facts_of("east", paused=True))
        desk.step(Capacity("east", "s1", report))
    elif case == "closed":
        desk.step(SessionClosed("east", "s1"))
    elif case == "suspect":
        desk.advance(29.0)
        desk.beat("west")
        desk.advance(2.0)
    assert desk.place(desk.offer("a", "east")) == []
    assert desk.job("a").state is JobState.QUEUED
    assert desk.place(desk.offer("a", "west")) != []


def test_two_rounds_of_one_snapshot_do_not_overcommit() -> None:
    desk = Desk("east")
    desk.hello("east", pools=(pool_of("east", free=8),))
    desk.submit(*"abcd", spec=spec_of(cards=4))
    first = desk.round()
    second = desk.round()
    assert len(first.placements) == len(second.placements) == 2
    others = [job_id for job_id in "abcd" if job_id not in {p.job_id for p in first.placements}]
    stale = [
        replace(placement, job_id=job_id)
        for placement, job_id in zip(second.placements, others, strict=True)
    ]
    assert len(desk.place(*first.placements)) == 2
    assert desk.place(*stale) == []
    assert free_cards(desk) == 0


def test_a_gang_is_granted_whole_or_not_at_all() -> None:
    desk = Desk("east")
    desk.hello("east", pools=(pool_of("east", free=8, nodes=2),))
    desk.submit("gang", spec=spec_of(cards=8, nodes=3))
    desk.submit("pair", spec=spec_of("pair", cards=8, nodes=2))
    assert desk.place(desk.offer("gang", "east", cards=8, nodes=3)) == []
    assert free_cards(desk) == 16, "a gang that does not fit takes nothing"
    assert len(desk.place(desk.offer("pair", "east", cards=8, nodes=2))) == 1


def test_grants_after_a_report_count_until_a_report_reflects_them() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit(*"abc", spec=spec_of(cards=2))
    for job_id in "abc":
        desk.place(desk.offer(job_id, "east", cards=2))
    assert free_cards(desk) == 2
    report(desk, "east", free=6, reflects=1, seq=2)  # it has seen the first grant only
    assert free_cards(desk) == 2
    report(desk, "east", free=2, reflects=3, seq=3)
    assert free_cards(desk) == 2
    report(desk, "east", free=8, reflects=0, seq=2)  # older than what is known
    assert free_cards(desk) == 2


def test_local_jobs_take_cards_that_were_granted() -> None:
    """What no longer fits is the site's to refuse; it frees nothing twice."""
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a", spec=spec_of(cards=4))
    desk.place(desk.offer("a", "east", cards=4))
    report(desk, "east", free=2, reflects=0, seq=2)
    assert free_cards(desk) == 2
    report(desk, "east", free=8, reflects=1, seq=3)
    assert free_cards(desk) == 8


def test_a_full_report_drops_pools_that_are_gone() -> None:
    desk = Desk("east")
    desk.hello("east", pools=(pool_of("east"), pool_of("east", name="spare")))
    desk.step(Capacity("east", "s1", CapacityReport(2, (pool_of("east", free=3),), 0, full=False)))
    assert free_cards(desk) == 11
    report(desk, "east", free=3, reflects=0, seq=3)
    assert free_cards(desk) == 3


def test_leased_cards_never_exceed_what_the_site_offers() -> None:
    """The site says its cards are free again before its report of the end has come."""
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a", "b", spec=spec_of(cards=8))
    desk.place(desk.offer("a", "east", cards=8))
    desk.started("east", "a")
    report(desk, "east", free=8, reflects=1)
    assert desk.place(desk.offer("b", "east", cards=8)) == []
    desk.succeeded("east", "a")
    assert len(desk.place(desk.offer("b", "east", cards=8))) == 1


def test_an_expected_attempt_holds_its_cards_until_its_site_has_promised() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a", "b", spec=spec_of(cards=8))
    desk.place(desk.offer("a", "east", cards=8))
    desk.hello("east", "s2")  # the grant never arrived
    assert desk.place(desk.offer("b", "east", cards=8)) == []
    desk.report("east", "rejected", "a", session="s2")
    assert len(desk.place(desk.offer("b", "east", cards=8))) == 1


def test_a_grant_belongs_to_the_session_that_it_was_decided_for() -> None:
    """Its anchor and its number mean nothing in the session that replaced it."""
    desk = Desk("east")
    desk.hello("east", "s1")
    desk.beat("east", "s1", seq=40)
    desk.submit("a")
    hello = Hello(
        "east", "s2", "agent-east", "boot", "g", (), facts_of("east"),
        CapacityReport(1, (pool_of("east"),), 0, full=True),
    )  # fmt: skip
    desk.step(Proposals((desk.offer("a", "east"),), (), desk.wall), hello)
    granted = [send for send in desk.sends if isinstance(send.message, Grants)]
    assert [send.session for send in granted] == ["s1"]
    (verdicts,) = desk.sent(Verdicts)
    assert verdicts.expect == (("a", 1),)


def test_a_site_removed_in_the_batch_that_granted_to_it() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.step(
        Proposals((desk.offer("a", "east"),), (), desk.wall), RemoveSite("east", True, "admin")
    )
    assert "east" not in desk.state.sites
    assert [goodbye.code for goodbye in desk.sent(Goodbye)] == ["SiteRemoved"]


# --- refusals -------------------------------------------------------------------


def test_a_refused_offer_is_queued_again_and_costs_nothing() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    for epoch in range(1, 31):  # far beyond attempts_max
        (grant,) = desk.place(desk.offer("a", "east"))
        assert grant.epoch == epoch
        desk.report("east", "rejected", "a", epoch)
        assert desk.job("a").state is JobState.QUEUED
        report(desk, "east", free=8, reflects=epoch, seq=epoch + 1)
    assert len(desk.job("a").attempts) == 1, "refused offers do not pile up"


def test_a_refused_shape_is_held_off_for_a_while() -> None:
    desk = Desk("east", limits=with_limits(hold_seconds=30.0))
    desk.hello("east")
    desk.submit("a", "b", spec=spec_of(cards=2))
    desk.submit("small", spec=spec_of("small"))
    desk.place(desk.offer("a", "east", cards=2))
    desk.report("east", "rejected", "a")
    report(desk, "east", free=8, reflects=1)
    assert {placement.job_id for placement in desk.round().placements} == {"small"}
    desk.advance(29.0)
    desk.beat("east")
    assert {placement.job_id for placement in desk.round().placements} == {"small"}
    desk.advance(2.0)
    assert {placement.job_id for placement in desk.round().placements} == {"a", "b", "small"}


def test_a_hold_outlives_no_step_of_the_wall_clock() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    desk.report("east", "rejected", "a")
    report(desk, "east", free=8, reflects=1)
    desk.wall -= 10 * 365 * 86_400.0
    desk.advance(29.0)
    desk.beat("east")
    assert desk.round().placements == ()
    desk.advance(2.0)
    assert {placement.job_id for placement in desk.round().placements} == {"a"}


def test_holds_are_bounded() -> None:
    desk = Desk("east", limits=with_limits(holds_max=2))
    desk.hello("east")
    for cards in (1, 2, 3, 4):
        spec = spec_of(f"of-{cards}", cards=cards)
        desk.submit(f"j{cards}", spec=spec)
        assert desk.place(desk.offer(f"j{cards}", "east", cards=cards))
        desk.report("east", "rejected", f"j{cards}")
        report(desk, "east", free=8, reflects=cards, seq=cards + 1)
    assert len(desk.core.memory.holds) == 2


def test_a_grant_that_never_arrived_says_nothing_of_the_pool() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    desk.hello("east", "s2")
    never = Failure("site", "NotStarted", "it was never started here and never will be")
    desk.report("east", "rejected", "a", session="s2", failure=never)
    assert {placement.job_id for placement in desk.round().placements} == {"a"}


# --- arrays ---------------------------------------------------------------------


def test_an_array_runs_no_more_at_once_than_it_asked_for() -> None:
    desk = Desk("east")
    desk.hello("east")
    sweep = spec_of("sweep", parallel_max=2)
    for index in range(5):
        desk.submit(f"s{index}", spec=sweep, array_id="sweep", array_index=index)
    first = desk.round().placements
    assert len(first) == 2
    offers = [desk.offer(f"s{index}", "east") for index in range(5)]
    assert len(desk.place(*offers)) == 2, "also when a proposal asks for more"
    desk.started("east", "s0")
    desk.succeeded("east", "s0")
    assert len(desk.place(*offers)) == 1
    desk.restart()
    desk.hello("east", held=(running("s1"), running("s2")))
    assert desk.place(*offers) == []


def test_rounds_are_counted() -> None:
    desk = Desk("east")
    desk.hello("east", pools=(pool_of("east"),))
    desk.submit("a", "b", spec=spec_of(cards=8))
    decided = desk.round()
    desk.step(Proposals.of(decided, desk.wall))
    assert decided.gap is not None
    counters = dict(answer(desk.core.memory, Counters()))
    assert (counters["RoundsDecided"], counters["PlacementsGranted"]) == (1, 1)
    assert counters["PlacementsProposed"] == len(decided.placements) == 1
    assert counters["RoundGapPpm"] == round(decided.gap * 1e6) == 0  # eight cards, eight taken
