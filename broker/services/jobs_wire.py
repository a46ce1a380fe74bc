"""Between the core's rows and the messages of `Jobs`. Values only, no decisions."""

from __future__ import annotations

from typing import Any

from broker.conditions import Condition
from broker.core.lifecycle import AttemptState, JobState
from broker.core.messages import Accepted, Refused
from broker.core.rows import Attempt, Failure, Job
from broker.services.data_wire import commit_to_wire
from scheduler.model import Basis, Explanation, Score
from suan.v1 import job_pb2, jobs_service_pb2

# protobuf's stubs type the numbers of an enum in two ways
_JOB_STATES: dict[JobState, Any] = {
    state: job_pb2.JobState.Value(f"JOB_STATE_{state.name}") for state in JobState
}
_ATTEMPT_STATES: dict[AttemptState, Any] = {
    state: job_pb2.AttemptState.Value(f"ATTEMPT_STATE_{state.name}") for state in AttemptState
}
JOB_STATES_BY_WIRE = {number: state for state, number in _JOB_STATES.items()}


def job_to_wire(job: Job, staging: tuple[int, int] | None = None) -> job_pb2.Job:
    """A job and its attempts as clients see them; `staging`: bytes of the inputs of its live
    attempt, done and in all, while they are fetched."""
    message = _job(job)
    if staging is not None and message.attempts:
        newest = message.attempts[-1]
        newest.staged_bytes, newest.staging_bytes = staging
        if newest.state == job_pb2.ATTEMPT_STATE_OFFERED:
            newest.state = job_pb2.ATTEMPT_STATE_STAGING
    return message


def _job(job: Job) -> job_pb2.Job:
    newest, live = job.attempt, job.live_attempt
    lost = live is not None and live.state is AttemptState.ORPHANED
    return job_pb2.Job(
        id=job.id,
        name=job.name,
        tenant=job.tenant,
        project=job.project,
        user=job.user,
        state=_JOB_STATES[job.state],
        submitted_at=job.submitted_at,
        finished_at=job.finished_at,
        attempts=[attempt_to_wire(attempt) for attempt in job.attempts],
        failure=failure_to_wire(job.failure),
        array_id=job.array_id,
        array_index=job.array_index,
        revision=job.revision,
        priority=job.priority,
        spec_sha256=job.spec_sha256,
        exit_code=newest.exit_code if newest is not None else 0,
        condition="AttemptUnknown" if lost else "",
        checkpoint=commit_to_wire(job.checkpoint) if job.checkpoint else None,
        outputs=map(commit_to_wire, job.outputs),
    )


def attempt_to_wire(attempt: Attempt) -> job_pb2.Attempt:
    return job_pb2.Attempt(
        epoch=attempt.epoch,
        state=_ATTEMPT_STATES[attempt.state],
        site=attempt.site,
        pool=attempt.pool,
        accelerator=attempt.accelerator,
        cards=attempt.cards,
        num_nodes=attempt.nodes,
        placed_at=attempt.placed_at,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        outcome=attempt.outcome,
        exit_code=attempt.exit_code,
        failure=failure_to_wire(attempt.failure),
        released_at=attempt.released_at,
    )


def condition_to_wire(condition: Condition | None) -> jobs_service_pb2.Condition | None:
    if condition is None:
        return None
    return jobs_service_pb2.Condition(
        code=condition.code, message=condition.message, hint=condition.hint
    )


def failure_to_wire(failure: Failure | None) -> job_pb2.Failure | None:
    if failure is None:
        return None
    return job_pb2.Failure(category=failure.category, code=failure.code, message=failure.message)


def result_to_wire(result: Accepted | Refused) -> jobs_service_pb2.SubmitResult:
    """One item of a batch: taken or not, and why."""
    if isinstance(result, Accepted):
        return jobs_service_pb2.SubmitResult(id=result.id, accepted=True, existed=result.existed)
    refusal = result.refusal
    category = "policy" if refusal.status == "RESOURCE_EXHAUSTED" else "user"
    return jobs_service_pb2.SubmitResult(
        id=result.id,
        refusal=job_pb2.Failure(category=category, code=refusal.code, message=refusal.message),
        hint=refusal.hint,
    )


def explanation_to_wire(
    explanation: Explanation, decided_at: float
) -> jobs_service_pb2.Explanation:
    """Why a class is where it is."""
    return jobs_service_pb2.Explanation(
        verdict=explanation.verdict.value,
        examined_pools=explanation.examined_pools,
        examined_cards=explanation.examined_cards,
        rejections=[
            jobs_service_pb2.Rejection(
                code=item.code,
                cards=item.cards,
                pools=item.pools,
                fix_by=item.fix_by,
                detail=item.detail,
            )
            for item in explanation.rejections
        ],
        candidates=[
            jobs_service_pb2.Candidate(
                pool=item.pool,
                variant=item.variant,
                score=_score_to_wire(item.score),
                chosen=item.chosen,
                lost_because=item.lost_because,
                cached=item.cached,
            )
            for item in explanation.candidates
        ],
        suggestions=[
            jobs_service_pb2.Suggestion(change=item.change, pool=item.pool, starts=item.starts)
            for item in explanation.suggestions
        ],
        position=explanation.position,
        decided_at=decided_at,
    )


def _score_to_wire(score: Score) -> jobs_service_pb2.Score:
    return jobs_service_pb2.Score(
        wait_seconds=score.wait_seconds,
        stage_seconds=score.stage_seconds,
        run_seconds=score.run_seconds,
        yuan=score.yuan,
        kwh=score.kwh,
        fragmentation_seconds=score.fragmentation_seconds,
        basis=_basis_to_wire(score.basis),
        scarcity_seconds=score.scarcity_seconds,
    )


def _basis_to_wire(basis: Basis) -> jobs_service_pb2.Basis:
    return jobs_service_pb2.Basis(
        source=basis.source,
        precision=basis.precision,
        work_seconds=basis.work_seconds,
        learned_factor=basis.learned_factor,
        learned_runs=basis.learned_runs,
        availability=basis.availability,
        checkpoint_every_seconds=basis.checkpoint_every_seconds,
        p90_seconds=basis.p90_seconds,
    )
