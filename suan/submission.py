"""From specs to the requests that submit them, and from the answers to what was accepted.

Ids, array elements, batches. Pure but for minting ids: no connection, no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from suan.errors import Category, ExitCode, SuanError
from suan.ids import new_id
from suan.models import JobSpec
from suan.v1 import jobs_service_pb2
from suan.views import Submission
from suan.wire import failure_from_wire, spec_bytes

BATCH_JOBS_MAX = 500
BATCH_BYTES_MAX = 2 * 1024 * 1024
ID_BYTES = 128  # more than the ids and the framing of one submission


class SubmitRefused(SuanError):
    """At least one job was refused; those that were accepted are queued nevertheless.

    `submissions` holds all of them, in the order of the specs.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        code: str = "",
        submissions: tuple[Submission, ...] = (),
    ) -> None:
        super().__init__(message, hint, code)
        self.submissions = submissions

    def __reduce__(self) -> tuple[type[SubmitRefused], tuple[object, ...]]:
        return type(self), (self.message, self.hint, self.code, self.submissions)


def submissions(spec: JobSpec) -> Iterator[jobs_service_pb2.JobSubmission]:
    """The jobs that `spec` stands for, each with its id: one, or one per index of its array.

    Raises InvalidSpec when the spec is too large or cannot be written.
    """
    data = spec_bytes(spec)
    if spec.array is None:
        yield jobs_service_pb2.JobSubmission(id=new_id(), spec=data)
        return
    array_id = new_id()
    for index in spec.array.indexes():
        yield jobs_service_pb2.JobSubmission(
            id=new_id(), spec=data, array_id=array_id, array_index=index
        )


def batches(
    jobs: Iterable[jobs_service_pb2.JobSubmission],
) -> Iterator[list[jobs_service_pb2.JobSubmission]]:
    """`jobs` in order, in lists of at most 500 jobs and 2 MiB."""
    batch: list[jobs_service_pb2.JobSubmission] = []
    size_bytes = 0
    for job in jobs:
        job_bytes = len(job.spec) + ID_BYTES
        if batch and (len(batch) == BATCH_JOBS_MAX or size_bytes + job_bytes > BATCH_BYTES_MAX):
            yield batch
            batch, size_bytes = [], 0
        batch.append(job)
        size_bytes += job_bytes
    if batch:
        yield batch


def submission(
    job: jobs_service_pb2.JobSubmission, result: jobs_service_pb2.SubmitResult
) -> Submission:
    """What became of one job."""
    return Submission(
        id=job.id,
        array_id=job.array_id,
        array_index=job.array_index,
        accepted=result.accepted,
        existed=result.existed,
        failure=failure_from_wire(result.refusal) if result.HasField("refusal") else None,
        hint=result.hint,
    )


def require_accepted(submitted: tuple[Submission, ...]) -> None:
    """Raises SubmitRefused, with the first refusal's words, unless all were accepted."""
    refused = [item for item in submitted if not item.accepted]
    if not refused:
        return
    failure = refused[0].failure
    message = failure.message if failure else "the broker refused the job"
    if len(submitted) > 1:
        message = f"{len(refused)} of {len(submitted)} jobs were refused: {message}"
    error = SubmitRefused(message, refused[0].hint, failure.code if failure else "", submitted)
    if failure and failure.category == Category.USER:
        error.exit_code = ExitCode.USAGE
    raise error
