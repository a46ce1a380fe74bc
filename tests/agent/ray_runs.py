"""Orders for the Ray of the tests, a backend on it, and an agent that dies while it submits.

    python -m tests.agent.ray_runs STATE_DIRECTORY ADDRESS PLACES EPOCH before|after

is that agent: it ends by SIGKILL before the submission is put, or before its answer is heard.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.backends import NodeShare, RunOrder
from agent.clock import lease_now
from agent.ray.backend import RayBackend
from agent.ray.client import RayClient
from agent.ray.command import RayPlace, RaySettings
from agent.ray.poll import RayPoll
from bench.ray_site import ASCEND, RaySite

JOB = "0192f3a4-7777-7abc-8def-000000000001"
NODES = tuple(NodeShare(name, "127.0.0.1", (0, 1)) for name in ASCEND.names)
POLL_SECONDS = 0.5


def order(run: str, epoch: int, **fields: Any) -> RunOrder:
    """Each epoch once for one Ray: it remembers names for a while."""
    given = {"nodes": NODES[:1], "cards_per_node": 2, "kind": "npu", "grace_seconds": 20.0}
    return RunOrder(f"suan-{JOB}-{epoch}", JOB, epoch, "shenzhen", run=run, **(given | fields))


def lease(seconds: float = 600.0) -> float:
    return lease_now() + seconds


def places(site: RaySite) -> dict[str, str]:
    """Ray's names of the nodes, by ours."""
    found = site.call("GET", "/api/v0/nodes?detail=1&limit=1000")["data"]["result"]["result"]
    return {node["node_name"]: node["node_id"] for node in found if node["state"] == "ALIVE"}


def settings(of: Mapping[str, str], **fields: Any) -> RaySettings:
    there = {name: RayPlace(number, "NPU") for name, number in of.items()}
    return RaySettings(there, sys.executable, **({"version": (2, 60)} | fields))


@asynccontextmanager
async def backend(
    site: RaySite, state: Path, way: RayClient | None = None, **fields: Any
) -> AsyncIterator[RayBackend]:
    rules = settings(places(site), **fields.pop("settings", {}))
    opened = RayBackend(
        state,
        {"PATH": os.environ["PATH"], "HOME": "/root", "AGENT_KEY": "hunter2"},
        {"HF_HUB_OFFLINE": "1"},
        lambda: rules,
        RayPoll(way or RayClient(site.address), POLL_SECONDS),
        **fields,
    )
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


class Dying(RayClient):
    """The way to a Ray on which the agent dies at its first submission."""

    def __init__(self, address: str, after: bool) -> None:
        super().__init__(address)
        self._after = after

    async def submit(self, request: Mapping[str, Any]) -> None:
        if self._after:
            await super().submit(request)
        os.kill(os.getpid(), signal.SIGKILL)


async def die(state: Path, address: str, of: Mapping[str, str], epoch: int, after: bool) -> None:
    rules = settings(of)
    dying = RayBackend(state, {}, {}, lambda: rules, RayPoll(Dying(address, after)))
    await dying.open()
    await dying.submit(order("echo once", epoch), lease())


if __name__ == "__main__":
    place, head, known, number, when = sys.argv[1:]
    asyncio.run(die(Path(place), head, json.loads(known), int(number), when == "after"))
