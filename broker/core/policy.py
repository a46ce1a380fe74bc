"""What follows the end of an attempt: success, another try, or failure."""

from __future__ import annotations

from broker.core.lifecycle import JobEvent
from broker.core.limits import Limits
from broker.core.rows import Failure, Job, Spec

USER_FAULT = frozenset({"user", "policy", "money"})


def after_attempt(
    job: Job, spec: Spec, outcome: str, failure: Failure | None, limits: Limits
) -> JobEvent:
    """The job's event after its newest attempt ended with `outcome`.

    An offer that a site refused costs nothing, unless the user is at fault. What is not
    the user's fault is tried again without touching the user's retries, up to
    `limits.attempts_max` attempts.
    """
    if outcome == "succeeded":
        return JobEvent.SUCCEED
    if outcome == "rejected" and (failure is None or failure.category != "user"):
        return JobEvent.REQUEUE
    if len(job.attempts) >= limits.attempts_max:
        return JobEvent.FAIL
    if not _users_fault(outcome, failure):
        return JobEvent.REQUEUE
    assert failure is not None
    wanted = not spec.retry_on or bool({failure.code, failure.category} & set(spec.retry_on))
    used = sum(1 for a in job.attempts if _users_fault(a.outcome, a.failure))
    # The attempt that just ended is not among those that carry a failure yet.
    return JobEvent.REQUEUE if wanted and used < spec.retry_max else JobEvent.FAIL


def _users_fault(outcome: str, failure: Failure | None) -> bool:
    return outcome != "preempted" and failure is not None and failure.category in USER_FAULT
