"""Runs put to a cluster manager that has a queue, and nodes that share a file system with us.

A run's directory comes before its submission, and each part of it starts at most once, taken by
its fence or by us; so a submission whose answer was lost can be given up for good by taking
the parts that never began, and nothing is ever submitted twice. `queue_watch` tells how they
end. What is put to the manager, and how, is for the backend that builds on this.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from agent import beside, fence
from agent.backends import BackendRefused, Exit, Reason, RunOrder, RunState, layout, node
from agent.backends.account import Accounts
from agent.backends.container import Container, Containers, container_of
from agent.backends.filed import FiledRuns
from agent.backends.judge import Manager
from agent.backends.ownership import open_way
from agent.backends.prepare import FREE_BYTES_MIN, StateDirectory, prepare_run, publish_run
from agent.backends.queue_watch import QueueWatch
from agent.backends.rundir import RunDirectory
from agent.clock import lease_now
from agent.environment import Surroundings
from agent.probes.tools import ProbeFailed

SUBMITS_MAX = 4  # submissions at a time
NO_ACCOUNTS = Accounts()
LAYOUTS_MAX = 2  # directories written at a time: what follows is not to wait for a thread
RANKS_MAX = 65_536  # of one run
WAIT_SECONDS_MAX = 600.0  # in the manager's queue, before the broker gets it back
P = TypeVar("P")  # what is put to the manager


@dataclass(frozen=True, slots=True)
class QueuedSettings:
    """What holds for all runs of one site."""

    agent_environment: Mapping[str, str]
    site_environment: Mapping[str, str]
    free_bytes_min: int = FREE_BYTES_MIN
    wait_seconds_max: float = WAIT_SECONDS_MAX
    clock: Callable[[], float] = lease_now
    accounts: Accounts = NO_ACCOUNTS  # whose the jobs, and their fences, are
    containers: Containers | None = None  # in which images they may be; None: in none


class QueuedRuns(FiledRuns, Generic[P]):
    """See `agent.backends.Backend` for what each method promises.

    `state_directory` lies on a file system that agent and nodes share; `tools` are programs
    that the nodes run there, beside the fence and what starts it.
    """

    def __init__(
        self,
        state_directory: Path,
        settings: QueuedSettings,
        manager: Manager[Any],
        tools: tuple[Path, ...] = (),
    ) -> None:
        state = StateDirectory(state_directory.absolute(), settings.free_bytes_min)
        super().__init__(state, RANKS_MAX)
        self._tools = self._state.path / "tools"
        self._asks = self._state.path / "asks"
        self._carried = (*map(Path, (fence.__file__, beside.__file__, node.__file__)), *tools)
        self._queued_settings = settings
        self._clock = settings.clock
        self._watch = QueueWatch(
            self._state,
            self._asks,
            manager,
            settings.clock,
            settings.wait_seconds_max,
            self._take_end,
            bool(settings.accounts),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._laying_out = asyncio.Semaphore(LAYOUTS_MAX)
        self._submitting = asyncio.Semaphore(SUBMITS_MAX)

    @abstractmethod
    def _asked(self, order: RunOrder) -> P:
        """What to put to the manager. Raises BackendRefused."""

    @abstractmethod
    async def _put(self, run: RunDirectory, asked: P) -> None:
        """Put it, once. Raises ProbeFailed, which is "ToolTimedOut" if nothing is known of it."""

    @abstractmethod
    def _refused(self, failed: ProbeFailed) -> BackendRefused:
        """Why the manager did not take it, for people."""

    async def open(self) -> None:
        await asyncio.to_thread(self._make)
        for name in await self.list():
            run = self._state.run(name)
            ended = run.exit()
            if ended is not None:
                self._exits.put_nowait(ended)
                continue
            self._recall_port(run)
            self._watch.adopt(run)
        works = [*self._watch.works(), self._marker.keep(self._watch.live_runs)]
        self._tasks = [asyncio.create_task(work) for work in works]

    async def close(self) -> None:
        await self._end(self._tasks)
        self._watch.close()

    async def renew(self, name: str, deadline: float) -> None:
        if self._watch.is_live(name):
            run, left = self._state.run(name), deadline - self._clock()
            await asyncio.to_thread(run.write_lease, left)

    async def stop(self, name: str, reason: str) -> None:
        if not self._watch.is_live(name):
            return
        run = self._state.run(name)
        await asyncio.to_thread(layout.write_stop, run, reason)
        # What never began never will; the next answer takes it out of the queue.
        await asyncio.to_thread(layout.close_parts, run, Reason.STOPPED, reason)
        order = await asyncio.to_thread(run.order)
        self._watch.stop_within(name, float(order["grace_seconds"]))

    # --- starting ---------------------------------------------------------

    async def _start(self, order: RunOrder, deadline: float) -> None:
        run = self._state.run(order.name)
        asked = await asyncio.to_thread(self._asked, order)  # it may look users up
        port = self._take_port(order)
        try:
            async with self._laying_out:  # of a burst the first is put before the last is written
                await asyncio.to_thread(self._lay_out, order, deadline, port)
        except BaseException:
            del self._ports[order.name]
            raise
        self._watch.submitting(order.name)
        try:
            async with self._submitting:
                await self._put(run, asked)
        except ProbeFailed as failed:
            if failed.code == "ToolTimedOut":
                raise  # it may have been accepted: the manager will say so
            # What failed may have been accepted all the same: so first nothing can begin.
            if await asyncio.to_thread(
                layout.close_parts, run, Reason.LAUNCH_FAILED, failed.message
            ):
                self._watch.drop(order.name)
                self._ports.pop(order.name, None)
                await asyncio.to_thread(self._state.remove, run)
                raise self._refused(failed) from failed
        finally:
            self._watch.submitted(order.name)

    def _lay_out(self, order: RunOrder, deadline: float, port: int) -> None:
        limit = order.time_limit_seconds
        deadline_at = time.time() + limit if limit else 0.0
        account = self._queued_settings.accounts.of(order.tenant)
        own = account.variables if account else {}
        surroundings = Surroundings(
            {**self._queued_settings.agent_environment, **own},
            self._queued_settings.site_environment,
            port,
            deadline_at,
            self._container(order),
        )
        building = prepare_run(self._state, order, surroundings)
        layout.split_order(building, order)
        if account is not None:
            layout.asks_of(building).mkdir()
        publish_run(self._state, building, order, deadline - self._clock(), account)

    def _container(self, order: RunOrder) -> Container | None:
        """In which the fence starts the job's processes. Raises BackendRefused."""
        return container_of(order, self._queued_settings.containers, self._state.path)

    def _make(self) -> None:
        self._state.make()
        self._asks.mkdir(mode=0o700, exist_ok=True)
        layout.carry_tools(self._tools, *self._carried)
        if self._queued_settings.accounts:
            open_way(self._state.path)

    # --- watching ---------------------------------------------------------

    def _state_of(self, run: RunDirectory) -> RunState:
        return layout.state_of(run)

    def _parts(self, run: RunDirectory) -> tuple[RunDirectory, ...]:
        return layout.parts(run)

    async def _take_end(self, run: RunDirectory, ended: Exit) -> None:
        await asyncio.to_thread(self._tidy, run)
        self._ports.pop(run.name, None)
        self._exits.put_nowait(ended)
