"""The process backend: gangs as real processes on the agent's own machine.

Each run has a directory under the state directory and a fence that starts its ranks and
outlives the agent. This module builds the directory, starts the fence, and afterwards only
watches: after a restart it finds its runs by their directories and goes on watching.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from agent.backends import (
    BackendRefused,
    Exit,
    Launch,
    LogPart,
    Phase,
    RunOrder,
    RunState,
    Stream,
    parse_run_name,
    run_name,
)
from agent.backends.conclude import conclude
from agent.backends.marking import LogMarker, log_offset
from agent.backends.ports import pick_port
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
LOG_BYTES_MAX = 4 * 1024 * 1024  # per call of read_log
CONCLUDE_RETRY_SECONDS = 5.0  # while the disk is full, for one
RANKS_MAX = 1024  # of one run: they are real processes on one machine
_NAME = re.compile(r"suan-[A-Za-z0-9][A-Za-z0-9_.-]{0,120}-[0-9]{1,19}")
_LOGGER = logging.getLogger(__name__)


class ProcessBackend:
    """See `agent.backends.Backend` for what each method promises."""

    def __init__(
        self,
        state_directory: Path,
        agent_environment: Mapping[str, str],
        site_environment: Mapping[str, str],
        free_bytes_min: int = FREE_BYTES_MIN,
        clock: Callable[[], float] = lease_now,
    ) -> None:
        self._state = StateDirectory(state_directory.absolute(), free_bytes_min)
        self._agent_environment = agent_environment
        self._site_environment = site_environment
        self._clock = clock
        self._ports: dict[str, int] = {}  # of live runs, by name
        self._submits: dict[str, asyncio.Task[None]] = {}
        self._watches: dict[str, tuple[FenceWatch, asyncio.Task[None]]] = {}
        self._exits: asyncio.Queue[Exit | None] = asyncio.Queue()
        self._marker = LogMarker()
        self._marking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await asyncio.to_thread(self._state.make)
        for name in await self.list():
            run = self._state.run(name)
            ended = run.exit()
            if ended is not None:
                await asyncio.to_thread(self._marker.mark_run, run)
                self._exits.put_nowait(ended)
            else:
                with contextlib.suppress(OSError, ValueError, KeyError):
                    self._ports[name] = run.order()["master_port"]
                self._follow(run, None)
        self._marking = asyncio.create_task(self._marker.keep(self._live))

    async def close(self) -> None:
        tasks = [*self._submits.values(), *(task for _, task in self._watches.values())]
        tasks += [self._marking] if self._marking is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._exits.put_nowait(None)

    async def submit(self, order: RunOrder, deadline: float) -> None:
        _check(order)
        task = self._submits.get(order.name)
        if task is None:
            if self._state.run(order.name).path.exists():
                return
            task = asyncio.create_task(self._start(order, deadline))
            self._submits[order.name] = task
            task.add_done_callback(lambda done: self._submitted(order.name, done))
        # A caller that gives up leaves nothing half started.
        await asyncio.shield(task)

    async def find(self, name: str) -> RunState | None:
        if (submitting := self._submits.get(name)) is not None:
            await asyncio.wait({submitting})
        run = self._run(name)
        return run.state() if run is not None else None

    async def list(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self._state.runs.glob("suan-*")))

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

    async def exits(self) -> AsyncIterator[Exit]:
        while (ended := await self._exits.get()) is not None:
            yield ended

    async def read_log(
        self, name: str, rank: int, stream: Stream, offset: int, limit_bytes: int
    ) -> LogPart:
        run = self._run(name)
        if run is None:
            raise KeyError(name)
        return await asyncio.to_thread(_read_log, run, rank, stream, offset, limit_bytes)

    async def log_offset(self, name: str, rank: int, stream: Stream, since: float) -> int:
        run = self._run(name)
        if run is None:
            raise KeyError(name)
        return await asyncio.to_thread(log_offset, run, rank, stream, since)

    async def forget(self, name: str) -> None:
        run = self._run(name)
        if run is None:
            return
        ended = run.exit()
        if ended is None:
            raise ValueError(f"{name} has not ended")
        await asyncio.to_thread(self._remove, run, ended)

    # --- starting ---------------------------------------------------------

    def _submitted(self, name: str, task: asyncio.Task[None]) -> None:
        self._submits.pop(name, None)
        if not task.cancelled():
            task.exception()  # seen, although the caller may have gone

    async def _start(self, order: RunOrder, deadline: float) -> None:
        port = pick_port(order.name, order.nodes[0].address, self._ports.values())
        self._ports[order.name] = port
        try:
            run, child = await asyncio.to_thread(self._launch, order, deadline, port)
        except BaseException:
            del self._ports[order.name]
            raise
        await self._follow(run, child).wait_begun()

    def _launch(
        self, order: RunOrder, deadline: float, port: int
    ) -> tuple[RunDirectory, subprocess.Popen[bytes]]:
        limit = order.time_limit_seconds
        deadline_at = time.time() + limit if limit else 0.0
        surroundings = Surroundings(
            self._agent_environment, self._site_environment, port, deadline_at
        )
        building = prepare_run(self._state, order, surroundings)
        run = publish_run(self._state, building, order, deadline - self._clock())
        try:
            return run, _start_fence(run)
        except OSError as error:
            self._state.remove(run)
            raise BackendRefused(
                "LaunchFailed",
                f"the fence could not be started: {error}",
                "check memory and process limits of the agent's machine",
            ) from error

    def _write_lease(self, run: RunDirectory, deadline: float) -> None:
        run.write_lease(deadline - self._clock())

    # --- watching ---------------------------------------------------------

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
        self._ports.pop(run.name, None)
        del self._watches[run.name]
        self._exits.put_nowait(ended)

    def _tidy(self, run: RunDirectory) -> None:
        self._marker.mark_run(run)  # nothing is written any more
        shutil.rmtree(run.scratch, ignore_errors=True)

    def _live(self) -> tuple[RunDirectory, ...]:
        return tuple(self._state.run(name) for name in self._watches)

    def _run(self, name: str) -> RunDirectory | None:
        if not _NAME.fullmatch(name):
            return None
        run = self._state.run(name)
        return run if run.path.is_dir() else None

    def _remove(self, run: RunDirectory, ended: Exit) -> None:
        """A job that succeeded needs no checkpoint again; what it put out stays."""
        if ended.succeeded:
            job_id, _ = parse_run_name(run.name)
            shutil.rmtree(self._state.checkpoint(job_id), ignore_errors=True)
        self._state.remove(run)


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


def _check(order: RunOrder) -> None:
    if not _NAME.fullmatch(order.name) or order.name != run_name(order.job_id, order.epoch):
        raise BackendRefused("BadName", f"{order.name!r} is not suan-<job>-<epoch> of this order")
    ranks = len(order.nodes) * (order.cards_per_node if order.launch is Launch.PER_CARD else 1)
    if not 1 <= ranks <= RANKS_MAX:
        raise BackendRefused(
            "BadShape",
            f"the gang has {ranks} processes; this machine starts 1 to {RANKS_MAX}",
            "use fewer nodes, or one process per node",
        )


def _read_log(
    run: RunDirectory, rank: int, stream: Stream, offset: int, limit_bytes: int
) -> LogPart:
    # Looked at before the file: nothing is written after the exit record.
    ended = run.state().phase is Phase.EXITED
    try:
        with run.log(rank, stream).open("rb") as file:
            file.seek(offset)
            data = file.read(min(limit_bytes, LOG_BYTES_MAX))
            at_end = ended and not file.read(1)
    except FileNotFoundError:
        if not 0 <= rank < len(run.order()["phases"][-1]):
            raise KeyError(f"{run.name} has no rank {rank}") from None
        data, at_end = b"", ended
    return LogPart(data, offset + len(data), at_end)
