"""Submitting: once per id, within limits, each job of a batch for itself."""

from __future__ import annotations

import pytest
from support_core import Desk, spec_of, with_limits

from broker.core.lifecycle import JobState
from broker.core.messages import Accepted, Done, PutRow, Refusal, Refused, Submission, Submit
from broker.core.rows import Tenant


def code(result: Accepted | Refused) -> str:
    return result.refusal.code if isinstance(result, Refused) else ""


def test_a_submission_is_queued() -> None:
    desk = Desk()
    assert desk.submit("a") == (Accepted("a"),)
    job = desk.job("a")
    assert (job.state, job.tenant, job.user) == (JobState.QUEUED, "lab", "li")
    assert job.submitted_at == desk.wall


def test_the_same_submission_again_is_the_same_job() -> None:
    desk = Desk()
    desk.submit("a")
    before = desk.job("a")
    desk.advance(5.0)
    assert desk.submit("a") == (Accepted("a", existed=True),)
    assert desk.job("a") == before


def test_the_same_submission_is_known_after_a_restart_and_after_its_end() -> None:
    desk = Desk("east")
    desk.submit("a")
    desk.restart()
    assert desk.submit("a") == (Accepted("a", existed=True),)
    desk.cancel("a")
    assert desk.submit("a") == (Accepted("a", existed=True),)
    assert desk.job("a").state is JobState.CANCELLED


def test_another_body_under_the_same_id_is_refused() -> None:
    desk = Desk()
    desk.submit("a")
    (result,) = desk.submit("a", spec=spec_of("other"))
    assert code(result) == "JobIdTaken"
    assert isinstance(result, Refused)
    assert result.refusal.status == "ALREADY_EXISTS"
    (result,) = desk.submit("a", array_id="sweep", array_index=3)
    assert code(result) == "JobIdTaken"


def test_another_tenant_cannot_use_the_id() -> None:
    desk = Desk()
    desk.submit("a")
    (result,) = desk.submit("a", tenant="rival")
    assert code(result) == "JobIdTaken"
    assert desk.job("a").tenant == "lab"


def test_each_job_of_a_batch_stands_for_itself() -> None:
    desk = Desk(limits=with_limits(queued_jobs_per_tenant_max=2))
    desk.submit("a", spec=spec_of("other"))
    results = desk.submit("a", "b", "b", "c")
    assert [code(result) for result in results] == ["JobIdTaken", "", "", "QueueFull"]
    assert results[2] == Accepted("b", existed=True)


def test_a_lease_below_the_floor_is_refused() -> None:
    desk = Desk(limits=with_limits(lease_seconds_min=30.0))
    (result,) = desk.submit("a", spec=spec_of("brief", lease_seconds=29.0))
    assert code(result) == "LeaseBelowFloor"
    assert desk.submit("b", spec=spec_of(lease_seconds=30.0)) == (Accepted("b"),)
    assert desk.submit("c", spec=spec_of("replicas", lease_class="overlap", lease_seconds=29.0))


def test_too_large_a_batch_is_refused_as_a_whole() -> None:
    desk = Desk(limits=with_limits(jobs_per_submit_max=2))
    spec = spec_of()
    jobs = tuple(Submission(f"j{i}", spec.sha256) for i in range(3))
    reply = desk.ask(Submit("lab", "", "li", jobs, (spec,)))
    assert isinstance(reply, Refusal)
    assert reply.code == "BatchTooLarge"
    assert not desk.state.jobs


def test_a_tenant_with_a_full_queue_waits_and_others_do_not() -> None:
    desk = Desk(limits=with_limits(queued_jobs_per_tenant_max=2))
    desk.submit("a", "b")
    assert code(desk.submit("c")[0]) == "QueueFull"
    assert desk.submit("d", tenant="rival") == (Accepted("d"),)
    desk.cancel("a")
    assert desk.submit("c") == (Accepted("c"),)


def test_a_tenant_s_own_limit_goes_before_the_federation_s() -> None:
    desk = Desk(limits=with_limits(queued_jobs_per_tenant_max=1))
    assert desk.ask(PutRow(Tenant("lab", queued_jobs_max=3), "admin")) == Done()
    results = desk.submit("a", "b", "c", "d")
    assert [code(result) for result in results] == ["", "", "", "QueueFull"]


def test_a_suspended_tenant_submits_nothing() -> None:
    desk = Desk()
    desk.submit("a")
    desk.ask(PutRow(Tenant("lab", suspended=True), "admin"))
    results = desk.submit("a", "b")
    assert [code(result) for result in results] == ["", "TenantSuspended"]


def test_the_federation_keeps_a_bounded_number_of_jobs() -> None:
    desk = Desk(limits=with_limits(jobs_max=2))
    desk.submit("a", "b")
    desk.cancel("a")  # ended, but still kept
    assert code(desk.submit("c")[0]) == "FederationFull"


def test_a_specification_is_stored_once_however_many_jobs_name_it() -> None:
    desk = Desk()
    desk.submit(*(f"j{i}" for i in range(50)))
    assert len([key for key in desk.store.rows if key.startswith("spec/")]) == 1


@pytest.mark.parametrize("wanted", ["b", "sweep"])
def test_a_job_and_an_array_are_cancelled_by_their_ids(wanted: str) -> None:
    desk = Desk()
    desk.submit("a")
    desk.submit("b", array_id="sweep", array_index=0)
    assert desk.cancel(wanted) == (Accepted("b"),)
    assert desk.job("b").state is JobState.CANCELLED
    assert desk.job("a").state is JobState.QUEUED


def test_a_batch_of_one_job_asked_for_twice_is_one_record() -> None:
    desk = Desk()
    desk.submit("a", "a", "a")
    assert sum(key.startswith("job/") for key in desk.store.rows) == 1
