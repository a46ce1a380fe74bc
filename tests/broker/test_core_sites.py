"""Drains with a deadline, and attempts that somebody vouches to be dead."""

from __future__ import annotations

from typing import Any

import pytest
from support_core import Desk, running, spec_of

from broker.conditions import condition_of
from broker.core.lifecycle import AttemptState, JobState
from broker.core.messages import ConfirmDead, Done, RemoveSite, SetDrain, Stops

YEARS = 10 * 365 * 86_400.0
PROOF = spec_of("careful", lease_class="proof")


def drain(desk: Desk, seconds: float = 3_600.0) -> Any:
    return desk.ask(SetDrain("east", True, "power works", "admin", seconds))


def pressed(desk: Desk) -> list[tuple[str, int, str]]:
    desk.beat("east")
    return [stop for message in desk.sent(Stops) for stop in message.stops]


def draining() -> Desk:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east")
    assert drain(desk) == Done()
    return desk


def pass_time(desk: Desk, seconds: float) -> None:
    """With both sites heard."""
    end = desk.elapsed + seconds
    while desk.elapsed < end:
        desk.advance(min(20.0, end - desk.elapsed), tick=False)
        for site in ("east", "west"):
            desk.beat(site)
        desk.advance(0.0)


# --- drains ---------------------------------------------------------------------------


def test_by_the_deadline_what_runs_is_asked_to_stop_and_runs_elsewhere() -> None:
    desk = draining()
    pass_time(desk, 3_580.0)
    assert pressed(desk) == []
    pass_time(desk, 20.0)
    assert pressed(desk) == [("a", 1, "Preempted")]
    assert pressed(desk) == [("a", 1, "Preempted")], "until it has ended"
    desk.report("east", "ended", "a", outcome="preempted")
    assert pressed(desk) == []
    assert desk.job("a").state is JobState.QUEUED
    (grant,) = desk.place(desk.offer("a", "west"))
    assert (grant.epoch, grant.preempted_count) == (2, 1)


def test_without_a_deadline_it_runs_on() -> None:
    desk = draining()
    drain(desk, 0.0)
    pass_time(desk, 10_000.0)
    assert pressed(desk) == []


def test_a_resumed_site_stops_nothing() -> None:
    desk = draining()
    desk.ask(SetDrain("east", False, "", "admin"))
    pass_time(desk, 4_000.0)
    assert pressed(desk) == []
    assert desk.state.sites["east"].drain_by == 0.0


def test_the_deadline_outlasts_the_broker() -> None:
    desk = draining()
    pass_time(desk, 3_000.0)
    desk.restart()
    desk.hello("east", held=(running("a"),))
    desk.hello("west")
    assert pressed(desk) == []
    pass_time(desk, 610.0)
    assert pressed(desk) == [("a", 1, "Preempted")]


@pytest.mark.parametrize("jump", [YEARS, -YEARS])
def test_a_jump_of_the_wall_clock_does_not_move_the_deadline(jump: float) -> None:
    desk = draining()
    pass_time(desk, 3_000.0)
    desk.wall += jump
    assert pressed(desk) == []
    pass_time(desk, 620.0)
    assert pressed(desk) == [("a", 1, "Preempted")]


@pytest.mark.parametrize("seconds", [-1.0, 1e9, float("nan"), float("inf")])
def test_deadlines_are_bounded(seconds: float) -> None:
    desk = Desk("east")
    assert drain(desk, seconds).code == "DeadlineTooFar"


# --- vouching -------------------------------------------------------------------------


def silent(spec: Any = PROOF) -> Desk:
    """A job at east, which has been silent for long; west is heard."""
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east", spec)
    for _ in range(30):
        desk.advance(100.0, tick=False)
        desk.beat("west")
        desk.advance(0.0)
    return desk


def confirm(desk: Desk, site: str = "east", job: str = "a", epoch: int = 1) -> Any:
    return desk.ask(ConfirmDead(site, job, epoch, "operator/wang"))


def test_time_never_frees_a_job_of_class_proof() -> None:
    desk = silent()
    assert desk.job("a").state is JobState.RUNNING
    assert desk.attempt("a").state is AttemptState.ORPHANED
    condition = condition_of(desk.core.memory, desk.job("a"))
    assert condition is not None and condition.code == "AttemptUnknown"
    assert "confirm-dead east a 1" in condition.hint


def test_an_operator_s_word_frees_it_at_once() -> None:
    desk = silent()
    assert confirm(desk) == Done()
    assert desk.job("a").state is JobState.QUEUED
    assert desk.attempt("a").failure is not None
    assert desk.attempt("a").failure.code == "ConfirmedDead"
    entry = desk.state.audit[desk.state.audit_seq]
    assert (entry.actor, entry.action, entry.object, entry.detail) == (
        "operator/wang",
        "attempt.confirm-dead",
        "job/a",
        "epoch 1 at east",
    )
    (grant,) = desk.place(desk.offer("a", "west"))
    assert grant.epoch == 2


def test_who_was_wrong_is_corrected_when_the_site_returns() -> None:
    desk = silent()
    confirm(desk)
    desk.place(desk.offer("a", "west"))
    verdicts = desk.hello("east", "s2", held=(running("a"),))
    assert verdicts is not None and verdicts.stop == (("a", 1),)
    desk.report("east", "ended", "a", session="s2", outcome="succeeded")
    assert desk.job("a").state is JobState.PLACED


def test_a_cancelled_job_of_a_dead_site_comes_to_its_end() -> None:
    desk = silent()
    desk.cancel("a")
    assert desk.job("a").state is JobState.CANCELLING
    confirm(desk)
    assert desk.job("a").state is JobState.CANCELLED


def test_a_site_that_answers_speaks_for_itself() -> None:
    desk = silent()
    desk.hello("east", "s2", held=(running("a"),))
    assert confirm(desk).code == "SiteAnswers"
    assert desk.job("a").state is JobState.RUNNING


def test_after_a_restart_silence_counts_from_there() -> None:
    desk = silent()
    desk.restart()
    assert confirm(desk).code == "SiteAnswers", "it may only be slow to find the new leader"
    desk.hello("west", "s2")
    desk.advance(121.0, tick=False)
    desk.beat("west", "s2")
    assert confirm(desk) == Done()


@pytest.mark.parametrize(
    ("site", "job", "code"),
    [
        ("east", "b", "JobNotFound"),
        ("atlantis", "a", "SiteNotFound"),
        ("west", "a", "SiteAnswers"),
    ],
)
def test_what_is_not_there_cannot_be_vouched_for(site: str, job: str, code: str) -> None:
    assert confirm(silent(), site, job).code == code


def test_a_word_for_one_attempt_is_none_for_another() -> None:
    desk = silent()
    assert confirm(desk, epoch=2).code == "NothingToConfirm"
    assert desk.job("a").state is JobState.RUNNING


def test_nothing_is_vouched_for_twice() -> None:
    desk = silent()
    confirm(desk)
    assert confirm(desk).code == "NothingToConfirm"


def test_a_copy_in_doubt_may_be_vouched_for() -> None:
    desk = silent(spec_of("replica", lease_class="overlap"))
    assert desk.job("a").state is JobState.QUEUED
    desk.place(desk.offer("a", "west"))
    assert confirm(desk) == Done()
    assert [each.live for each in desk.job("a").attempts] == [False, True]
    assert desk.job("a").state is JobState.PLACED


def test_a_busy_site_is_not_removed_and_its_jobs_are_named() -> None:
    desk = Desk("east")
    desk.hello("east")
    for number in range(8):
        desk.run(f"job-{number}", "east")
    refusal = desk.ask(RemoveSite("east", False, "admin"))
    assert refusal.code == "SiteBusy"
    assert "job-0, job-1" in refusal.message
