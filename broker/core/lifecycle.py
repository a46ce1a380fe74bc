"""The life cycles of jobs and attempts, as two literal tables.

A job is the wish, an attempt is one try at one site. Whether a job is queued again
or fails is decided by policy before the event, so the tables hold no conditions.
This module knows nothing else.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    PLACED = "placed"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobEvent(StrEnum):
    PLACE = "place"
    START = "start"
    REQUEUE = "requeue"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"
    RECOVER = "recover"  # the success of a lost attempt arrives before the next one is granted
    # An overlapping copy speaks again before its replacement is granted.
    RETURN_OFFERED = "return_offered"
    RETURN_RUNNING = "return_running"
    ATTEMPT_END = "attempt_end"


class AttemptState(StrEnum):
    OFFERED = "offered"
    STAGING = "staging"
    RUNNING = "running"
    ORPHANED = "orphaned"
    ENDED = "ended"


class AttemptEvent(StrEnum):
    STAGE = "stage"
    START = "start"
    ORPHAN = "orphan"
    RETURN_OFFERED = "return_offered"
    RETURN_RUNNING = "return_running"
    END = "end"


_J, _E = JobState, JobEvent
JOB_TABLE: dict[tuple[JobState, JobEvent], JobState] = {
    (_J.QUEUED, _E.PLACE): _J.PLACED,
    (_J.QUEUED, _E.CANCEL): _J.CANCELLED,
    (_J.QUEUED, _E.EXPIRE): _J.FAILED,
    (_J.QUEUED, _E.RECOVER): _J.SUCCEEDED,
    (_J.QUEUED, _E.RETURN_OFFERED): _J.PLACED,
    (_J.QUEUED, _E.RETURN_RUNNING): _J.RUNNING,
    (_J.PLACED, _E.START): _J.RUNNING,
    (_J.PLACED, _E.REQUEUE): _J.QUEUED,
    (_J.PLACED, _E.FAIL): _J.FAILED,
    (_J.PLACED, _E.CANCEL): _J.CANCELLING,
    (_J.RUNNING, _E.SUCCEED): _J.SUCCEEDED,
    (_J.RUNNING, _E.REQUEUE): _J.QUEUED,
    (_J.RUNNING, _E.FAIL): _J.FAILED,
    (_J.RUNNING, _E.CANCEL): _J.CANCELLING,
    (_J.CANCELLING, _E.ATTEMPT_END): _J.CANCELLED,
}
JOB_TERMINAL = frozenset({_J.SUCCEEDED, _J.FAILED, _J.CANCELLED})

_A, _V = AttemptState, AttemptEvent
ATTEMPT_TABLE: dict[tuple[AttemptState, AttemptEvent], AttemptState] = {
    (_A.OFFERED, _V.STAGE): _A.STAGING,
    (_A.OFFERED, _V.START): _A.RUNNING,
    (_A.OFFERED, _V.ORPHAN): _A.ORPHANED,
    (_A.OFFERED, _V.END): _A.ENDED,
    (_A.STAGING, _V.START): _A.RUNNING,
    (_A.STAGING, _V.ORPHAN): _A.ORPHANED,
    (_A.STAGING, _V.END): _A.ENDED,
    (_A.RUNNING, _V.ORPHAN): _A.ORPHANED,
    (_A.RUNNING, _V.END): _A.ENDED,
    (_A.ORPHANED, _V.RETURN_OFFERED): _A.OFFERED,
    (_A.ORPHANED, _V.RETURN_RUNNING): _A.RUNNING,
    (_A.ORPHANED, _V.START): _A.RUNNING,
    (_A.ORPHANED, _V.END): _A.ENDED,
}


class InvalidTransition(Exception):
    """A pair that is not in the table: our bug, told with the story so far."""


def next_job_state(state: JobState, event: JobEvent, story: object = "") -> JobState:
    """The state after `event`; raises InvalidTransition with `story` when there is none."""
    try:
        return JOB_TABLE[state, event]
    except KeyError:
        raise InvalidTransition(f"job {state} cannot {event}: {story}") from None


def next_attempt_state(
    state: AttemptState, event: AttemptEvent, story: object = ""
) -> AttemptState:
    """The state after `event`; raises InvalidTransition with `story` when there is none."""
    try:
        return ATTEMPT_TABLE[state, event]
    except KeyError:
        raise InvalidTransition(f"attempt {state} cannot {event}: {story}") from None
