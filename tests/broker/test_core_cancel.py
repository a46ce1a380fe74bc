"""Cancelling: at once while queued, and only on proof once a site may have started it."""

from __future__ import annotations

import pytest
from support_core import Desk, ended, running, spec_of

from broker.core.lifecycle import JobState
from broker.core.messages import (
    Accepted,
    Cancel,
    Refused,
    Report,
    Reports,
    Results,
    Stops,
)
from broker.core.rows import Failure


def code(result: Accepted | Refused) -> str:
    return result.refusal.code if isinstance(result, Refused) else ""


def cancelling(desk: Desk, started: bool = True) -> None:
    desk.hello("east")
    desk.submit("a", spec=spec_of(retry_max=3))
    desk.place(desk.offer("a", "east"))
    if started:
        desk.started("east", "a")
    assert desk.cancel("a") == (Accepted("a"),)


def test_a_queued_job_is_cancelled_at_once() -> None:
    desk = Desk("east")
    desk.submit("a")
    assert desk.cancel("a") == (Accepted("a"),)
    job = desk.job("a")
    assert (job.state, job.finished_at) == (JobState.CANCELLED, desk.wall)
    assert job.failure == Failure("user", "Cancelled", "cancelled by user/li")


@pytest.mark.parametrize("started", [False, True])
def test_a_granted_job_is_stopped_first(started: bool) -> None:
    desk = Desk("east")
    cancelling(desk, started)
    assert desk.job("a").state is JobState.CANCELLING
    assert desk.sent(Stops) == [Stops((("a", 1, "Cancelled"),))]


def test_a_second_cancel_changes_nothing() -> None:
    desk = Desk("east")
    cancelling(desk)
    before = desk.job("a")
    assert desk.cancel("a") == (Accepted("a", existed=True),)
    assert desk.job("a") == before


@pytest.mark.parametrize("how", ["succeeded", "failed", "cancelled"])
def test_a_job_that_has_ended_cannot_be_cancelled(how: str) -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    if how == "cancelled":
        desk.cancel("a")
        desk.report("east", "ended", "a", outcome="cancelled")
    else:
        getattr(desk, how)("east", "a")
    before = desk.job("a")
    assert before.state.value == how
    assert code(desk.cancel("a")[0]) == "AlreadyEnded"
    assert desk.job("a") == before


def test_what_is_not_there_or_not_one_s_own_is_not_found() -> None:
    desk = Desk("east")
    desk.submit("a")
    assert code(desk.cancel("b")[0]) == "JobNotFound"
    assert code(desk.cancel("a", tenant="rival")[0]) == "JobNotFound"
    assert desk.job("a").state is JobState.QUEUED


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("outcome", ["cancelled", "succeeded", "failed", "lost", "rejected"])
def test_any_end_of_the_attempt_is_the_proof(outcome: str, started: bool) -> None:
    desk = Desk("east")
    cancelling(desk, started)
    kind = "rejected" if outcome == "rejected" else "ended"
    desk.report("east", kind, "a", outcome=outcome, failure=None)
    job = desk.job("a")
    assert job.state is JobState.CANCELLED
    assert job.failure == Failure("user", "Cancelled", "cancelled by user/li")
    assert desk.attempt("a").outcome == outcome, "what really happened is kept"


def test_a_start_told_after_the_cancel_does_not_undo_it() -> None:
    desk = Desk("east")
    cancelling(desk, started=False)
    desk.started("east", "a")
    assert desk.job("a").state is JobState.CANCELLING
    desk.report("east", "ended", "a", outcome="cancelled")
    assert desk.job("a").state is JobState.CANCELLED


def test_success_wins_when_it_comes_first() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    desk.succeeded("east", "a")
    assert code(desk.cancel("a")[0]) == "AlreadyEnded"
    assert desk.job("a").state is JobState.SUCCEEDED


def test_success_and_cancel_in_one_batch_keep_their_order() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    report = Reports("east", "s1", (Report(2, "a", 1, "ended", desk.wall, "succeeded"),))
    step = desk.step(report, Cancel(("a",), "lab", "user/li"))
    assert isinstance(step.replies[1], Results)
    assert code(step.replies[1].results[0]) == "AlreadyEnded"
    assert desk.job("a").state is JobState.SUCCEEDED


def test_every_heartbeat_says_stop_until_the_end_is_proven() -> None:
    desk = Desk("east")
    cancelling(desk)
    for _ in range(3):
        reply = desk.beat("east")
        assert reply is not None
        assert reply.stop == (("a", 1),)
    desk.report("east", "ended", "a", outcome="cancelled")
    reply = desk.beat("east")
    assert reply is not None
    assert reply.stop == ()


def test_hello_stops_a_job_that_is_being_cancelled() -> None:
    desk = Desk("east")
    cancelling(desk)
    desk.restart()
    verdicts = desk.hello("east", "s2", held=(running("a"),))
    assert verdicts is not None
    assert (verdicts.stop, verdicts.keep) == ((("a", 1),), ())
    verdicts = desk.hello("east", "s3", held=(ended("a"),))
    assert verdicts is not None
    assert verdicts.keep == (("a", 1),), "its report is awaited"


def test_a_cancel_whose_site_falls_silent_ends_with_the_lease() -> None:
    desk = Desk("east", "west")
    desk.hello("west")
    cancelling(desk)
    for _ in range(64):
        desk.advance(10.0, tick=False)
        desk.beat("west")
        desk.advance(0.01)
    job = desk.job("a")
    assert job.state is JobState.CANCELLED
    assert desk.attempt("a").outcome == "lost"


def test_an_administrator_s_cancel_is_in_the_audit_log() -> None:
    desk = Desk()
    desk.submit("a", "b")
    desk.step(Cancel(("a",), "", "admin/chen", "runs wild"))
    entry = desk.state.audit[desk.state.audit_seq]
    assert (entry.actor, entry.action, entry.object) == ("admin/chen", "job.cancel", "job/a")
    assert entry.detail == "runs wild"
    desk.cancel("b")
    assert desk.state.audit[desk.state.audit_seq] == entry, "a user's own cancel is not"
