"""The process backend: gangs as real processes on the agent's own machine.

Each run has a directory under the state directory and a fence that starts its ranks and
outlives the agent. This module builds the directory, starts the fence, and afterwards only
watches: after a restart it finds its runs by their directories and goes on watching.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.backends import BackendRefused, RunOrder, RunState
from agent.backends.account import Account, Accounts
from agent.backends.cgroup import Cgroups, NotAllowed, find_cgroups
from agent.backends.conclude import conclude
from agent.backends.container import Containers, container_of
from agent.backends.filed import FiledRuns
from agent.backends.ownership import open_way
from agent.backends.prepare import (
    FREE_BYTES_MIN,
    StateDirectory,
    prepare_run,
    publish_run,
)
from agent.backends.rundir import RunDirectory
from agent.backends.watch import FenceWatch
from agent.clock import lease_now
from agent.environment import Surroundings

FENCE = Path(__file__).parent.parent / "fence.py"
CONCLUDE_RETRY_SECONDS = 5.0  # while the disk is full, for one
NO_ACCOUNTS = Accounts()
RANKS_MAX = 1024  # of one run: they are real processes on one machine
_LOGGER = logging.getLogger(__name__)


class ProcessBackend(FiledRuns):
    """See `agent.backends.Backend` for what each method promises."""

    def __init__(
        self,
        state_directory: Path,
        agent_environment: Mapping[str, str],
        site_environment: Mapping[str, str],
        free_bytes_min: int = FREE_BYTES_MIN,
        clock: Callable[[], float] = lease_now,
        accounts: Accounts = NO_ACCOUNTS,
        containers: Containers | None = None,
    ) -> None:
        """`accounts`: whose the jobs' processes are; the agent must be root then.

        `containers`: in which images they may be; None: in none.
        """
        super().__init__(StateDirectory(state_directory.absolute(), free_bytes_min), RANKS_MAX)
        self._agent_environment = agent_environment
        self._site_environment = site_environment
        self._clock = clock
        self._accounts = accounts
        self._containers = containers
        self._watches: dict[str, tuple[FenceWatch, asyncio.Task[None]]] = {}
        self._marking: asyncio.Task[None] | None = None
        self._cgroups: Cgroups | None = None  # where runs can be limited

    async def open(self) -> None:
        await asyncio.to_thread(self._make)
        names = await self.list()
        await asyncio.to_thread(self._find_cgroups, names)
        for name in names:
            run = self._state.run(name)
            ended = run.exit()
            if ended is not None:
                await asyncio.to_thread(self._marker.mark_run, run)
                self._exits.put_nowait(ended)
            else:
                self._recall_port(run)
                self._follow(run, None)
        self._marking = asyncio.create_task(self._marker.keep(self._live))

    async def close(self) -> None:
        tasks = [task for _, task in self._watches.values()]
        await self._end([*tasks, self._marking] if self._marking is not None else tasks)

    async def renew(self, name: str, deadline: float) -> None:
        if name in self._watches:
            await asyncio.to_thread(self._write_lease, self._state.run(name), deadline)

    async def stop(self, name: str, reason: str) -> None:
        watched = self._watches.get(name)
        if watched is not None:
            try:
                await asyncio.to_thread(self._state.run(name).write_stop, reason)
            except OSError as error:  # a full disk; the signal alone ends it too
                _LOGGER.warning("the reason for stopping %s is not noted: %s", name, error)
            watched[0].wake()

    # --- starting ---------------------------------------------------------

    async def _start(self, order: RunOrder, deadline: float) -> None:
        port = self._take_port(order)
        try:
            run, child = await asyncio.to_thread(self._launch, order, deadline, port)
        except BaseException:
            del self._ports[order.name]
            raise
        await self._follow(run, child).wait_begun()

    def _launch(
        self, order: RunOrder, deadline: float, port: int
    ) -> tuple[RunDirectory, subprocess.Popen[bytes]]:
        run = self._lay_out(order, deadline, port)
        try:
            return run, _start_fence(run)
        except OSError as error:
            self._state.remove(run)
            raise BackendRefused(
                "LaunchFailed",
                f"the fence could not be started: {error}",
                "check memory and process limits of the agent's machine",
            ) from error

    def _lay_out(self, order: RunOrder, deadline: float, port: int) -> RunDirectory:
        limit = order.time_limit_seconds
        deadline_at = time.time() + limit if limit else 0.0
        account = self._accounts.of(order.tenant)
        agent = {**self._agent_environment, **(account.variables if account else {})}
        container = container_of(order, self._containers, self._state.path)
        surroundings = Surroundings(agent, self._site_environment, port, deadline_at, container)
        building = prepare_run(self._state, order, surroundings)
        self._confine(building, order, account)
        left = deadline - self._clock()
        return publish_run(self._state, building, order, left, account)

    def _confine(self, building: RunDirectory, order: RunOrder, account: Account | None) -> None:
        """Let its ranks be its account's, in a cgroup of their own where there can be one."""
        more: dict[str, Any] = {"account": account.for_fence} if account else {}
        try:
            if self._cgroups is not None:
                more["cgroup"] = str(self._cgroups.make(order))
            if more:
                new = building.path / "order.json.new"
                new.write_text(json.dumps({**building.order(), **more}), "utf-8")
                new.replace(building.path / "order.json")
        except OSError as error:
            if account is not None:
                message = f"the run could not be given to {account.name}: {error}"
                raise BackendRefused("Unavailable", message, "see the message") from error
            _LOGGER.warning("%s runs without limits: %s", order.name, error)

    def _make(self) -> None:
        self._state.make()
        if self._accounts:
            open_way(self._state.path)

    def _find_cgroups(self, names: tuple[str, ...]) -> None:
        try:
            self._cgroups = find_cgroups(self._state.path)
            self._cgroups.sweep(names)
        except NotAllowed:
            pass  # preflight says why
        except OSError as error:
            _LOGGER.warning("runs have no limits: %s", error)

    def _write_lease(self, run: RunDirectory, deadline: float) -> None:
        run.write_lease(deadline - self._clock())

    # --- watching ---------------------------------------------------------

    def _state_of(self, run: RunDirectory) -> RunState:
        return run.state()

    def _follow(self, run: RunDirectory, child: subprocess.Popen[bytes] | None) -> FenceWatch:
        watch = FenceWatch(run, child)
        task = asyncio.create_task(self._wait_exit(run, watch))
        self._watches[run.name] = (watch, task)
        return watch

    async def _wait_exit(self, run: RunDirectory, watch: FenceWatch) -> None:
        ended = None
        while ended is None:
            await watch.wait_gone()
            try:
                ended = await conclude(run)
            except (OSError, ValueError, KeyError) as error:
                _LOGGER.error("the end of %s cannot be recorded yet: %s", run.name, error)
                await asyncio.sleep(CONCLUDE_RETRY_SECONDS)
        await asyncio.to_thread(self._tidy, run)
        if self._cgroups is not None:
            self._cgroups.remove(run.name)
        self._ports.pop(run.name, None)
        del self._watches[run.name]
        self._exits.put_nowait(ended)

    def _live(self) -> tuple[RunDirectory, ...]:
        return tuple(self._state.run(name) for name in self._watches)


def _start_fence(run: RunDirectory) -> subprocess.Popen[bytes]:
    with run.fence_log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(FENCE), str(run.path)],
            cwd=run.path,
            env={"LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
