"""How far a job's inputs are: in `suan get`, in the SDK, and while `suan run` waits."""

from __future__ import annotations

from typing import Any

import pytest
from standin import Served, StandIn

from suan.cli.staged import staged
from suan.models import Attempt, AttemptState, Job, JobState
from suan.v1 import job_pb2
from suan.v1 import jobs_service_pb2 as pb

GB = 10**9


def place(broker: StandIn, job_id: str, done: int, total: int) -> None:
    """The job's first attempt fetches its inputs."""
    job = broker.jobs[job_id]
    if not job.attempts:
        job.attempts.add(
            epoch=1,
            state=job_pb2.ATTEMPT_STATE_STAGING,
            site="shenzhen",
            pool="shenzhen/npu",
            accelerator="ascend-910b",
            cards=2,
            num_nodes=1,
        )
        broker.change(job_id, state=job_pb2.JOB_STATE_PLACED)
    job.attempts[0].staged_bytes, job.attempts[0].staging_bytes = done, total


def fetched(state: AttemptState, done: int, total: int) -> Job:
    attempt = Attempt(1, state, "shenzhen", staged_bytes=done, staging_bytes=total)
    return Job("j", JobState.PLACED, attempts=(attempt,))


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (0, 0, "the first bytes are awaited"),
        (5, 10, "5.0 of 10.0 B, 50 %"),
        (3_200_000_000, 10 * GB, "3.2 of 10.0 GB, 32 %"),
        (999_999, 999_999, "1000.0 of 1000.0 kB, 100 %"),
        (7, 10**18 * 5, "0.0 of 5000.0 PB, 0 %"),
        (12, 10, "12.0 of 10.0 B, 100 %"),
    ],
)
def test_in_words(done: int, total: int, words: str) -> None:
    assert staged(fetched(AttemptState.STAGING, done, total)) == words


def test_without_staging_there_is_nothing_to_say() -> None:
    assert staged(fetched(AttemptState.OFFERED, 5, 10)) == ""
    assert staged(Job("j", JobState.QUEUED)) == ""


def test_get_shows_how_far_the_inputs_are(at_stand: Any, stand: Served) -> None:
    at_stand("run", "-d", "--gpus", "ascend-910b:2", "ls")
    (job_id,) = stand.broker.jobs
    stand.do(lambda: place(stand.broker, job_id, 3 * GB, 10 * GB))
    outcome = at_stand("get", job_id)
    assert "inputs     3.0 of 10.0 GB, 30 %\n" in outcome.out
    assert "STAGING" in outcome.out
    shown = at_stand("get", job_id, "-o", "json").out
    assert '"staged_bytes": 3000000000' in shown


def test_run_tells_the_progress_until_the_job_runs(
    at_stand: Any, stand: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look finds a fifth more; after the last one the job runs and ends."""
    monkeypatch.setattr("suan.client.PROGRESS_SECONDS", 0.02)
    broker, looks, asked = stand.broker, [0], stand.broker._job

    def look(job_id: str) -> Any:
        looks[0] += 1
        if looks[0] <= 5:
            place(broker, job_id, looks[0] * 2 * GB, 10 * GB)
        elif broker.jobs[job_id].state == job_pb2.JOB_STATE_PLACED:
            broker.begin(job_id)
            broker.end(job_id)
        return asked(job_id)

    broker._job = look  # type: ignore[method-assign]
    broker.on_watch = lambda: [
        place(broker, job_id, 0, 0) for job_id in broker.jobs if not looks[0]
    ]
    outcome = at_stand("run", "--gpus", "ascend-910b:2", "ls")
    assert outcome.code == 0
    lines = [line for line in outcome.err.splitlines() if line.startswith("  inputs: ")]
    words = [f"  inputs: {done}.0 of 10.0 GB, {done * 10} %" for done in (2, 4, 6, 8, 10)]
    assert lines == ["  inputs: the first bytes are awaited", *words]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, " cached "), (30.0, " 30s (part cached) "), (0.0, " 0s ")]
)
def test_explain_tells_what_a_cache_holds(
    at_stand: Any, stand: Served, seconds: float, words: str
) -> None:
    cached = [] if words == " 0s " else ["protein"]
    score = pb.Score(stage_seconds=seconds, run_seconds=60.0)
    candidate = pb.Candidate(pool="s/npu", score=score, chosen=True, cached=cached)
    stand.broker.explanation = pb.Explanation(
        verdict="placed", examined_pools=1, examined_cards=8, candidates=[candidate]
    )
    at_stand("run", "-d", "--gpus", "ascend-910b:2", "ls")
    (job_id,) = stand.broker.jobs
    assert words in at_stand("explain", job_id).out


def test_get_shows_that_outputs_go_out(at_stand: Any, stand: Served) -> None:
    at_stand("run", "-d", "--gpus", "ascend-910b:2", "ls")
    (job_id,) = stand.broker.jobs

    def release() -> None:
        place(stand.broker, job_id, 0, 0)
        job = stand.broker.jobs[job_id]
        job.attempts[0].state = job_pb2.ATTEMPT_STATE_RUNNING
        job.attempts[0].released_at = 1_800_000_000.0
        job.outputs.add(kind="outputs", number=1, path="model", epoch=1)

    stand.do(release)
    said = at_stand("get", job_id).out
    assert "publishing since 2027-01-1" in said
    assert "1 committed; the run is over and its cards are free\n" in said
