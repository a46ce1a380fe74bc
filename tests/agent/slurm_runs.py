"""Orders for the Slurm of the tests, a backend on it, and an agent that dies while it submits.

    python -m tests.agent.slurm_runs STATE_DIRECTORY SLURM_CONF before|after

is that agent: it ends by SIGKILL before sbatch is called, or before its answer is heard.
"""

from __future__ import annotations

import asyncio
import os
import signal
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
from bench.slurm_site import ASCEND, SlurmSite, environment_of

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


class Dying(Slurm):
    """The way to a Slurm on which the agent dies at its first submission."""

    def __init__(self, conf: Path, after: bool) -> None:
        super().__init__(environment_of(conf))
        self._after = after

    async def call(self, tool: str, *arguments: str, text: bytes = b"") -> str:
        if tool != "sbatch":
            return await super().call(tool, *arguments, text=text)
        if self._after:
            await super().call(tool, *arguments, text=text)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it lives on")


async def die(state: Path, conf: Path, after: bool) -> None:
    poll = SlurmPoll(Dying(conf, after))
    backend = SlurmBackend(state, {}, {}, lambda: SETTINGS, poll)
    await backend.open()
    await backend.submit(order("echo once"), lease())


if __name__ == "__main__":
    asyncio.run(die(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "after"))
