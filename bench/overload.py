"""What too much of everything does to a broker: `python -m bench.overload`.

Real processes over loopback with mutual TLS. Each part prints what was done, what it cost
the broker in memory, and how long a modest client beside it had to wait. The same parts, in
small, are tests in `tests/e2e/test_overload.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import click
import grpc.aio

from bench.bystander import Waits, bystander
from bench.crowd import (
    CALL_SECONDS,
    MIB,
    broker,
    channel,
    fill,
    flood,
    hung_up,
    press,
    settled_rss,
    silent_connections,
    until_welcome,
    watchers,
)
from bench.federation import Federation
from bench.herd import HerdAgent, live, sites_with_attempts
from bench.load import BATCH
from bench.report import machine
from bench.usage import rss_bytes
from suan.errors import ResourceExhausted
from suan.ids import new_id
from suan.status import decode
from suan.v1 import jobs_service_pb2 as pb
from suan.v1.jobs_service_pb2_grpc import JobsStub

IDLE_SECONDS = 5.0
SENDERS = 4
FLOOD_REQUESTS = 60
WATCHED_CHANGES = 5_000
LORIS_SECONDS = 25.0  # more than a broker may wait for a handshake


def row(what: str, figure: str, aim: str = "") -> None:
    """A line of the report: what was done, what came of it, what is aimed at."""
    print(f"| {what} | {figure} | {aim} |", flush=True)


# --- a million jobs -------------------------------------------------------------------


async def queue_jobs(federation: Federation, count: int) -> None:
    people = [federation.identity(f"user-{n}", f"team-{n}") for n in range(SENDERS)]
    before = rss_bytes(federation.broker.pid)
    async with bystander(federation.address, federation.identity("wang", "team-z")) as waits:
        seconds = await fill(federation, people, count)
    after = rss_bytes(federation.broker.pid)
    row(f"{count:,} jobs queued", f"{seconds:.0f} s, {count / seconds:,.0f} jobs/s")
    per_job = (after - before) / count
    row(
        "broker's memory with them",
        f"{after / MIB:,.0f} MiB, {per_job:,.0f} bytes/job",
        "2,048 MiB",
    )
    row("a modest client meanwhile", str(waits))
    async with bystander(federation.address, federation.identity("wang", "team-z")) as idle:
        await asyncio.sleep(IDLE_SECONDS)
    row("… and with the queue at rest", str(idle))


# --- watchers that read nothing ----------------------------------------------------------


async def watch_unread(federation: Federation, count: int, changes: int) -> None:
    team = federation.identity("user-0", "team-0")
    pid = federation.broker.pid

    async def run() -> tuple[int, int]:
        before = await settled_rss(pid)
        async with watchers(federation, team, count):
            await fill(federation, [team], changes)
            return before, await settled_rss(pid)

    async with bystander(federation.address, federation.identity("wang", "team-z")) as waits:
        before, after = await run()
    row(
        f"{count:,} watchers that read nothing, {changes:,} changes",
        f"{(after - before) / count / 1024:,.0f} KiB each",
        "1,024 KiB",
    )
    row("a modest client meanwhile", str(waits))


# --- oversize and slow clients --------------------------------------------------------------


async def send_oversize(federation: Federation, count: int) -> None:
    """Messages of 10 MB, past the SDK, which would not send them."""
    big = pb.SubmitRequest(jobs=[pb.JobSubmission(id=new_id(), spec=bytes(10_000_000))])

    async def run() -> Counter[str]:
        codes: Counter[str] = Counter()
        async with channel(federation, federation.user) as opened:
            for _ in range(count):
                try:
                    await JobsStub(opened).Submit(big, timeout=CALL_SECONDS)
                except grpc.RpcError as error:
                    codes[decode(error).code] += 1
        return codes

    before = rss_bytes(federation.broker.pid)
    async with bystander(federation.address, federation.identity("wang", "team-z")) as waits:
        codes = await run()
    grown = (rss_bytes(federation.broker.pid) - before) / MIB
    row(f"{count} messages of 10 MB", f"{dict(codes)}, {grown:+.0f} MiB")
    row("a modest client meanwhile", str(waits))


async def stall_handshakes(federation: Federation, count: int) -> None:
    before = rss_bytes(federation.broker.pid)
    for name, address in (("main", federation.address), ("join", federation.join_address)):
        async with bystander(federation.address, federation.identity("wang", "team-z")) as waits:
            connections = await asyncio.to_thread(silent_connections, address, count)
            ended, last = await asyncio.to_thread(hung_up, connections, LORIS_SECONDS)
            for connection in connections:
                connection.close()
        row(
            f"{count} connections to the {name} port that say nothing",
            f"{ended} ended by the broker within {last:.1f} s",
            "all within 15 s",
        )
        row("a modest client meanwhile", str(waits))
    grown = (rss_bytes(federation.broker.pid) - before) / MIB
    row("broker's memory for them", f"{grown:+.0f} MiB")


async def stall_calls(federation: Federation, connections: int, calls: int) -> None:
    """Calls that are opened and whose request never comes, by a client with a certificate."""

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def run() -> tuple[int, int]:
        before = await settled_rss(federation.broker.pid)
        opened = [channel(federation, federation.user) for _ in range(connections)]
        held: list[Any] = []
        for each in opened:
            method = (await each.__aenter__()).stream_unary("/suan.v1.Jobs/Submit", bytes, bytes)
            held += [method(never()) for _ in range(calls)]
        await asyncio.gather(*(call.wait_for_connection() for call in held[::calls]))
        after = await settled_rss(federation.broker.pid)
        for call in held:
            call.cancel()
        for each in opened:
            await each.__aexit__(None, None, None)
        return before, after

    async with bystander(federation.address, federation.identity("wang", "team-z")) as waits:
        before, after = await run()
    count = connections * calls
    grown = (after - before) / count / 1024
    row(f"{count:,} calls whose request never comes", f"{grown:,.0f} KiB each")
    row("a modest client meanwhile", str(waits))


# --- a greedy tenant --------------------------------------------------------------------------


async def be_greedy(federation: Federation, requests: int, seconds: float) -> None:
    """Beside the same greed at another broker too, which takes no more than the machine."""
    modest = federation.identity("wang", "team-z")
    async with bystander(federation.address, modest) as alone:
        await asyncio.sleep(seconds)
    with broker() as other:
        other.start_broker()
        async with bystander(federation.address, modest) as apart:
            await press(other, other.identity("greedy", "team-g"), requests, seconds)
    async with bystander(federation.address, modest) as beside:
        greedy = federation.identity("greedy", "team-g")
        outcomes = await press(federation, greedy, requests, seconds)
    row("a modest client alone", str(alone))
    row("the modest client while another broker of the machine is pressed", str(apart))
    row(f"a greedy tenant, {requests} requests of {BATCH} jobs in flight", str(dict(outcomes)))
    row("the modest client beside it", str(beside), "p99 at most twice")


async def flood_requests(federation: Federation, requests: int) -> None:
    greedy = federation.identity("greedy", "team-g")
    async with bystander(federation.address, federation.identity("wang", "team-z")) as waits:
        answers = await flood(federation, greedy, requests)
    codes = Counter(answer.code if answer else "accepted" for answer in answers)
    asked = [a.retry_after_seconds for a in answers if isinstance(a, ResourceExhausted)]
    again = f", to try again after {min(asked):.1f} to {max(asked):.1f} s" if asked else ""
    size = f"{requests:,} requests of one tenant at once, each of 2 MB"
    row(size, f"{dict(codes)}{again}")
    row("the modest client meanwhile", str(waits))


# --- a herd -------------------------------------------------------------------------------------


async def stampede(federation: Federation, sites: int, attempts: int, beat: float) -> None:
    """All sites come at once to a broker that has just begun, and again when it is killed."""
    agents = sites_with_attempts(federation, sites, attempts)
    begun = time.monotonic()
    await asyncio.to_thread(federation.start_broker)
    row(f"start with {sites * attempts:,} live attempts", f"{time.monotonic() - begun:.1f} s")

    async def run() -> None:
        tasks = [asyncio.create_task(live(a, federation.address, beat)) for a in agents]
        try:
            since = time.monotonic()
            seconds = await until_welcome(agents, since)
            row(f"{sites} agents × {attempts} attempts at once", _welcomed(agents, seconds))
            await _serve(federation, agents, 3 * beat)
            for agent in agents:
                agent.kept = agent.refusals = 0
            await asyncio.to_thread(federation.broker.kill)
            since = time.monotonic()
            await asyncio.to_thread(federation.start_broker)
            seconds = await until_welcome(agents, since)
            row("… again after the broker was killed", _welcomed(agents, seconds), "60 s")
            await _serve(federation, agents, 3 * beat)
        finally:
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)

    await run()
    row("broker's memory", f"{rss_bytes(federation.broker.pid) / MIB:,.0f} MiB")


def _welcomed(agents: list[HerdAgent], seconds: float) -> str:
    kept, held = sum(a.kept for a in agents), sum(len(a.held) for a in agents)
    refusals = sum(agent.refusals for agent in agents)
    return f"all welcome in {seconds:.1f} s, {kept:,} of {held:,} kept, {refusals} told to wait"


async def _serve(federation: Federation, agents: list[HerdAgent], seconds: float) -> None:
    for agent in agents:
        agent.waits.clear()
    modest = federation.identity("wang", "team-z")
    async with bystander(federation.address, modest) as waits:
        await asyncio.sleep(seconds)
    beats = Waits(sorted(wait for agent in agents for wait in agent.waits))
    row("replies to their heartbeats", str(beats), "p99 1,000 ms")
    again = sum(agent.reconciles for agent in agents)
    row("a modest client meanwhile", f"{waits}; asked to reconcile again: {again}")


@click.command()
@click.option("--jobs", default=1_000_000, show_default=True, help="queued")
@click.option("--watchers", "watching", default=1_000, show_default=True)
@click.option("--agents", default=500, show_default=True)
@click.option("--attempts", default=100, show_default=True, help="of each agent")
@click.option("--seconds", default=15.0, show_default=True, help="of the greedy tenant")
def main(jobs: int, watching: int, agents: int, attempts: int, seconds: float) -> None:
    """The whole campaign; some minutes."""
    print(f"{machine()}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | came to | aim |\n|---|---|---|")
    asyncio.run(campaign(jobs, watching, agents, attempts, seconds))


async def campaign(jobs: int, watching: int, agents: int, attempts: int, seconds: float) -> None:
    with broker() as federation:
        federation.start_broker()
        await be_greedy(federation, 32, seconds)
        await flood_requests(federation, FLOOD_REQUESTS)
        await queue_jobs(federation, jobs)
        await watch_unread(federation, watching, WATCHED_CHANGES)
        await send_oversize(federation, 100)
        await stall_handshakes(federation, 300)
        await stall_calls(federation, 3, 1_000)
        rss = rss_bytes(federation.broker.pid)
        row("broker's memory after all this", f"{rss / MIB:,.0f} MiB", "2,048 MiB")
    with broker() as federation:
        await stampede(federation, agents, attempts, 10.0)


if __name__ == "__main__":
    main()
