"""What is let go, and when: ended jobs, their specs and archives, jobs nothing can run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support_core import Desk, spec_of, with_limits

from broker.core.lifecycle import JobState
from broker.core.messages import Done, Proposals, PutBundle, Refusal
from broker.core.queue import class_key
from broker.core.rows import Bundle, Failure
from scheduler.model import Explanation, Verdict

DAY = 86_400.0
HOUR = 3_600.0


def never(desk: Desk, job_id: str, verdict: Verdict = Verdict.NEVER) -> None:
    """A round says what it thinks of the job's class."""
    job = desk.job(job_id)
    key = class_key(job, desk.state.specs[job.spec_sha256])
    desk.step(Proposals((), ((key, Explanation(verdict, 1, 8)),), desk.wall))


# --- jobs that have ended ----------------------------------------------------------


def test_ended_jobs_and_their_specs_go_after_the_retention() -> None:
    desk = Desk("east", limits=with_limits(retention_seconds=DAY))
    desk.hello("east")
    desk.run("a", "east")
    desk.succeeded("east", "a")
    desk.submit("b", spec=spec_of("other"))
    desk.advance(DAY)
    assert "a" in desk.state.jobs
    desk.advance(1.0)
    assert set(desk.state.jobs) == {"b"}
    assert {key for key in desk.store.rows if key.startswith(("job/", "spec/"))} == {
        "job/b",
        f"spec/{spec_of('other').sha256}",
    }
    desk.restart()
    assert set(desk.state.jobs) == {"b"}


def test_a_spec_stays_while_any_job_names_it() -> None:
    desk = Desk(limits=with_limits(retention_seconds=DAY))
    desk.submit("a", "b")
    desk.cancel("a")
    desk.advance(DAY + 1.0)
    assert set(desk.state.jobs) == {"b"}
    assert len(desk.state.specs) == 1


@pytest.mark.parametrize("years", [10, -10])
def test_a_jump_of_the_wall_clock_ages_no_job(years: int) -> None:
    """Else a submission said again a little late would be taken for a new one."""
    desk = Desk(limits=with_limits(retention_seconds=DAY))
    desk.submit("a", "b")
    desk.advance(2 * HOUR)
    desk.cancel("a")
    desk.wall += years * 365 * DAY
    desk.advance(1.0)
    desk.advance(HOUR)
    assert desk.submit("a")[0].existed
    desk.advance(1.0)
    assert ("a" in desk.state.jobs) == (years < 0)


def test_a_new_leader_with_a_wrong_wall_clock_ages_no_job() -> None:
    desk = Desk(limits=with_limits(retention_seconds=DAY))
    desk.submit("a")
    desk.cancel("a")
    desk.wall += 10 * 365 * DAY
    desk.restart()
    desk.advance(HOUR)
    assert "a" in desk.state.jobs
    desk.advance(1.0)
    assert "a" not in desk.state.jobs


@pytest.mark.parametrize("restarted", [False, True])
def test_a_long_job_that_ended_late_holds_up_no_others(restarted: bool) -> None:
    desk = Desk("east", limits=with_limits(retention_seconds=DAY))
    desk.submit("long")
    desk.submit("short")
    desk.cancel("short")
    desk.advance(DAY / 2)
    desk.cancel("long")
    if restarted:
        desk.restart()
    desk.advance(DAY / 2 + 1.0)
    assert set(desk.state.jobs) == {"long"}


def test_an_array_is_forgotten_with_its_last_job() -> None:
    desk = Desk(limits=with_limits(retention_seconds=DAY))
    for index in range(3):
        desk.submit(f"s{index}", array_id="sweep", array_index=index)
    desk.cancel("sweep")
    desk.advance(DAY + 1.0)
    assert desk.state.arrays == {}
    assert desk.state.by_tenant == {"lab": {}}


# --- archives ------------------------------------------------------------------------


def bundle(name: str, size: int = 40) -> Bundle:
    return Bundle(name, b"x" * size, "lab", 0.0)


def put(desk: Desk, name: str, size: int = 40) -> str:
    reply = desk.ask(PutBundle(bundle(name, size)))
    return reply.code if isinstance(reply, Refusal) else "kept" if reply == Done() else "known"


def test_an_archive_is_kept_once() -> None:
    desk = Desk()
    assert [put(desk, "b1"), put(desk, "b1")] == ["kept", "known"]
    assert desk.state.bundles["b1"].put_at == desk.wall


def test_archives_are_bounded_and_those_without_a_job_make_room() -> None:
    desk = Desk(limits=with_limits(bundles_bytes_max=100, retention_seconds=DAY))
    assert [put(desk, "b1"), put(desk, "b2"), put(desk, "b3")] == ["kept", "kept", "BundlesFull"]
    desk.submit("a", spec=replace(spec_of(), bundle_sha256="b1"))
    desk.advance(HOUR + 1.0)
    assert put(desk, "b3") == "kept"
    assert set(desk.state.bundles) == {"b1", "b3"}
    desk.cancel("a")
    desk.advance(DAY + 1.0)
    assert put(desk, "b4") == "kept"
    assert set(desk.state.bundles) == {"b4"}


def test_an_archive_put_again_is_not_let_go_before_its_job_comes() -> None:
    desk = Desk(limits=with_limits(bundles_bytes_max=100))
    put(desk, "b1")
    desk.advance(HOUR * 0.9)
    assert put(desk, "b1") == "known"
    desk.advance(HOUR * 0.9)
    assert put(desk, "b2", size=90) == "BundlesFull"


# --- jobs that nothing can run ---------------------------------------------------------


def test_a_job_that_nothing_could_ever_run_fails_in_the_end() -> None:
    desk = Desk(limits=with_limits(unplaceable_seconds=DAY))
    desk.submit("a")
    never(desk, "a")
    desk.advance(DAY)
    assert desk.job("a").state is JobState.QUEUED
    desk.advance(1.0)
    job = desk.job("a")
    assert job.state is JobState.FAILED
    assert job.failure == Failure("policy", "NeverPlaceable", "no site could ever run this job")


def test_a_job_that_may_yet_run_does_not() -> None:
    desk = Desk(limits=with_limits(unplaceable_seconds=DAY))
    desk.submit("a")
    never(desk, "a")
    desk.advance(DAY / 2)
    never(desk, "a", Verdict.WAIT)
    never(desk, "a")
    desk.advance(DAY / 2 + 1.0)
    assert desk.job("a").state is JobState.QUEUED


def test_a_later_job_of_the_class_has_its_own_patience() -> None:
    desk = Desk(limits=with_limits(unplaceable_seconds=DAY))
    desk.submit("a")
    never(desk, "a")
    desk.advance(DAY / 2)
    desk.submit("b")
    desk.advance(DAY / 2 + 1.0)
    assert desk.job("a").state is JobState.FAILED
    assert desk.job("b").state is JobState.QUEUED
    desk.advance(DAY / 2)
    assert desk.job("b").state is JobState.FAILED


def test_a_class_that_left_the_queue_begins_anew() -> None:
    desk = Desk(limits=with_limits(unplaceable_seconds=DAY))
    desk.submit("a")
    never(desk, "a")
    desk.cancel("a")
    desk.advance(1.0)
    assert desk.core.memory.never_since == {}


def test_a_step_of_the_wall_clock_fails_nothing() -> None:
    desk = Desk(limits=with_limits(unplaceable_seconds=DAY))
    desk.submit("a")
    never(desk, "a")
    desk.wall += 10 * 365 * DAY
    desk.advance(1.0)
    assert desk.job("a").state is JobState.QUEUED


def test_a_restart_begins_the_patience_anew() -> None:
    desk = Desk(limits=with_limits(unplaceable_seconds=DAY))
    desk.submit("a")
    never(desk, "a")
    desk.advance(DAY)
    desk.restart()
    never(desk, "a")
    desk.advance(DAY)
    assert desk.job("a").state is JobState.QUEUED
    desk.advance(1.0)
    assert desk.job("a").state is JobState.FAILED


def test_explanations_are_bounded() -> None:
    desk = Desk(limits=with_limits(explanations_max=3))
    for number in range(5):
        desk.submit(f"j{number}", spec=spec_of(f"s{number}"))
        never(desk, f"j{number}", Verdict.WAIT)
    assert len(desk.core.memory.explanations) == 3
    assert "s4" in next(reversed(desk.core.memory.explanations))
