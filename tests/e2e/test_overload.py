"""Too much of everything, in small: bounded memory, clear refusals, and the others are served.

The parts are those of `bench.overload`, which plays them in full.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from campaign import LIMITS, jobs_of, require_no_traceback

from bench.bystander import bystander
from bench.crowd import (
    fill,
    flood,
    settled_rss,
    silent_connections,
    until_welcome,
    watchers,
)
from bench.federation import Federation, wait_until
from bench.herd import HerdAgent, live, sites_with_attempts
from bench.usage import rss_bytes
from broker.services.transport import HANDSHAKE_SECONDS_MAX, JOIN_CONNECTIONS_MAX
from suan.client import Client
from suan.errors import ResourceExhausted
from suan.ids import new_id
from suan.models import ArrayRange, JobSpec, JobState, Variant
from suan.status import decode
from suan.v1.job_pb2 import JOB_STATE_CANCELLED as CANCELLED
from suan.v1.jobs_service_pb2 import JobSubmission, ListRequest, SubmitRequest, WatchRequest
from suan.v1.jobs_service_pb2_grpc import JobsStub

MIB = 1 << 20
QUEUED = 20_000
BYTES_PER_JOB_MAX = 2_000  # so that a million fit into 2 GiB
BYTES_PER_WATCHER_MAX = MIB
SILENT = 50
ARRAY_JOBS = 1_700  # more than any page
JOB = JobSpec((Variant("ascend-910b", run="true"),), name="one")

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """gRPC wants one event loop for all."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        made = Federation(Path(name))
        try:
            made.start_broker()
            yield made
            require_no_traceback(made)
        finally:
            made.stop()


@pytest.fixture(scope="module", autouse=True)
def silent(federation: Federation) -> Iterator[list[socket.socket]]:
    """Connections that say nothing, from the start: their time is over at the end."""
    opened = silent_connections(federation.address, SILENT)
    yield opened
    for connection in opened:
        connection.close()


def ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_connections_beyond_the_bound_are_ended_at_once(federation: Federation) -> None:
    """Those at the join port, where anybody may knock."""
    begun = time.monotonic()
    knocking = silent_connections(federation.join_address, JOIN_CONNECTIONS_MAX + 20)
    wait_until(lambda: sum(map(ended, knocking)) >= 20, "the last ones to be ended")
    left = sum(not ended(connection) for connection in knocking)
    if time.monotonic() - begun < HANDSHAKE_SECONDS_MAX:
        assert left == JOIN_CONNECTIONS_MAX
    for connection in knocking:
        connection.close()


def test_a_long_queue(federation: Federation, run: Run) -> None:
    before = rss_bytes(federation.broker.pid)
    run(fill(federation, [federation.user, federation.identity("zhao", "team-b")], QUEUED))
    grown = rss_bytes(federation.broker.pid) - before
    assert grown / QUEUED < BYTES_PER_JOB_MAX
    with jobs_of(federation) as jobs:  # a search that finds nothing is answered in parts
        request = ListRequest(name_prefix="no such name")
        page = jobs.List(request)
        assert not page.jobs
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = jobs.List(request)
            assert not page.jobs


def test_a_large_array_is_watched_whole(federation: Federation, run: Run) -> None:
    wish = replace(JOB, array=ArrayRange(1, ARRAY_JOBS))

    async def watch() -> None:
        async with Client.connect(address=federation.address, identity=federation.user) as client:
            ids = {item.id for item in await client.submit(wish)}
            array_id = (await client.get(min(ids))).array_id
            seen: set[str] = set()
            async with asyncio.timeout(60):
                async for job in client.watch([array_id]):
                    seen.add(job.id)
                    if seen == ids:
                        return

    run(watch())


def test_watchers_that_read_nothing(federation: Federation, run: Run) -> None:
    """And those that read hear of everything meanwhile."""
    count = 40
    pid = federation.broker.pid

    async def overload() -> tuple[int, int]:
        before = await settled_rss(pid)
        async with (
            watchers(federation, federation.user, count) as calls,
            Client.connect(address=federation.address, identity=federation.user) as client,
        ):
            (item,) = await client.submit(JOB)
            seen = client.watch([item.id])
            assert (await anext(seen)).state is JobState.QUEUED
            await fill(federation, [federation.user], 3_000)
            await client.cancel([item.id])
            assert (await anext(seen)).state is JobState.CANCELLED
            after = await settled_rss(pid)
            for call in calls[::10]:
                await require_told(call, item.id)
            return before, after

    before, after = run(overload())
    assert (after - before) / count < BYTES_PER_WATCHER_MAX


async def require_told(call: Any, job_id: str) -> None:
    """It reads at last, and hears of the latest, whatever was left out."""
    async with asyncio.timeout(60):
        async for response in call:
            if any((job.id, job.state) == (job_id, CANCELLED) for job in response.jobs):
                return


def test_a_watch_goes_on_from_its_token(federation: Federation, run: Run) -> None:
    async def watch() -> None:
        async with Client.connect(address=federation.address, identity=federation.user) as client:
            (item,) = await client.submit(JOB)
            stub = JobsStub(client.transport.channel)
            first = stub.Watch(WatchRequest(ids=[item.id]))
            response = await first.read()
            assert response.reset and [job.id for job in response.jobs] == [item.id]
            first.cancel()
            await client.cancel([item.id])
            token = response.resume_token
            response = await stub.Watch(WatchRequest(ids=[item.id], resume_token=token)).read()
            assert not response.reset
            assert [job.state for job in response.jobs] == [CANCELLED]
            with pytest.raises(grpc.RpcError) as raised:
                await stub.Watch(WatchRequest(resume_token="yesterday")).read()
            assert decode(raised.value).code == "ResumeTokenInvalid"

    run(watch())


def test_too_large_for_the_sdk_too(federation: Federation, run: Run) -> None:
    """It never leaves this machine, and is told in the same words."""
    big = SubmitRequest(jobs=[JobSubmission(id=new_id(), spec=bytes(10_000_000))])

    async def send() -> ResourceExhausted:
        async with Client.connect(address=federation.address, identity=federation.user) as client:
            stub = JobsStub(client.transport.channel)
            with pytest.raises(ResourceExhausted) as raised:
                await client.transport.call(stub.Submit, big)
            return raised.value

    refusal = run(send())
    assert refusal.code == "MessageTooLarge" and "4 MiB" in refusal.message and refusal.hint


def test_a_flood_of_requests(federation: Federation, run: Run) -> None:
    """Its sender is told when to come again, and is heard then; nobody else notices."""
    greedy = federation.identity("greedy", "team-g")
    modest = federation.identity("wang", "team-z")

    async def overload() -> list[Any]:
        async with AsyncExitStack() as stack:
            same = await stack.enter_async_context(
                Client.connect(address=federation.address, identity=greedy)
            )
            waits = await stack.enter_async_context(bystander(federation.address, modest))
            answers, (item,) = await asyncio.gather(flood(federation, greedy, 24), same.submit(JOB))
            assert item.accepted
        assert waits.seconds and not waits.failed
        return answers

    answers = run(overload())
    refusals = [answer for answer in answers if answer is not None]
    assert {refusal.code for refusal in refusals} == {"TooManySubmissions"}
    assert all(refusal.retry_after_seconds > 0 and refusal.hint for refusal in refusals)
    assert len(refusals) < len(answers)


def beaten(agent: HerdAgent, before: int) -> bool:
    """Its heartbeats are answered again."""
    return len(agent.waits) >= before + 2


def test_a_herd_that_comes_back(run: Run, folder: Path) -> None:
    sites, attempts = 30, 20
    federation = Federation(folder, limits=LIMITS)
    agents = sites_with_attempts(federation, sites, attempts)

    async def overload() -> None:
        tasks = [asyncio.create_task(live(a, federation.address, 0.5)) for a in agents]
        try:
            await until_welcome(agents, time.monotonic())
            assert [agent.kept for agent in agents] == [attempts] * sites
            await asyncio.to_thread(federation.broker.kill)
            for agent in agents:
                agent.kept = 0
            since = time.monotonic()
            await asyncio.to_thread(federation.start_broker)
            await until_welcome(agents, since)
            heard = [len(agent.waits) for agent in agents]
            for agent, before in zip(agents, heard, strict=True):
                await asyncio.to_thread(wait_until, partial(beaten, agent, before), "heartbeats")
            assert [agent.kept for agent in agents] == [attempts] * sites
            assert sum(agent.reconciles for agent in agents) == 0
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    try:
        federation.start_broker()
        run(overload())
        with federation.client(federation.admin) as admin:
            assert {site.attempts for site in admin.sites()} == {attempts}
        require_no_traceback(federation)
    finally:
        federation.stop()


def test_who_says_nothing_is_hung_up_on(
    federation: Federation, silent: list[socket.socket]
) -> None:
    wait_until(lambda: all(map(ended, silent)), "the silent ones to be ended")
    with federation.client() as client:
        assert client.get(client.submit(JOB)[0].id).state is JobState.QUEUED
