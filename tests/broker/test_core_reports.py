"""What sites report: each report has its effect once, and only for the newest attempt."""

from __future__ import annotations

import pytest
from support_core import Desk, spec_of, with_limits

from broker.core.lifecycle import AttemptState, JobState
from broker.core.messages import Report, ReportAck, Reports
from broker.core.rows import Failure


def lose(desk: Desk, site: str) -> None:
    """Silence until the lease of 600 s is over; the other sites are heard."""
    for _ in range(70):
        desk.advance(10.0, tick=False)
        for other, presence in desk.core.memory.presence.items():
            if other != site:
                desk.beat(other, presence.session)
        desk.advance(0.1)


def test_start_and_success() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    assert desk.job("a").state is JobState.RUNNING
    assert desk.attempt("a").started_at == desk.wall
    desk.advance(60.0, tick=False)
    desk.succeeded("east", "a")
    job = desk.job("a")
    assert (job.state, job.finished_at) == (JobState.SUCCEEDED, desk.wall)
    assert (desk.attempt("a").state, desk.attempt("a").outcome) == (
        AttemptState.ENDED,
        "succeeded",
    )
    assert desk.sent(ReportAck) == [ReportAck(2)]


def test_reports_come_in_batches_and_the_last_is_acknowledged() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a", "b")
    desk.place(desk.offer("a", "east"), desk.offer("b", "east"))
    reports = (
        Report(1, "a", 1, "started", desk.wall),
        Report(2, "a", 1, "ended", desk.wall, "succeeded"),
        Report(3, "b", 1, "started", desk.wall),
    )
    desk.step(Reports("east", "s1", reports))
    assert desk.sent(ReportAck) == [ReportAck(3)]
    assert desk.job("a").state is JobState.SUCCEEDED
    assert desk.job("b").state is JobState.RUNNING


def test_a_success_before_its_start_was_told_counts() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    desk.succeeded("east", "a")
    assert desk.job("a").state is JobState.SUCCEEDED


@pytest.mark.parametrize("times", [2, 5])
def test_a_report_sent_again_changes_nothing(times: int) -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    desk.succeeded("east", "a", report_seq=2)
    done = desk.job("a")
    for _ in range(times):
        desk.advance(1.0, tick=False)
        desk.started("east", "a", report_seq=1)
        desk.succeeded("east", "a", report_seq=2)
        assert desk.job("a") == done
    desk.failed("east", "a", report_seq=3)
    assert desk.job("a") == done, "nothing leaves a terminal state"


def test_a_failure_of_the_user_s_uses_up_retries() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east", spec_of(retry_max=2))
    desk.failed("east", "a", 1)
    assert desk.job("a").state is JobState.QUEUED
    for epoch in (2, 3):
        desk.place(desk.offer("a", "east"))
        desk.failed("east", "a", epoch)
    job = desk.job("a")
    assert job.state is JobState.FAILED
    assert job.failure == Failure("user", "NonZeroExit", "ended with exit code 1")
    assert [attempt.epoch for attempt in job.attempts] == [1, 2, 3]


@pytest.mark.parametrize(
    ("retry_on", "code", "state"),
    [
        (("OutOfMemory",), "OutOfMemory", JobState.QUEUED),
        (("OutOfMemory",), "NonZeroExit", JobState.FAILED),
        (("user",), "NonZeroExit", JobState.QUEUED),
        ((), "NonZeroExit", JobState.QUEUED),
    ],
)
def test_retries_only_what_the_user_wants_tried_again(
    retry_on: tuple[str, ...], code: str, state: JobState
) -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east", spec_of(retry_max=3, retry_on=retry_on))
    desk.failed("east", "a", code=code)
    assert desk.job("a").state is state


@pytest.mark.parametrize("category", ["site", "network", "broker"])
def test_what_is_not_the_user_s_fault_costs_no_retry(category: str) -> None:
    desk = Desk("east", limits=with_limits(attempts_max=4))
    desk.hello("east")
    desk.run("a", "east", spec_of(retry_max=1))
    desk.failed("east", "a", 1, category)
    desk.place(desk.offer("a", "east"))
    desk.failed("east", "a", 2, category)
    assert desk.job("a").state is JobState.QUEUED
    desk.place(desk.offer("a", "east"))
    desk.failed("east", "a", 3, "user")
    assert desk.job("a").state is JobState.QUEUED, "its one retry is still there"
    desk.place(desk.offer("a", "east"))
    desk.failed("east", "a", 4, category)
    assert desk.job("a").state is JobState.FAILED, "attempts are bounded, whoever was at fault"


def test_a_preempted_attempt_is_queued_again_and_costs_no_retry() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east", spec_of(retry_max=1))
    made_room = Failure("policy", "Preempted", "stopped to make room for another job")
    desk.report("east", "ended", "a", outcome="preempted", failure=made_room)
    assert desk.job("a").state is JobState.QUEUED
    (grant,) = desk.place(desk.offer("a", "east"))
    assert grant.preempted_count == 1
    desk.failed("east", "a", 2)
    assert desk.job("a").state is JobState.QUEUED, "its one retry is still there"


def test_a_kind_of_report_that_we_do_not_know_changes_nothing() -> None:
    """A newer agent may say more; to read it as an end would start the job twice."""
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    before = desk.job("a")
    desk.report("east", "", "a", report_seq=9)
    assert desk.job("a") == before
    assert desk.sent(ReportAck) == [ReportAck(9)]


def test_a_rejection_is_one_whatever_it_calls_its_outcome() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    desk.report("east", "rejected", "a", outcome="succeeded", failure=None)
    assert desk.job("a").state is JobState.QUEUED
    assert desk.attempt("a").outcome == "rejected"


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_report_of_another_epoch_changes_nothing(epoch: int) -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east", spec_of(retry_max=5))
    desk.failed("east", "a", 1)
    desk.place(desk.offer("a", "east"))
    before = desk.job("a")
    for kind in ("started", "rejected"):
        desk.report("east", kind, "a", epoch)
    desk.succeeded("east", "a", epoch)
    assert desk.job("a") == before


def test_a_report_of_another_site_changes_nothing() -> None:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east")
    before = desk.job("a")
    desk.report("west", "rejected", "a")
    desk.succeeded("west", "a")
    assert desk.job("a") == before


def test_a_report_of_a_session_that_was_replaced_is_not_even_acknowledged() -> None:
    desk = Desk("east")
    desk.hello("east", "s1")
    desk.run("a", "east")
    desk.hello("east", "s2")
    desk.succeeded("east", "a", session="s1")
    assert desk.sent(ReportAck) == []
    assert desk.job("a").state is JobState.RUNNING


def test_the_success_of_a_lost_attempt_counts_until_the_next_is_granted() -> None:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east")
    lose(desk, "east")
    assert desk.job("a").state is JobState.QUEUED
    desk.hello("east", "s2")
    desk.succeeded("east", "a", session="s2")
    job = desk.job("a")
    assert (job.state, job.failure) == (JobState.SUCCEEDED, None)
    assert desk.attempt("a").outcome == "succeeded"


def test_the_success_of_a_lost_attempt_is_too_late_after_the_next_grant() -> None:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east")
    lose(desk, "east")
    desk.place(desk.offer("a", "west"))
    before = desk.job("a")
    desk.hello("east", "s2")
    desk.succeeded("east", "a", 1, session="s2")
    assert desk.job("a") == before
    assert desk.sent(ReportAck) != [], "it is acknowledged all the same"


@pytest.mark.parametrize("outcome", ["failed", "lost", "cancelled"])
def test_only_the_success_of_a_lost_attempt_counts_late(outcome: str) -> None:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east")
    lose(desk, "east")
    before = desk.job("a")
    desk.hello("east", "s2")
    desk.report("east", "ended", "a", session="s2", outcome=outcome)
    assert desk.job("a") == before
