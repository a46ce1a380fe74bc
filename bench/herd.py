"""Agents in bulk: each a real session with an identity of its own, and no machinery behind it.

They hold attempts that were put into the broker's store before it began, say Hello all at
once, and then send heartbeats. What they measure is the broker's time, so they speak the
session's protocol and do nothing else.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio

from bench.bystander import SPEC
from bench.federation import FEDERATION, Federation
from bench.load import credentials_of
from broker.core.digest import attempt_digest
from broker.core.lifecycle import AttemptState, JobState
from broker.core.rows import Attempt, Job, Put, Site
from broker.leadership import StandbyState
from broker.local_app import STORE_FILE
from broker.services.specs import read_spec
from broker.store.sqlite import SqliteStore
from scheduler.model import Slice
from suan.channel import CHANNEL_OPTIONS
from suan.errors import ResourceExhausted
from suan.identity.issue import issue
from suan.identity.principal import Principal, Role
from suan.ids import new_id
from suan.status import decode
from suan.v1 import job_pb2, session_pb2, site_pb2
from suan.v1.agents_service_pb2_grpc import AgentsStub

ROWS_PER_COMMIT = 5_000
BACK_SECONDS, BACK_SECONDS_MAX = 0.1, 2.0  # of an agent that lost its broker
TENANT = "team-h"


@dataclass
class HerdAgent:
    """One site: what it holds, and what it saw of the broker."""

    name: str
    identity: Path
    held: list[tuple[str, int]]
    welcomed_at: float = 0.0  # monotonic; 0.0: not yet
    kept: int = 0
    refusals: int = 0
    reconciles: int = 0  # asked for although nothing differs
    waits: list[float] = field(default_factory=list)  # for replies to heartbeats, seconds


def sites_with_attempts(federation: Federation, sites: int, attempts: int) -> list[HerdAgent]:
    """Registered sites with running jobs in the store of a broker that does not run yet."""
    spec = read_spec(SPEC)
    now = time.time()
    agents = []
    rows: list[Put] = [Put(spec)]
    for number in range(sites):
        name = f"site-{number:04}"
        held = [(new_id(), 1) for _ in range(attempts)]
        rows.append(Put(Site(name, now, agent_id=f"agent-{name}")))
        rows += [Put(_running(job_id, name, spec.sha256, now)) for job_id, _ in held]
        place = federation.folder / "herd" / name
        authority = federation.folder / "federation" / "ca"
        issue(authority, Principal(FEDERATION, Role.SITE, name, site=name), place)
        agents.append(HerdAgent(name, place, held))
    state = federation.folder / "broker"
    state.mkdir(mode=0o700, exist_ok=True)
    store = SqliteStore(state / STORE_FILE, lambda _, data: read_spec(data))
    term = store.campaign(StandbyState())
    for first in range(0, len(rows), ROWS_PER_COMMIT):
        store.commit(rows[first : first + ROWS_PER_COMMIT], term)
    store.close()
    return agents


def _running(job_id: str, site: str, spec_sha256: str, now: float) -> Job:
    attempt = Attempt(
        epoch=1,
        site=site,
        pool=f"{site}/cards",
        accelerator="ascend-910b",
        variant=0,
        slices=(Slice("s0", 1, 1),),
        placed_at=now,
        state=AttemptState.RUNNING,
        started_at=now,
    )
    return Job(
        id=job_id,
        tenant=TENANT,
        project="",
        user="herd",
        name="herd",
        spec_sha256=spec_sha256,
        submitted_at=now,
        state=JobState.RUNNING,
        attempts=(attempt,),
        revision=1,
    )


async def live(agent: HerdAgent, address: str, heartbeat_seconds: float) -> None:
    """Until cancelled: connect, say Hello, send heartbeats; again whenever the broker is lost."""
    failures = 0
    while True:
        credentials = credentials_of(agent.identity)
        async with grpc.aio.secure_channel(address, credentials, CHANNEL_OPTIONS) as channel:
            pause = min(BACK_SECONDS_MAX, BACK_SECONDS * 2.0**failures) * random.random()
            try:
                await _converse(agent, AgentsStub(channel), heartbeat_seconds)
            except grpc.RpcError as error:
                told = decode(error)
                if isinstance(told, ResourceExhausted):
                    agent.refusals += 1
                    pause = max(pause, told.retry_after_seconds)
        failures = 0 if agent.welcomed_at else failures + 1
        await asyncio.sleep(pause)


async def _converse(agent: HerdAgent, stub: AgentsStub, heartbeat_seconds: float) -> None:
    session = secrets.token_hex(16)
    outgoing: asyncio.Queue[session_pb2.AgentMessage] = asyncio.Queue()
    outgoing.put_nowait(session_pb2.AgentMessage(hello=_hello(agent, session)))
    call: Any = stub.Session()
    writing = asyncio.create_task(_write(call, outgoing))
    beating: asyncio.Task[None] | None = None
    sent: dict[int, float] = {}
    try:
        async for message in call:
            if message.HasField("verdicts"):
                agent.kept += len(message.verdicts.keep)
                if message.verdicts.hello and beating is None:
                    agent.welcomed_at = time.monotonic()
                    beats = _beat(agent, session, outgoing, sent, heartbeat_seconds)
                    beating = asyncio.create_task(beats)
            elif message.HasField("heartbeat_reply"):
                agent.waits.append(time.monotonic() - sent.pop(message.heartbeat_reply.seq))
                agent.reconciles += message.heartbeat_reply.reconcile
    finally:
        call.cancel()
        writing.cancel()
        if beating is not None:
            beating.cancel()


async def _write(call: Any, outgoing: asyncio.Queue[session_pb2.AgentMessage]) -> None:
    """Until the stream breaks, which its reader hears of."""
    with suppress(grpc.RpcError, asyncio.InvalidStateError):
        while True:
            await call.write(await outgoing.get())


async def _beat(
    agent: HerdAgent,
    session: str,
    outgoing: asyncio.Queue[session_pb2.AgentMessage],
    sent: dict[int, float],
    seconds: float,
) -> None:
    digest = 0
    for job_id, epoch in agent.held:
        digest ^= attempt_digest(job_id, epoch)
    await asyncio.sleep(seconds * random.random())
    seq = 0
    while True:
        seq += 1
        sent[seq] = time.monotonic()
        beat = session_pb2.Heartbeat(session=session, seq=seq, digest=digest)
        outgoing.put_nowait(session_pb2.AgentMessage(heartbeat=beat))
        await asyncio.sleep(seconds * random.uniform(0.9, 1.1))


def _hello(agent: HerdAgent, session: str) -> session_pb2.Hello:
    cards = len(agent.held)  # all of them taken
    supernode = site_pb2.Supernode(name="s0", nodes_by_free=[cards // 8 + 1])
    pool = site_pb2.Pool(
        name="cards",
        accelerator="ascend-910b",
        cards_per_node=8,
        cards_total=8 * (cards // 8 + 1),
        cards_usable=8 * (cards // 8 + 1),
        supernodes=[supernode],
    )
    return session_pb2.Hello(
        site=agent.name,
        session=session,
        agent_id=f"agent-{agent.name}",
        boot_id="boot",
        attempts=[
            session_pb2.HeldAttempt(
                id=session_pb2.AttemptId(job_id=job_id, epoch=epoch),
                state=job_pb2.ATTEMPT_STATE_RUNNING,
                remaining_seconds=500.0,
            )
            for job_id, epoch in agent.held
        ],
        capacity=session_pb2.Capacity(session=session, seq=1, pools=[pool], full=True),
        facts=site_pb2.SiteFacts(city=agent.name, backend="herd"),
        protocol=1,
    )
