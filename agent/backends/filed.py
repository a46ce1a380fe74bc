"""Runs that are directories: what every backend does alike that keeps its runs so.

Submits each name once, finds, lists, shows logs and forgets. How a run is started and watched
is for the backend that builds on this; of cluster managers nothing is known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from agent.backends import (
    BackendRefused,
    Exit,
    Launch,
    LogPart,
    Phase,
    RankPlace,
    RunOrder,
    RunState,
    Stream,
    parse_run_name,
    run_name,
)
from agent.backends.marking import LogMarker, log_offset
from agent.backends.ports import pick_port
from agent.backends.prepare import StateDirectory
from agent.backends.rundir import RunDirectory

LOG_BYTES_MAX = 4 * 1024 * 1024  # per call of read_log
_NAME = re.compile(r"suan-[A-Za-z0-9][A-Za-z0-9_.-]{0,120}-[0-9]{1,19}")


def is_run_name(name: str) -> bool:
    """Whether a run of ours may be called so: it is safe as a name of a file, too."""
    return _NAME.fullmatch(name) is not None


class FiledRuns(ABC):
    """See `agent.backends.Backend` for what each public method promises."""

    def __init__(self, state: StateDirectory, ranks_max: int) -> None:
        """`ranks_max`: processes of one run."""
        self._state = state
        self._ranks_max = ranks_max
        self._ports: dict[str, int] = {}  # of live runs, by name
        self._roots: dict[str, Mapping[str, str]] = {}  # of runs that were looked into
        self._submits: dict[str, asyncio.Task[None]] = {}
        self._exits: asyncio.Queue[Exit | None] = asyncio.Queue()
        self._marker = LogMarker()

    @abstractmethod
    async def _start(self, order: RunOrder, deadline: float) -> None:
        """Start a run of which nothing is there yet, as `Backend.submit` promises."""

    @abstractmethod
    def _state_of(self, run: RunDirectory) -> RunState:
        """Where a run is in its life, by its files."""

    async def submit(self, order: RunOrder, deadline: float) -> None:
        self._check(order)
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
        return await asyncio.to_thread(self._state_of, run) if run is not None else None

    async def list(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self._state.runs.glob("suan-*")))

    async def exits(self) -> AsyncIterator[Exit]:
        while (ended := await self._exits.get()) is not None:
            yield ended

    async def read_log(
        self, name: str, rank: int, stream: Stream, offset: int, limit_bytes: int
    ) -> LogPart:
        run = self._known(name)
        return await asyncio.to_thread(_read_log, run, rank, stream, offset, limit_bytes)

    async def log_sizes(self, name: str) -> Mapping[tuple[int, Stream], int]:
        return await asyncio.to_thread(self._known(name).log_sizes)

    async def log_offset(self, name: str, rank: int, stream: Stream, since: float) -> int:
        return await asyncio.to_thread(log_offset, self._known(name), rank, stream, since)

    async def roots(self, name: str) -> Mapping[str, str]:
        found = self._roots.get(name)
        if found is None:
            found = await asyncio.to_thread(self._state.roots, name) if is_run_name(name) else {}
            if self._run(name) is not None:  # until it is forgotten it keeps them
                self._roots[name] = found
        if not found:
            raise KeyError(name)
        return found

    async def beside(self, name: str, rank: int) -> RankPlace:
        return await asyncio.to_thread(self._beside, self._known(name), rank)

    async def forget(self, name: str) -> None:
        self._roots.pop(name, None)
        run = self._run(name)
        if run is None:
            return
        ended = run.exit()
        if ended is None:
            raise ValueError(f"{name} has not ended")
        await asyncio.to_thread(self._remove, run, ended)

    # --- for those who build on it ------------------------------------------

    def _run(self, name: str) -> RunDirectory | None:
        if not is_run_name(name):
            return None
        run = self._state.run(name)
        return run if run.path.is_dir() else None

    def _take_port(self, order: RunOrder) -> int:
        """The gang's rendezvous port, its own until it is dropped from `_ports`."""
        port = pick_port(order.name, order.nodes[0].address, self._ports.values())
        self._ports[order.name] = port
        return port

    def _recall_port(self, run: RunDirectory) -> None:
        """Of a run that was found again."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            self._ports[run.name] = run.order()["master_port"]

    def _tidy(self, run: RunDirectory) -> None:
        """After its end, when nothing is written any more."""
        self._marker.mark_run(run)
        shutil.rmtree(run.scratch, ignore_errors=True)

    async def _end(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Stop watching: these tasks, what is being submitted, and `exits`."""
        ending = [*self._submits.values(), *tasks]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._exits.put_nowait(None)

    def _parts(self, run: RunDirectory) -> tuple[RunDirectory, ...]:
        """What of a run each of its fences has."""
        return (run,)

    # --- inside -----------------------------------------------------------------

    def _beside(self, run: RunDirectory, rank: int) -> RankPlace:
        if self._state_of(run).phase is Phase.EXITED:
            raise KeyError(run.name)
        parts, count = self._parts(run), len(run.order()["phases"][-1])
        if not 0 <= rank < count:
            raise BackendRefused("NoSuchRank", f"the job has ranks 0 to {count - 1}")
        part, index = divmod(rank, count // len(parts))
        pid = run.fence_pid() if parts == (run,) else 0
        return RankPlace(str(parts[part].path), index, pid)

    def _check(self, order: RunOrder) -> None:
        if not is_run_name(order.name) or order.name != run_name(order.job_id, order.epoch):
            message = f"{order.name!r} is not suan-<job>-<epoch> of this order"
            raise BackendRefused("BadName", message)
        ranks = len(order.nodes) * (order.cards_per_node if order.launch is Launch.PER_CARD else 1)
        if not 1 <= ranks <= self._ranks_max:
            raise BackendRefused(
                "BadShape",
                f"the gang has {ranks} processes; this site starts 1 to {self._ranks_max}",
                "use fewer nodes, or one process per node",
            )

    def _submitted(self, name: str, task: asyncio.Task[None]) -> None:
        self._submits.pop(name, None)
        if not task.cancelled():
            task.exception()  # seen, although the caller may have gone

    def _known(self, name: str) -> RunDirectory:
        run = self._run(name)
        if run is None:
            raise KeyError(name)
        return run

    def _remove(self, run: RunDirectory, ended: Exit) -> None:
        """A job that succeeded needs no checkpoint again; what it put out stays."""
        if ended.succeeded:
            job_id, _ = parse_run_name(run.name)
            shutil.rmtree(self._state.checkpoint(job_id), ignore_errors=True)
        self._state.remove(run)


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
