"""The same submission again and again, all at once: one job, and the same answer to each.

Over real connections to a broker that is killed in between. What an agent makes of a
submission that its cluster manager leaves unanswered is in `tests/agent`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from campaign import MODELS, SITES, at_work, require_no_traceback

from bench.crowd import channel
from bench.federation import Federation
from suan.ids import new_id
from suan.models import JobSpec, JobState, Variant
from suan.v1.jobs_service_pb2 import JobSubmission, SubmitRequest, SubmitResult
from suan.v1.jobs_service_pb2_grpc import JobsStub
from suan.wire import spec_bytes

SUBMISSIONS = 10_000
CONNECTIONS = 20
SINGLES = 100  # requests of one job, a connection
BATCHES, BATCH_JOBS = 10, 40
CALL_SECONDS = 60.0
MODEL = MODELS["shenzhen"]


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        with at_work(Path(name), SITES[0]) as made:
            yield made
            require_no_traceback(made)


@asynccontextmanager
async def connections(federation: Federation, identity: Path) -> AsyncIterator[list[JobsStub]]:
    """As many of their own, which gRPC would else share."""
    async with AsyncExitStack() as stack:
        opened = [channel(federation, identity) for _ in range(CONNECTIONS)]
        yield [JobsStub(await stack.enter_async_context(each)) for each in opened]


def job(job_id: str, run: str = "true", model: str = MODEL) -> JobSubmission:
    wish = JobSpec((Variant(model, run=run),), name="once")
    return JobSubmission(id=job_id, spec=spec_bytes(wish))


async def submitted(stub: JobsStub, *jobs: JobSubmission) -> Sequence[SubmitResult]:
    response = await stub.Submit(SubmitRequest(jobs=jobs), timeout=CALL_SECONDS)
    return tuple(response.results)


async def all_at_once(federation: Federation, one: JobSubmission) -> list[SubmitResult]:
    """The job 10,000 times: alone, and in batches that hold it many times over."""
    batch = (one,) * BATCH_JOBS
    async with connections(federation, federation.user) as stubs:
        calls = [submitted(stub, one) for stub in stubs for _ in range(SINGLES)]
        calls += [submitted(stub, *batch) for stub in stubs for _ in range(BATCHES)]
        return [result for results in await asyncio.gather(*calls) for result in results]


def test_the_same_job_all_at_once(federation: Federation) -> None:
    one = job(new_id())
    answers = asyncio.run(all_at_once(federation, one))
    assert len(answers) == SUBMISSIONS
    assert {(answer.id, answer.accepted) for answer in answers} == {(one.id, True)}
    assert Counter(answer.existed for answer in answers) == {False: 1, True: SUBMISSIONS - 1}
    with federation.client() as client:
        (ended,) = client.wait([one.id])
        assert [found.id for found in client.list()] == [one.id]
    assert (ended.state, [attempt.epoch for attempt in ended.attempts]) == (
        JobState.SUCCEEDED,
        [1],
    )
    federation.broker.kill()
    federation.start_broker()
    again = asyncio.run(one_more(federation, federation.user, one))
    assert (again.accepted, again.existed) == (True, True), "also when it has long ended"
    with federation.client() as client:
        assert [found.id for found in client.list()] == [one.id]


async def one_more(federation: Federation, identity: Path, one: JobSubmission) -> SubmitResult:
    async with connections(federation, identity) as stubs:
        (result,) = await submitted(stubs[0], one)
        return result


def test_the_same_id_for_two_jobs_at_once(federation: Federation) -> None:
    """Whichever came first is the job; the other is told so, each time."""
    job_id = new_id()
    wishes = (job(job_id, "echo first"), job(job_id, "echo second"))

    async def race() -> list[tuple[int, SubmitResult]]:
        async with connections(federation, federation.user) as stubs:

            async def send(stub: JobsStub, number: int) -> tuple[int, SubmitResult]:
                (result,) = await submitted(stub, wishes[number % 2])
                return number % 2, result

            calls = [send(stub, n) for n, stub in enumerate(stubs * 10)]
            return list(await asyncio.gather(*calls))

    answers = asyncio.run(race())
    (winner,) = {which for which, result in answers if result.accepted}
    for which, result in answers:
        if which != winner:
            assert result.refusal.code == "JobIdTaken"
            assert "different submission" in result.refusal.message and "mint" in result.hint
    with federation.client() as client:
        assert client.spec(job_id).variants[0].run == ("echo first", "echo second")[winner]


def test_the_id_of_another_tenants_job(federation: Federation) -> None:
    """It is refused, and nothing is told of the job that has it."""
    one = job(new_id())
    stranger = federation.identity("zhao", "team-b")
    assert asyncio.run(one_more(federation, federation.user, one)).accepted
    refused = asyncio.run(one_more(federation, stranger, one))
    assert refused.refusal.code == "JobIdTaken"
    assert "team-a" not in refused.refusal.message + refused.hint
