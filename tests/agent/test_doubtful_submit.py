"""Submissions that the cluster manager leaves unanswered: found by name, never repeated."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted_broker import PATIENCE_SECONDS, ScriptedBroker, job, serving
from site_agent import QUICK, agent, config

from agent.assembly import staging_of
from agent.backends import NodeShare, RunOrder, RunState
from agent.backends.prepare import StateDirectory
from agent.backends.process import ProcessBackend
from agent.bundles import Bundles
from agent.clock import lease_now
from agent.materials import Materials
from agent.runs import Runs
from agent.supervisor.messages import Event, Launch, RunStarted

JOB = "0192f3a4-7777-7abc-8def-000000000002"
NAME = f"suan-{JOB}-1"
LEASE_SECONDS = 600.0


class Doubtful(ProcessBackend):
    """Real processes, behind a manager whose answer to a submission gets lost."""

    def __init__(self, state: Path, accepts: bool = True, silences: int = 0) -> None:
        super().__init__(state, dict(os.environ), {})
        self.submissions: list[str] = []
        self._accepts = accepts
        self._silences = silences  # questions that are not answered either

    async def submit(self, order: RunOrder, deadline: float) -> None:
        self.submissions.append(order.name)
        if self._accepts:
            await super().submit(order, deadline)
        raise TimeoutError("the cluster manager did not answer in 60 s")

    async def find(self, name: str) -> RunState | None:
        if self._silences:
            self._silences -= 1
            raise ConnectionRefusedError("the cluster manager is away")
        return await super().find(name)


@asynccontextmanager
async def at_work(tmp_path: Path, backend: Doubtful) -> AsyncIterator[ScriptedBroker]:
    """A broker and a connected agent of that backend."""
    broker = ScriptedBroker()
    async with serving(broker) as address, agent(address, config(tmp_path), backend=backend):
        await broker.connected()
        yield broker


@pytest.mark.parametrize("silences", [0, 2])
async def test_accepted_and_not_answered(silences: int, tmp_path: Path) -> None:
    backend = Doubtful(tmp_path, silences=silences)
    ran = tmp_path / "ran"
    async with at_work(tmp_path, backend) as broker:
        wish = job(f"echo once >> {ran}")
        broker.grant(("j1", 1), spec=wish)
        broker.grant(("j1", 1), spec=wish)  # as a broker does that has not heard of it yet
        await broker.until(lambda: len(broker.told("j1")) == 2)
        assert broker.told("j1") == ["started", "succeeded"]
        assert backend.submissions == ["suan-j1-1"]
        assert ran.read_text() == "once\n"


async def test_neither_accepted_nor_answered(tmp_path: Path) -> None:
    backend = Doubtful(tmp_path, accepts=False)
    ran = tmp_path / "ran"
    async with at_work(tmp_path, backend) as broker:
        broker.grant(("j1", 1), spec=job(f"echo once >> {ran}"))
        await broker.until(lambda: broker.reports("j1"))
        (refused,) = broker.reports("j1")
        assert refused.failure.code == "LaunchFailed"
        assert "did not answer in 60 s" in refused.failure.message
        assert backend.submissions == ["suan-j1-1"], "to try again is the broker's to decide"
        assert not ran.exists()


class Slow(ProcessBackend):
    """Takes a submission and does not get round to it before it is told to go on."""

    def __init__(self, state: Path) -> None:
        super().__init__(state, dict(os.environ), {})
        self.taken, self.go_on = threading.Event(), threading.Event()
        self.asked = asyncio.Event()

    async def find(self, name: str) -> RunState | None:
        self.asked.set()
        return await super().find(name)

    def _launch(self, *arguments: Any) -> Any:
        self.taken.set()
        assert self.go_on.wait(PATIENCE_SECONDS)
        return super()._launch(*arguments)


async def test_what_is_accepted_after_we_gave_up_is_not_taken_for_lost(tmp_path: Path) -> None:
    settings = config(tmp_path)
    backend = Slow(tmp_path)
    await backend.open()

    async def fetch(_: str) -> bytes:
        raise AssertionError("this run needs no bundle")

    heard: asyncio.Queue[Event] = asyncio.Queue()
    bundles, places = Bundles(tmp_path / "b", fetch), StateDirectory(tmp_path, 0)
    materials = Materials(bundles, staging_of(settings), tmp_path / "d", places)
    runs = Runs(backend, materials, heard.put_nowait, QUICK, submit_seconds=0.01)
    node = NodeShare("n0", "127.0.0.1", (0,))
    ran = tmp_path / "ran"
    order = RunOrder(NAME, JOB, 1, "shenzhen", (node,), 1, f"echo once >> {ran}", kind="gpu")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            runs.launch(Launch(order, lease_now() + LEASE_SECONDS))
            await asyncio.to_thread(backend.taken.wait, PATIENCE_SECONDS)
            await backend.asked.wait()
            assert heard.empty(), "nothing is said while it may still begin"
            backend.go_on.set()
            assert await heard.get() == RunStarted(NAME)
            assert (await anext(backend.exits())).succeeded
        assert ran.read_text() == "once\n"
    finally:
        backend.go_on.set()
        await runs.close()
        await backend.close()
