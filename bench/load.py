"""Jobs in bulk, submitted over one channel and waited for, past all that the SDK does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

from suan.identity.directory import load_identity
from suan.ids import new_id
from suan.v1 import job_pb2
from suan.v1 import jobs_service_pb2 as pb

BATCH = 500  # jobs of one request
IN_FLIGHT = 4  # requests
CALL_SECONDS = 60.0
RUN_SECONDS_MAX = 300.0
PAGE = 1_000


def credentials_of(identity: Path) -> grpc.ChannelCredentials:
    """For a channel as whoever the directory is of. Raises SuanError."""
    known = load_identity(identity)
    return grpc.ssl_channel_credentials(known.ca_pem, known.key_pem, known.certificate_pem)


def jobs_of(spec: bytes, count: int = BATCH) -> list[pb.JobSubmission]:
    """`count` new jobs of one specification."""
    return [pb.JobSubmission(id=new_id(), spec=spec) for _ in range(count)]


def batches(spec: bytes, count: int) -> list[list[pb.JobSubmission]]:
    """`count` new jobs in requests of BATCH."""
    jobs = jobs_of(spec, count)
    return [jobs[first : first + BATCH] for first in range(0, count, BATCH)]


async def submit_all(stub: Any, requests: Sequence[list[pb.JobSubmission]]) -> None:
    """Send all requests, IN_FLIGHT at a time; every job must be accepted."""
    waiting = list(reversed(requests))

    async def sender() -> None:
        while waiting:
            answer = await stub.Submit(pb.SubmitRequest(jobs=waiting.pop()), timeout=CALL_SECONDS)
            assert all(result.accepted for result in answer.results)

    await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))


async def wait_finished(stub: Any, count: int) -> None:
    """Until the broker has no job left that is queued, placed or running."""
    live = [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_PLACED, job_pb2.JOB_STATE_RUNNING]
    end = time.monotonic() + RUN_SECONDS_MAX
    token = ""
    while time.monotonic() < end:
        request = pb.ListRequest(states=live, page_size=1, page_token=token)
        answer = await stub.List(request, timeout=CALL_SECONDS)
        token = "" if answer.jobs else answer.next_page_token
        if not answer.jobs and not token:
            return
        await asyncio.sleep(0.0 if token else count / 100_000)
    raise TimeoutError(f"{count} jobs did not end in {RUN_SECONDS_MAX:g} s")


async def all_jobs(stub: Any) -> list[job_pb2.Job]:
    """Every job, page by page."""
    found: list[job_pb2.Job] = []
    token = ""
    while True:
        request = pb.ListRequest(page_size=PAGE, page_token=token)
        page = await stub.List(request, timeout=CALL_SECONDS)
        found.extend(page.jobs)
        token = page.next_page_token
        if not token:
            return found
