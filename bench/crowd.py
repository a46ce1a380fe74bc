"""Clients in bulk: they submit without end, watch and do not read, knock and say nothing.

What `bench.overload` measures and `tests/e2e/test_overload.py` checks is made of these.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from bench.bystander import SPEC
from bench.federation import Federation
from bench.herd import HerdAgent
from bench.load import BATCH, credentials_of, jobs_of
from bench.usage import rss_bytes
from suan.channel import CHANNEL_OPTIONS
from suan.errors import SuanError
from suan.ids import new_id
from suan.models import JobSpec, Variant
from suan.status import decode
from suan.v1 import jobs_service_pb2 as pb
from suan.v1.jobs_service_pb2_grpc import JobsStub
from suan.wire import spec_bytes

MIB = 1 << 20
CALL_SECONDS = 120.0
CONNECTS_AT_ONCE = 32
HERD_SECONDS_MAX = 120.0
HEAVY_BYTES = 4_000  # of one specification
MODEL = "ascend-910b"


@asynccontextmanager
async def channel(federation: Federation, identity: Path) -> AsyncIterator[grpc.aio.Channel]:
    """A connection that is shared with no other channel of this process."""
    options = [
        *CHANNEL_OPTIONS,
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
    ]
    credentials = credentials_of(identity)
    async with grpc.aio.secure_channel(federation.address, credentials, options) as opened:
        yield opened


@contextmanager
def broker(**settings: Any) -> Iterator[Federation]:
    """One that has not been started."""
    with tempfile.TemporaryDirectory(prefix="suan-overload-") as name:
        federation = Federation(Path(name), **settings)
        try:
            yield federation
        finally:
            federation.stop()


async def fill(federation: Federation, identities: list[Path], count: int) -> float:
    """Submit `count` jobs, of each identity as many; seconds until the last is durable."""
    begun = time.monotonic()
    numbers = iter(range(-(-count // BATCH)))

    async def send(stub: Any) -> None:
        for _ in numbers:
            jobs = jobs_of(SPEC)
            answer = await stub.Submit(pb.SubmitRequest(jobs=jobs), timeout=CALL_SECONDS)
            assert all(result.accepted for result in answer.results), answer.results[0]

    async def sender(identity: Path) -> None:
        async with channel(federation, identity) as opened:
            await send(JobsStub(opened))

    await asyncio.gather(*(sender(identity) for identity in identities))
    return time.monotonic() - begun


@asynccontextmanager
async def watchers(federation: Federation, identity: Path, count: int) -> AsyncIterator[list[Any]]:
    """Open watches of all that `identity` may see, of which nobody reads a word."""
    channels: list[Any] = []
    calls: list[Any] = []
    gate = asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def open_one() -> None:
        opened = channel(federation, identity)
        async with gate:
            calls.append(JobsStub(await opened.__aenter__()).Watch(pb.WatchRequest()))
            channels.append(opened)
            await calls[-1].wait_for_connection()

    try:
        await asyncio.gather(*(open_one() for _ in range(count)))
        yield calls
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*(opened.__aexit__(None, None, None) for opened in channels))


async def settled_rss(pid: int) -> int:
    """The memory once it has stopped growing."""
    last, quiet = 0, 0
    while quiet < 3:
        now = rss_bytes(pid)
        quiet = quiet + 1 if now <= last + MIB else 0
        last = max(last, now)
        await asyncio.sleep(0.5)
    return last


def silent_connections(address: str, count: int) -> list[socket.socket]:
    """TCP connections on which no handshake ever comes."""
    host, _, port = address.rpartition(":")
    return [socket.create_connection((host, int(port)), timeout=10.0) for _ in range(count)]


def hung_up(connections: list[socket.socket], seconds: float) -> tuple[int, float]:
    """How many the other side has ended within so long, and when the last of them."""
    begun, last = time.monotonic(), 0.0
    ended = 0
    for connection in connections:
        connection.settimeout(max(0.01, seconds - (time.monotonic() - begun)))
        try:
            while connection.recv(4096):
                pass
        except TimeoutError:
            continue
        except OSError:
            pass
        ended, last = ended + 1, time.monotonic() - begun
    return ended, last


async def press(
    federation: Federation, identity: Path, requests: int, seconds: float
) -> Counter[str]:
    """So many large requests in flight all the time, whatever is answered."""
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def one(stub: Any) -> None:
        while time.monotonic() < end:
            jobs = jobs_of(SPEC)
            try:
                await stub.Submit(pb.SubmitRequest(jobs=jobs), timeout=CALL_SECONDS)
                outcomes["jobs accepted"] += BATCH
            except grpc.RpcError as error:
                told = decode(error)
                outcomes[told.code] += 1
                await asyncio.sleep(getattr(told, "retry_after_seconds", 0.0))

    async with channel(federation, identity) as opened:
        await asyncio.gather(*(one(JobsStub(opened)) for _ in range(requests)))
    return outcomes


def heavy_request() -> pb.SubmitRequest:
    """2 MB of jobs of which no two are alike: a broker has to read each."""
    specs = (
        spec_bytes(JobSpec((Variant(MODEL, run=f"# {new_id()} {'x' * HEAVY_BYTES}"),)))
        for _ in range(BATCH)
    )
    return pb.SubmitRequest(jobs=[pb.JobSubmission(id=new_id(), spec=spec) for spec in specs])


async def flood(federation: Federation, identity: Path, requests: int) -> list[SuanError | None]:
    """So many heavy requests at one moment: the refusal of each, or None."""
    heavy = await asyncio.to_thread(lambda: [heavy_request() for _ in range(requests)])

    async def one(stub: Any, request: pb.SubmitRequest) -> SuanError | None:
        try:
            await stub.Submit(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            return decode(error)
        return None

    async with channel(federation, identity) as opened:
        stub = JobsStub(opened)
        return list(await asyncio.gather(*(one(stub, request) for request in heavy)))


async def until_welcome(agents: list[HerdAgent], since: float) -> float:
    """Seconds until all have been welcomed after `since`."""
    async with asyncio.timeout(HERD_SECONDS_MAX):
        while any(agent.welcomed_at < since for agent in agents):  # noqa: ASYNC110 - of many
            await asyncio.sleep(0.05)
    return max(agent.welcomed_at for agent in agents) - since
