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

    An offer that a site refused costs nothing. What is not the user's fault is tried
    again without touching the user's retries, up to `limits.attempts_max` attempts.
    """
    if outcome == "succeeded":
        return JobEvent.SUCCEED
    if outcome == "rejected":
        return JobEvent.REQUEUE
    if len(job.attempts) >= limits.attempts_max:
        return JobEvent.FAIL
    if failure is None or failure.category not in USER_FAULT:
        return JobEvent.REQUEUE
    wanted = not spec.retry_on or bool({failure.code, failure.category} & set(spec.retry_on))
    used = sum(1 for a in job.attempts if a.failure and a.failure.category in USER_FAULT)
    # The attempt that just ended is not among those that carry a failure yet.
    return JobEvent.REQUEUE if wanted and used < spec.retry_max else JobEvent.FAIL
