"""Class `overlap`: replaced on suspicion, never more copies than allowed, keep-new."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support_core import Desk, digest_of, ended, running, spec_of, with_limits

from broker.core.lifecycle import AttemptState, JobState
from broker.core.limits import Limits
from broker.core.messages import RemoveSite

REPLICA = spec_of("replica", lease_class="overlap", lease_seconds=60.0)
SITES = ("east", "west", "north", "south", "heart")


def replica(limits: Limits | None = None) -> Desk:
    """A replica runs at east; four more sites are there to be heard."""
    desk = Desk(*SITES, limits=limits)
    for site in SITES:
        desk.hello(site)
    desk.run("a", "east", REPLICA)
    return desk


def silence(desk: Desk, *silent: str, seconds: float = 31.0) -> None:
    """Let time pass in which only the others beat."""
    for site in SITES:
        if site not in silent:
            desk.beat(site)
    desk.advance(seconds, tick=False)
    for site in SITES:
        if site not in silent:
            desk.beat(site)
    desk.advance(0.0)


def copies(desk: Desk) -> list[tuple[int, str]]:
    """Executions that may be alive: epoch and site."""
    return [(each.epoch, each.site) for each in desk.job("a").attempts if each.live]


def test_it_is_replaced_at_once_on_suspicion() -> None:
    desk = replica()
    silence(desk, "east")
    job = desk.job("a")
    assert job.state is JobState.QUEUED
    assert job.failure is not None and job.failure.code == "SiteSuspect"
    assert desk.attempt("a").state is AttemptState.ORPHANED, "it may be alive"
    (grant,) = desk.place(desk.offer("a", "west"))
    assert (grant.epoch, grant.lease_class) == (2, "overlap")
    assert copies(desk) == [(1, "east"), (2, "west")]


def test_its_site_never_loses_it_to_time() -> None:
    desk = replica(with_limits(overlap_extra=0))
    silence(desk, "east", seconds=5_000.0)
    assert desk.job("a").state is JobState.RUNNING
    assert desk.attempt("a").state is AttemptState.ORPHANED


def test_a_copy_holds_its_cards_until_it_is_proved_dead() -> None:
    desk = replica()
    silence(desk, "east")
    desk.place(desk.offer("a", "west"))
    assert desk.state.cards_leased["east/main"] == 1
    assert desk.state.cards_held["lab"] == 2
    desk.hello("east", "s2")
    desk.report("east", "rejected", "a", session="s2")
    assert desk.state.cards_leased["east/main"] == 0
    assert copies(desk) == [(2, "west")]
    assert desk.job("a").state is JobState.PLACED


@pytest.mark.parametrize("extra", [1, 2])
def test_copies_are_bounded_when_site_after_site_falls_silent(extra: int) -> None:
    desk = replica(with_limits(overlap_extra=extra))
    silent: list[str] = []
    for site in SITES[:-1]:
        if desk.job("a").state is JobState.QUEUED:
            desk.place(desk.offer("a", site))
            desk.started(site, "a", len(silent) + 1)
        silent.append(site)
        # While most sites are silent the fault is taken for ours, unless one is heard.
        silence(desk, *silent)
        assert len(copies(desk)) <= extra + 1
    silence(desk, *silent, seconds=100_000.0)
    assert copies(desk) == [(n + 1, SITES[n]) for n in range(extra + 1)]
    assert desk.job("a").state is JobState.RUNNING, "it waits for a word of any of them"


def test_the_bound_holds_over_a_restart() -> None:
    desk = replica()
    silence(desk, "east")
    desk.place(desk.offer("a", "west"))
    desk.restart()
    for site in SITES[2:]:
        desk.hello(site, "s2")
    desk.advance(200.0, tick=False)
    for site in SITES[2:]:
        desk.beat(site, "s2")
    desk.advance(0.0)
    assert copies(desk) == [(1, "east"), (2, "west")]
    assert desk.job("a").state is JobState.PLACED


def test_a_proved_death_makes_room_for_the_next_copy() -> None:
    desk = replica()
    silence(desk, "east")
    desk.place(desk.offer("a", "west"))
    silence(desk, "east", "west")
    assert desk.job("a").state is JobState.PLACED, "as many as may be are in doubt"
    desk.hello("east", "s2", held=(ended("a"),))
    desk.report("east", "ended", "a", session="s2", outcome="failed")
    assert desk.job("a").attempts[0].outcome == "superseded"
    desk.advance(0.0)
    assert desk.job("a").state is JobState.QUEUED
    (grant,) = desk.place(desk.offer("a", "north"))
    assert grant.epoch == 3


@pytest.mark.parametrize("how", ["hello", "heartbeat"])
def test_the_older_copy_of_a_site_that_returns_is_told_to_stop(how: str) -> None:
    desk = replica()
    silence(desk, "east")
    desk.place(desk.offer("a", "west"))
    if how == "hello":
        verdicts = desk.hello("east", "s2", held=(running("a"),))
        assert verdicts is not None and verdicts.stop == (("a", 1),)
    else:
        reply = desk.beat("east", digest=digest_of(("a", 1)))
        assert reply is not None and reply.reconcile, "the digest names what nobody believes"
    assert copies(desk) == [(1, "east"), (2, "west")], "told is not yet dead"
    session = "s2" if how == "hello" else "s1"
    desk.report("east", "ended", "a", session=session, outcome="cancelled")
    assert copies(desk) == [(2, "west")]


def test_a_copy_that_its_site_does_not_name_is_asked_for() -> None:
    desk = replica()
    silence(desk, "east")
    desk.place(desk.offer("a", "west"))
    verdicts = desk.hello("east", "s2")
    assert verdicts is not None and verdicts.expect == (("a", 1),)


@pytest.mark.parametrize("how", ["hello", "started", "succeeded", "failed"])
def test_before_another_is_granted_the_copy_is_the_attempt_again(how: str) -> None:
    desk = replica()
    silence(desk, "east")
    held = (ended("a"),) if how in ("succeeded", "failed") else (running("a"),)
    verdicts = desk.hello("east", "s2", held=held)
    assert verdicts is not None and (verdicts.keep, verdicts.stop) == ((("a", 1),), ())
    assert desk.job("a").state is JobState.RUNNING
    assert desk.place(desk.offer("a", "west")) == [], "nothing needs to replace it"
    if how != "hello":
        getattr(desk, how)("east", "a", session="s2")
    state = {"succeeded": JobState.SUCCEEDED, "failed": JobState.FAILED}
    assert desk.job("a").state is state.get(how, JobState.RUNNING)
    assert len(desk.job("a").attempts) == 1


def test_a_late_report_alone_takes_a_queued_copy_back() -> None:
    desk = replica()
    silence(desk, "east")
    desk.succeeded("east", "a")
    assert desk.job("a").state is JobState.SUCCEEDED


@pytest.mark.parametrize("end", ["succeeded", "cancelled"])
def test_when_the_job_ends_its_copies_are_of_no_more_consequence(end: str) -> None:
    desk = replica()
    silence(desk, "east")
    if end == "succeeded":
        desk.place(desk.offer("a", "west"))
        desk.started("west", "a", 2)
        desk.succeeded("west", "a", 2)
    else:
        desk.cancel("a")
    assert desk.job("a").state.value == end
    assert desk.job("a").attempts[0].outcome == "superseded"
    verdicts = desk.hello("east", "s2", held=(running("a"),))
    assert verdicts is not None and verdicts.stop == (("a", 1),)
    before = desk.job("a")
    desk.report("east", "ended", "a", session="s2", outcome="cancelled")
    assert desk.job("a") == before


def test_while_the_fault_is_ours_nothing_is_replaced() -> None:
    desk = replica()
    desk.advance(5_000.0)
    assert desk.job("a").state is JobState.RUNNING


def test_a_new_leader_gives_sites_longer_to_be_found() -> None:
    """Agents come back over half a minute; being slow to find us is no reason to replace."""
    desk = replica()
    desk.restart()
    for site in SITES[1:]:
        desk.hello(site, "s2")
    for _ in range(11):
        desk.advance(10.0, tick=False)
        for site in SITES[1:]:
            desk.beat(site, "s2")
        desk.advance(0.0)
    assert desk.job("a").state is JobState.RUNNING
    silence_ends = desk.elapsed
    while desk.job("a").state is JobState.RUNNING:
        assert desk.elapsed < silence_ends + 30.0
        desk.advance(5.0, tick=False)
        for site in SITES[1:]:
            desk.beat(site, "s2")
        desk.advance(0.0)
    assert desk.elapsed > desk.limits.lost_seconds


def test_a_cancel_waits_for_proof_not_for_time() -> None:
    desk = replica()
    desk.cancel("a")
    silence(desk, "east", seconds=50_000.0)
    assert desk.job("a").state is JobState.CANCELLING
    desk.hello("east", "s2", held=(running("a"),))
    desk.report("east", "ended", "a", session="s2", outcome="cancelled")
    assert desk.job("a").state is JobState.CANCELLED


def test_a_removed_site_takes_its_copies_out_of_account() -> None:
    desk = replica()
    silence(desk, "east")
    desk.place(desk.offer("a", "west"))
    refusal = desk.ask(RemoveSite("east", False, "admin"))
    assert refusal.code == "SiteBusy" and "a" in refusal.message
    desk.ask(RemoveSite("east", True, "admin"))
    assert copies(desk) == [(2, "west")]
    assert desk.job("a").state is JobState.PLACED


def test_replicas_by_the_array_bound_count_once() -> None:
    """A copy in doubt takes no place of its array: its replacement must fit."""
    desk = Desk(*SITES)
    for site in SITES:
        desk.hello(site)
    spec = replace(REPLICA, sha256="sha-array", parallel_max=1, name="array")
    desk.submit("a", spec=spec, array_id="array", array_index=0)
    desk.place(desk.offer("a", "east"))
    desk.started("east", "a")
    silence(desk, "east")
    assert desk.place(desk.offer("a", "west"))
