"""Preemption in the core: checked against the present, asked until it is done, capped, told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support_core import ACCELERATORS, Desk, pool_of, running, spec_of, with_limits

from broker.core.lifecycle import AttemptState, JobState
from broker.core.messages import Cancel, Proposals, PutRow, SetDrain, Stops
from broker.core.preempting import CAP_SECONDS
from broker.core.rows import Failure, Tenant
from broker.core.snapshot import take_snapshot
from scheduler.model import Preemption, PreemptionReason, Quota, Supernode, Victim
from scheduler.placement import place

LOW = spec_of("low", cards=8)
HIGH = spec_of("high", cards=8, priority=200)
ROOM = pool_of("east", nodes=2)
FULL = pool_of("east", free=0, nodes=2)
HALF = replace(FULL, supernodes=(Supernode("s0", (1, 0, 0, 0, 0, 0, 0, 0, 1)),))


def busy_desk(**limits: float) -> Desk:
    """Two jobs of one tenant hold the two nodes of a site; a third of a higher class waits."""
    desk = Desk("east", limits=with_limits(**limits))
    desk.hello("east", pools=(ROOM,))
    desk.run("a", "east", LOW)
    desk.advance(300.0, tick=False)
    desk.beat("east")
    desk.run("b", "east", LOW)
    desk.submit("wish", spec=HIGH)
    return desk


def test_until_when_cards_are_held() -> None:
    """Data come first, then the run; once it has begun they are no matter any more."""
    desk = Desk("east")
    desk.hello("east", pools=(ROOM,))
    desk.submit("a", spec=LOW)
    offer = desk.offer("a", "east", cards=8)
    score = replace(offer.score, stage_seconds=100.0, run_seconds=1_000.0)
    desk.place(replace(offer, score=score))
    placed_at = desk.wall
    assert ends(desk) == [placed_at + 1_100.0]
    desk.advance(40.0, tick=False)
    desk.started("east", "a")
    assert ends(desk) == [desk.attempt("a").started_at + 1_000.0] == [placed_at + 1_040.0]


def ends(desk: Desk) -> list[float]:
    return [each.ends_at for each in take_snapshot(desk.core.memory, desk.now, ()).running]


def proposal(
    *victims: str,
    job_id: str = "wish",
    reason: PreemptionReason = PreemptionReason.PRIORITY,
    epoch: int = 1,
    lost: float = 0.0,
) -> Preemption:
    named = tuple(Victim(victim, epoch, lost) for victim in victims)
    return Preemption(job_id, 0, "east/main", reason, named)


def hand_in(desk: Desk, *proposals: Preemption) -> list[tuple[str, int, str]]:
    """The stops that the core sends for it."""
    desk.step(Proposals((), (), desk.wall, preemptions=proposals))
    return [stop for message in desk.sent(Stops) for stop in message.stops]


def pressed(desk: Desk) -> list[tuple[str, int, str]]:
    desk.beat("east")
    return [stop for message in desk.sent(Stops) for stop in message.stops]


def give_way(desk: Desk, job_id: str, epoch: int = 1, session: str = "s1") -> None:
    told = Failure("broker", "Preempted", "stopped to make room for another job")
    desk.report("east", "ended", job_id, epoch, session, outcome="preempted", failure=told)


# --- the road -----------------------------------------------------------------------------


def test_a_real_round_stops_the_newest_and_the_job_goes_on_later() -> None:
    desk = busy_desk()
    decided = place(take_snapshot(desk.core.memory, desk.now, ACCELERATORS))
    assert hand_in(desk, *decided.preemptions) == [("b", 1, "Preempted")]
    assert desk.attempt("b").yielding is not None
    assert desk.job("b").state is JobState.RUNNING, "until its site has told of the end"
    assert pressed(desk) == [("b", 1, "Preempted")], "again at each heartbeat"
    again = place(take_snapshot(desk.core.memory, desk.now, ACCELERATORS))
    assert again.preemptions == (), "the room is coming"
    give_way(desk, "b")
    assert pressed(desk) == []
    assert desk.job("b").state is JobState.QUEUED
    desk.hello("east", "s2", held=(running("a"),), pools=(HALF,))
    decided = place(take_snapshot(desk.core.memory, desk.now, ACCELERATORS))
    (grant,) = desk.place(*decided.placements)
    assert grant.job_id == "wish"


def test_it_is_told_why_and_for_whom_and_counted() -> None:
    desk = busy_desk()
    hand_in(desk, proposal("b", lost=7_200.0))
    (entry,) = [row for row in desk.state.audit.values() if row.action == "preempt"]
    assert entry.object == "job/wish" and "b/1" in entry.detail
    give_way(desk, "b")
    attempt = desk.attempt("b")
    assert (attempt.outcome, attempt.state) == ("preempted", AttemptState.ENDED)
    assert attempt.failure is not None and attempt.failure.code == "Preempted"
    assert "for wish" in attempt.failure.message and "2.0 card-hours" in attempt.failure.message


def test_of_another_tenants_job_no_more_is_told_than_whose_it_is() -> None:
    desk = reclaiming_desk()
    assert hand_in(desk, reclaim("b")) == [("b", 1, "Preempted")]
    give_way(desk, "b")
    failure = desk.attempt("b").failure
    assert failure is not None and "guest" in failure.message and "theirs" not in failure.message


def test_a_victim_that_succeeds_first_has_succeeded() -> None:
    desk = busy_desk()
    hand_in(desk, proposal("b"))
    desk.succeeded("east", "b")
    assert desk.job("b").state is JobState.SUCCEEDED
    assert pressed(desk) == []


def test_a_victim_that_is_cancelled_is_cancelled() -> None:
    desk = busy_desk()
    hand_in(desk, proposal("b"))
    desk.step(Cancel(("b",), "lab", "user/li"))
    give_way(desk, "b")
    assert desk.job("b").state is JobState.CANCELLED


def test_a_later_leader_goes_on_asking() -> None:
    desk = busy_desk()
    hand_in(desk, proposal("b"))
    yielded = dict(desk.state.yielded)
    desk.restart()
    assert desk.state.yielded == yielded
    desk.hello("east", "s2", held=(running("a"), running("b")), pools=(FULL,))
    assert desk.beat("east", "s2")
    assert [stop for message in desk.sent(Stops) for stop in message.stops] == [
        ("b", 1, "Preempted")
    ]


def test_a_victim_whose_site_is_lost_waits_for_its_lease_like_any_other() -> None:
    desk = busy_desk()
    hand_in(desk, proposal("b"))
    desk.advance(200.0)
    assert desk.attempt("b").state is AttemptState.ORPHANED
    desk.advance(600.0)
    assert (desk.attempt("b").outcome, desk.job("b").state) == ("lost", JobState.QUEUED)
    assert desk.job("b").attempts[-1].epoch == 1


# --- what is checked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stale",
    [
        proposal(),
        proposal("b", "gone"),
        proposal("b", epoch=2),
        proposal("b", job_id="gone"),
        proposal("b", job_id="a"),  # it runs
        replace(proposal("b"), pool="east/other"),
        replace(proposal("b"), pool="west/main"),
        replace(proposal("b"), variant=1),
        proposal("b", reason=PreemptionReason.RECLAIM),  # nothing is guaranteed to anybody
    ],
)
def test_a_proposal_that_does_not_hold_any_more_stops_nobody(stale: Preemption) -> None:
    desk = busy_desk()
    assert hand_in(desk, stale) == []
    assert not any(job.attempts and job.attempts[-1].yielding for job in desk.state.jobs.values())


def test_all_victims_yield_or_none() -> None:
    desk = busy_desk()
    desk.succeeded("east", "a")
    assert hand_in(desk, proposal("a", "b")) == []
    assert hand_in(desk, proposal("b")) == [("b", 1, "Preempted")]


def test_nobody_is_asked_twice_and_no_second_set_for_one_job() -> None:
    desk = busy_desk()
    assert hand_in(desk, proposal("b")) == [("b", 1, "Preempted")]
    assert hand_in(desk, proposal("b")) == []
    assert hand_in(desk, proposal("a")) == [], "room for wish is coming"
    desk.submit("more", spec=HIGH)
    assert hand_in(desk, proposal("a", job_id="more")) == [("a", 1, "Preempted")]


def test_what_has_not_started_is_left_alone() -> None:
    desk = Desk("east")
    desk.hello("east", pools=(ROOM,))
    desk.submit("a", spec=LOW)
    desk.place(desk.offer("a", "east", cards=8))
    desk.submit("wish", spec=HIGH)
    assert hand_in(desk, proposal("a")) == []


def test_a_site_that_takes_nothing_new_need_make_no_room() -> None:
    desk = busy_desk()
    desk.ask(SetDrain("east", True, "works", "admin"))
    assert hand_in(desk, proposal("b")) == []


def test_a_job_that_may_not_be_stopped_is_not() -> None:
    desk = busy_desk()
    spec = desk.state.specs[LOW.sha256]
    desk.state.specs[LOW.sha256] = replace(spec, demand=replace(spec.demand, preemptible=False))
    assert hand_in(desk, proposal("b")) == []


# --- reclaim ----------------------------------------------------------------------------------


def reclaiming_desk(guaranteed: float = 8.0) -> Desk:
    desk = busy_desk()
    desk.ask(PutRow(Tenant("guest", quotas=(Quota("npu", guaranteed),)), "admin"))
    desk.submit("theirs", spec=LOW, tenant="guest")
    return desk


def reclaim(*victims: str) -> Preemption:
    return proposal(*victims, job_id="theirs", reason=PreemptionReason.RECLAIM)


def test_borrowed_cards_are_given_back_to_whom_they_are_guaranteed() -> None:
    desk = reclaiming_desk()
    decided = place(take_snapshot(desk.core.memory, desk.now, ACCELERATORS))
    (found,) = [each for each in decided.preemptions if each.job_id == "theirs"]
    assert found.reason is PreemptionReason.RECLAIM
    assert len(hand_in(desk, found)) == 1


def test_beyond_a_guarantee_nothing_is_claimed_and_what_is_guaranteed_is_not_taken() -> None:
    assert hand_in(reclaiming_desk(guaranteed=4.0), reclaim("b")) == []
    desk = reclaiming_desk()
    desk.ask(PutRow(Tenant("lab", quotas=(Quota("npu", 8.0),)), "admin"))
    assert hand_in(desk, reclaim("a", "b")) == [], "the second is the owner's again"
    assert hand_in(desk, reclaim("b")) == [("b", 1, "Preempted")]


# --- caps -------------------------------------------------------------------------------------


def test_the_federation_stops_so_many_an_hour_and_no_more() -> None:
    desk = busy_desk(preempted_per_hour_max=1)
    desk.submit("more", spec=HIGH)
    assert len(hand_in(desk, proposal("b"))) == 1
    assert hand_in(desk, proposal("a", job_id="more")) == []
    desk.restart()
    desk.hello("east", "s2", held=(running("a"), running("b")), pools=(FULL,))
    assert hand_in(desk, proposal("a", job_id="more")) == [], "also under another leader"
    desk.wall += CAP_SECONDS
    assert len(hand_in(desk, proposal("a", job_id="more"))) == 1


def test_the_work_lost_in_an_hour_is_capped() -> None:
    desk = busy_desk(preempted_card_hours_max=2.0)
    desk.submit("more", spec=HIGH)
    assert hand_in(desk, proposal("b", lost=2.1 * 3_600)) == []
    assert len(hand_in(desk, proposal("b", lost=1.5 * 3_600))) == 1
    assert hand_in(desk, proposal("a", job_id="more", lost=0.6 * 3_600)) == []
    assert len(hand_in(desk, proposal("a", job_id="more", lost=0.4 * 3_600))) == 1
    assert sum(each.lost_card_seconds for each in desk.state.yielded.values()) <= 2.0 * 3_600


def test_one_job_is_stopped_so_often_and_no_more() -> None:
    desk = busy_desk(preempted_per_job_max=2)
    session = "s1"
    for epoch in (1, 2):
        assert hand_in(desk, proposal("b", epoch=epoch)) == [("b", epoch, "Preempted")]
        give_way(desk, "b", epoch, session)
        session = f"again{epoch}"
        desk.hello("east", session, held=(running("a"),), pools=(HALF,))
        assert desk.place(desk.offer("b", "east", cards=8))
        desk.started("east", "b", epoch + 1, session=session)
    assert hand_in(desk, proposal("b", epoch=3)) == []
    seen = take_snapshot(desk.core.memory, desk.now, ACCELERATORS).running
    assert {each.job_id: each.preemptible for each in seen} == {"a": True, "b": False}


# --- deadlines --------------------------------------------------------------------------------


def test_a_job_whose_deadline_has_passed_fails_in_the_queue_and_not_while_it_runs() -> None:
    desk = Desk("east", limits=with_limits(settle_seconds=1.0, lost_seconds=1e9))
    desk.hello("east", pools=(ROOM,))
    late = replace(LOW, demand=replace(LOW.demand, deadline_at=desk.wall + 100.0))
    desk.submit("runs", "waits", spec=late)
    assert desk.place(desk.offer("runs", "east", cards=8))
    desk.started("east", "runs")
    desk.advance(99.0)
    assert desk.job("waits").state is JobState.QUEUED
    desk.beat("east")
    desk.advance(2.0)
    failure = desk.job("waits").failure
    assert desk.job("waits").state is JobState.FAILED
    assert failure is not None and failure.code == "DeadlinePassed"
    assert desk.job("runs").state is JobState.RUNNING
