"""Silence: suspect, lost, orphaned; then back in time, or given up when the lease is over."""

from __future__ import annotations

import pytest
from support_core import Desk, digest_of, pool_of, running, spec_of, with_limits

from broker.core.lifecycle import AttemptState, JobState
from broker.core.liveness import CHANGES_PER_TICK_MAX
from broker.core.messages import Reconcile, Tick
from scheduler.model import SiteState

TAKEBACK = 631.26  # seconds: (600 + 30) / 0.999 * 1.001


def wait(desk: Desk, seconds: float, *heard: str, step: float = 10.0) -> None:
    """Let time pass with ticks; the sites in `heard` go on beating."""
    end = desk.elapsed + seconds
    while desk.elapsed < end:
        desk.advance(min(step, end - desk.elapsed), tick=False)
        for site in heard:
            desk.beat(site, desk.core.memory.presence[site].session)
        desk.advance(0.0)


def two_sites(**spec: object) -> Desk:
    """A job runs at east; west is there to be heard."""
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east", spec_of(**spec))  # type: ignore[arg-type]
    return desk


def site_state(desk: Desk, site: str = "east") -> SiteState:
    return desk.core.memory.presence[site].state(draining=False)


def test_takeback_covers_drift_and_killing() -> None:
    assert with_limits().takeback_seconds(600.0) == pytest.approx(TAKEBACK, abs=0.01)


def test_silence_step_by_step() -> None:
    desk = two_sites()
    wait(desk, 30.0, "west")
    assert site_state(desk) is SiteState.OPEN
    wait(desk, 1.0, "west")
    assert site_state(desk) is SiteState.SUSPECT
    assert desk.attempt("a").state is AttemptState.RUNNING
    wait(desk, 90.0, "west")
    assert site_state(desk) is SiteState.LOST
    assert desk.attempt("a").state is AttemptState.ORPHANED
    assert desk.job("a").state is JobState.RUNNING
    wait(desk, TAKEBACK - 122.0, "west")
    assert desk.job("a").state is JobState.RUNNING, "its lease may still run"
    wait(desk, 2.0, "west", step=1.0)
    job = desk.job("a")
    assert job.state is JobState.QUEUED
    assert desk.attempt("a").outcome == "lost"
    assert job.failure is not None
    assert (job.failure.category, job.failure.code) == ("site", "SiteLost")


def test_a_job_that_is_lost_costs_no_retry() -> None:
    desk = two_sites(retry_max=0)
    wait(desk, 640.0, "west")
    assert desk.job("a").state is JobState.QUEUED
    (grant,) = desk.place(desk.offer("a", "west"))
    assert grant.epoch == 2


def test_a_shorter_lease_is_over_sooner() -> None:
    desk = two_sites(lease_seconds=60.0)
    wait(desk, 90.0, "west")
    assert desk.job("a").state is JobState.RUNNING
    wait(desk, 1.0, "west")
    assert desk.job("a").state is JobState.QUEUED


def test_a_heartbeat_renews_every_lease_of_its_site() -> None:
    desk = two_sites(lease_seconds=60.0)
    for _ in range(10):
        wait(desk, 85.0, "west")
        desk.beat("east")
    assert desk.job("a").state is JobState.RUNNING


@pytest.mark.parametrize("how", ["hello", "heartbeat", "reconcile"])
@pytest.mark.parametrize("started", [False, True])
def test_a_site_that_returns_in_time_has_its_attempts_back(how: str, started: bool) -> None:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    if started:
        desk.started("east", "a")
    wait(desk, 130.0, "west")
    assert desk.attempt("a").state is AttemptState.ORPHANED
    if how == "hello":
        desk.hello("east", "s2", held=(running("a"),))
    elif how == "heartbeat":
        desk.beat("east", digest=digest_of(("a", 1)))
    else:
        reply = desk.beat("east", digest=0)
        assert reply is not None
        assert reply.reconcile
        desk.step(Reconcile("east", "s1", (running("a"),), 1))
    assert site_state(desk) is SiteState.OPEN
    state = AttemptState.RUNNING if started else AttemptState.OFFERED
    assert desk.attempt("a").state is state
    wait(desk, 700.0, "west", "east")
    assert desk.attempt("a").state is state


def test_a_started_report_brings_an_orphan_back() -> None:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    wait(desk, 130.0, "west")
    desk.started("east", "a")
    assert desk.attempt("a").state is AttemptState.RUNNING
    assert desk.job("a").state is JobState.RUNNING


def test_a_site_that_returns_too_late_is_told_to_stop() -> None:
    desk = two_sites()
    wait(desk, 640.0, "west")
    desk.place(desk.offer("a", "west"))
    verdicts = desk.hello("east", "s2", held=(running("a", 1),))
    assert verdicts is not None
    assert verdicts.stop == (("a", 1),)
    assert desk.attempt("a").site == "west"


def test_a_job_of_class_proof_is_never_given_up_by_time() -> None:
    desk = two_sites(lease_class="proof")
    wait(desk, 30 * 86_400.0, "west", step=3_600.0)
    assert desk.attempt("a").state is AttemptState.ORPHANED
    assert desk.job("a").state is JobState.RUNNING
    desk.hello("east", "s2")
    desk.report("east", "rejected", "a", session="s2")
    assert desk.job("a").state is JobState.QUEUED, "a promise is proof"


def test_a_new_leader_lets_every_lease_run_its_full_length_again() -> None:
    desk = two_sites()
    wait(desk, 500.0, "west")
    desk.restart()
    desk.hello("west", "s2")
    wait(desk, TAKEBACK - 1.0, "west")
    assert desk.job("a").state is JobState.RUNNING
    wait(desk, 2.0, "west")
    assert desk.job("a").state is JobState.QUEUED


def test_a_leader_that_restarts_again_and_again_gives_nothing_up() -> None:
    desk = two_sites()
    for _ in range(10):
        wait(desk, 300.0)
        desk.restart()
        desk.hello("west", "s2")
    assert desk.job("a").state is JobState.RUNNING


def test_while_most_sites_are_silent_nothing_is_lost() -> None:
    desk = two_sites()
    wait(desk, 3 * 3_600.0, step=60.0)
    assert desk.attempt("a").state is AttemptState.RUNNING
    assert site_state(desk) is SiteState.SUSPECT, "but nothing new is placed"


def test_silence_that_was_our_fault_is_not_held_against_the_sites() -> None:
    """The first to be heard again must not condemn those that are a moment later."""
    desk = two_sites()
    wait(desk, 3_600.0)
    desk.hello("west", "s2")
    wait(desk, 60.0, "west")
    assert desk.job("a").state is JobState.RUNNING
    assert desk.hello("east", "s2", held=(running("a"),)) is not None
    assert desk.attempt("a").state is AttemptState.RUNNING


def test_a_site_that_stays_away_after_our_fault_is_given_up_all_the_same() -> None:
    desk = two_sites()
    wait(desk, 3_600.0)
    desk.hello("west", "s2")
    wait(desk, TAKEBACK - 40.0, "west")
    assert desk.job("a").state is JobState.RUNNING
    wait(desk, 50.0, "west")
    assert desk.job("a").state is JobState.QUEUED


def test_one_site_that_beats_slowly_is_enough_to_give_up_the_others() -> None:
    desk = Desk("east", "west", "north", "south")
    for site in ("east", "west"):
        desk.hello(site)
    desk.run("a", "east")
    wait(desk, TAKEBACK + 15.0, "west", step=11.5)
    assert desk.job("a").state is JobState.QUEUED


def test_agents_that_are_not_welcome_show_that_our_road_is_open() -> None:
    """Every site has a new agent: each must wait for the leases of the one before it."""
    desk = two_sites()
    while desk.job("a").state is JobState.RUNNING:
        assert desk.elapsed < TAKEBACK + 20.0
        desk.advance(15.0)
        desk.hello("east", "s2", agent_id="another")
    assert desk.elapsed > TAKEBACK


def test_a_federation_of_one_site_does_not_wait_for_others() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    wait(desk, TAKEBACK + 10.0)
    assert desk.job("a").state is JobState.QUEUED


def test_wall_clock_steps_change_no_lease() -> None:
    desk = two_sites()
    for step in (3.2e8, -6.4e8, 3.2e8):
        desk.wall += step
        wait(desk, 60.0, "east", "west")
    assert desk.attempt("a").state is AttemptState.RUNNING


def test_a_great_loss_is_worked_off_in_bounded_steps() -> None:
    desk = Desk("east", "west")
    desk.hello("west")
    desk.hello("east", pools=(pool_of("east", nodes=200),))
    ids = [f"j{n}" for n in range(CHANGES_PER_TICK_MAX + 200)]
    for first in range(0, len(ids), 1_000):
        desk.submit(*ids[first : first + 1_000])
    desk.place(*(desk.offer(job_id, "east") for job_id in ids))
    desk.advance(640.0, tick=False)
    desk.beat("west")
    step = desk.step(Tick())
    assert sum(put.key.startswith("job/") for put in step.records) == CHANGES_PER_TICK_MAX
    desk.step(Tick())
    assert desk.state.queue.count == len(ids)
