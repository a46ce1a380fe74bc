"""An agent of a small site, assembled as in production but for its connection: no TLS."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import grpc.aio

from agent.assembly import Outside, StateDirectory, assemble, staging_of
from agent.backends import Backend
from agent.cards.failure_watch import FailureWatch
from agent.cluster import cluster_of
from agent.config.file import AgentConfig, ProbedPool
from agent.control import read_mode, serve
from agent.daemon import Daemon, Keeper
from agent.inventory import DeclaredNode, DeclaredPool
from agent.operations import Operator
from agent.staging import Staging
from agent.supervisor.messages import ModeSet
from agent.survey import Survey
from suan.errors import Unavailable
from suan.retry import Backoff

QUICK = Backoff(seconds=0.02, seconds_max=0.1)


def config(state_dir: Path, backend: str = "process", cards: int = 64) -> AgentConfig:
    node = DeclaredNode("train-n0", "127.0.0.1", "train-0")
    pool = DeclaredPool("train", "ascend-910b", "npu", (node,), cards)
    return AgentConfig(
        site="shenzhen",
        broker="127.0.0.1:1",
        city="shenzhen",
        state_dir=state_dir,
        identity_dir=state_dir / "identity",
        backend=backend,
        pools=(ProbedPool(pool),),
        grace_seconds=5.0,
        environment=MappingProxyType({}),
    )


@dataclass(frozen=True, slots=True)
class Running:
    """An agent at work."""

    daemon: Daemon
    task: asyncio.Task[None]


@asynccontextmanager
async def agent(
    address: str,
    settings: AgentConfig,
    keepers: Iterable[Keeper] = (),
    staging: Staging | None = None,
    backend: Backend | None = None,
) -> AsyncIterator[Running]:
    """A running agent, with its control socket; ends as by SIGTERM."""
    state_directory = StateDirectory(settings.state_dir)
    try:
        survey = Survey(settings)
        outside = Outside(
            lambda: grpc.aio.insecure_channel(address),
            lambda: Unavailable("nothing answers", "", "BrokerUnreachable"),
            backend or cluster_of(settings, os.environ).backend,
            staging or staging_of(settings),
            QUICK,
        )
        daemon = assemble(settings, state_directory, survey, outside)
        failures = FailureWatch(
            settings.state_dir, settings.failures_per_card_day, survey, lambda rate: None
        )
        operator = Operator(daemon, survey, failures, settings.state_dir)
        standing = read_mode(settings.state_dir)
        operator.stand(standing)
        server = await serve(settings.state_dir, operator.handle)
        running = asyncio.create_task(
            daemon.run(ModeSet(standing.mode, standing.stop_jobs, standing.tenants), keepers)
        )
        try:
            yield Running(daemon, running)
        finally:
            daemon.stop()
            await running
            server.close()
    finally:
        state_directory.release()


async def serve_until_killed(address: str, state_dir: Path) -> None:
    async with agent(address, replace(config(state_dir), broker=address)):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve_until_killed(sys.argv[1], Path(sys.argv[2])))
