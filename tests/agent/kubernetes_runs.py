"""Orders for the cluster of the tests, a backend on it, and an agent that dies while it submits.

    python -m tests.agent.kubernetes_runs SHARED KUBECONFIG before|after

is that agent: it ends by SIGKILL before the job is posted, or before the answer is heard.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.backends import NodeShare, RunOrder
from agent.backends.queued import QueuedSettings
from agent.clock import lease_now
from agent.kubernetes.backend import KubernetesBackend
from agent.kubernetes.client import KubernetesApi, Query
from agent.kubernetes.config import KubernetesConfig
from agent.kubernetes.fields import Json
from agent.kubernetes.settings import KubernetesSettings, RunPlace

JOB = "0192f3a4-7777-7abc-8def-000000000001"
NODES = (NodeShare("npu1", "127.0.0.49", (0, 1)), NodeShare("npu2", "127.0.0.50", (0, 1)))
PLACE = RunPlace("ascend", "huawei.com/Ascend910", kind="npu", memory_mib_per_card=1024)


def order(run: str, epoch: int = 1, **fields: Any) -> RunOrder:
    given = {"nodes": NODES[:1], "cards_per_node": 2, "kind": "npu", "grace_seconds": 20.0}
    return RunOrder(f"suan-{JOB}-{epoch}", JOB, epoch, "harbin", run=run, **(given | fields))


def lease(seconds: float = 600.0) -> float:
    return lease_now() + seconds


def settings(shared: Path, **fields: Any) -> KubernetesSettings:
    config = KubernetesConfig(
        str(shared), "registry/cann:8.1", python=sys.executable, poll_seconds=0.3
    )
    places = dict.fromkeys((node.name for node in NODES), PLACE)
    config = replace(config, **fields)
    volcano = config.scheduler == "volcano"
    return KubernetesSettings("harbin", config, os.getuid(), os.getgid(), (), places, volcano)


def make(shared: Path, api: KubernetesApi, **fields: Any) -> KubernetesBackend:
    held = settings(shared, **fields)
    queued = QueuedSettings(
        {"AGENT_KEY": "hunter2"},
        {"HF_HUB_OFFLINE": "1"},
        wait_seconds_max=held.config.wait_seconds_max,
    )
    return KubernetesBackend(shared, queued, lambda: held, api, hopeless_seconds=0.0)


@asynccontextmanager
async def backend(
    shared: Path, kubeconfig: Path, api: KubernetesApi | None = None, **fields: Any
) -> AsyncIterator[KubernetesBackend]:
    opened = make(shared, api or KubernetesApi(str(kubeconfig)), **fields)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


class Dying(KubernetesApi):
    """The way to a cluster on which the agent dies at its first submission."""

    after = False

    async def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Json | None = None,
        seconds: float = 30.0,
    ) -> Json:
        if method != "POST":
            return await super().call(method, path, query, body, seconds)
        if self.after:
            await super().call(method, path, query, body, seconds)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it lives on")


async def die(shared: Path, kubeconfig: str, after: bool) -> None:
    api = Dying(kubeconfig)
    api.after = after
    own = make(shared, api)
    await own.open()
    await own.submit(order("echo once"), lease())


if __name__ == "__main__":
    asyncio.run(die(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "after"))
