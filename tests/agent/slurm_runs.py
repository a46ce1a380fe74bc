"""Orders for the Slurm of the tests, and a backend on it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.backends import NodeShare, RunOrder
from agent.clock import lease_now
from agent.slurm.backend import SlurmBackend
from agent.slurm.command import NodePlace, SlurmSettings
from agent.slurm.poll import SlurmPoll
from agent.slurm.read import Slurm
from bench.slurm_site import ASCEND, SlurmSite

JOB = "0192f3a4-7777-7abc-8def-000000000001"
NODES = tuple(NodeShare(name, "127.0.0.1", (0, 1)) for name in ASCEND.names)
SETTINGS = SlurmSettings(
    {name: NodePlace("ascend", "npu:910b", seconds_max=259200.0) for name in ASCEND.names},
    python=sys.executable,
)
POLL_SECONDS = 0.5


def order(run: str, epoch: int = 1, **fields: Any) -> RunOrder:
    given = {"nodes": NODES[:1], "cards_per_node": 2, "kind": "npu", "grace_seconds": 20.0}
    return RunOrder(f"suan-{JOB}-{epoch}", JOB, epoch, "shenzhen", run=run, **(given | fields))


def lease(seconds: float = 600.0) -> float:
    return lease_now() + seconds


@asynccontextmanager
async def backend(
    site: SlurmSite, state: Path, way: Slurm | None = None, **settings: Any
) -> AsyncIterator[SlurmBackend]:
    opened = SlurmBackend(
        state,
        {"PATH": os.environ["PATH"], "HOME": "/root", "AGENT_KEY": "hunter2"},
        {"HF_HUB_OFFLINE": "1"},
        lambda: SETTINGS,
        SlurmPoll(way or Slurm(site.environment), POLL_SECONDS),
        **settings,
    )
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()
