"""Runs as batch jobs of Slurm: laid out, submitted once, watched by their records.

A run's directory comes before its submission, and each part of it starts at most once, taken by
its fence or by us; so a submission whose answer was lost can be given up for good by taking
the parts that never began, and nothing is ever submitted twice. Slurm itself is asked once an
interval for all runs together, whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from agent.backends import (
    BackendRefused,
    Exit,
    Launch,
    LogPart,
    Reason,
    RunOrder,
    RunState,
    Stream,
    parse_run_name,
    run_name,
)
from agent.backends.marking import LogMarker, log_offset
from agent.backends.ports import pick_port
from agent.backends.prepare import FREE_BYTES_MIN, StateDirectory, prepare_run, publish_run
from agent.backends.process import FENCE, _read_log
from agent.backends.rundir import RunDirectory
from agent.backends.slurm import layout, node
from agent.backends.slurm.command import SlurmSettings, batch_script, sbatch_arguments
from agent.backends.slurm.verdict import (
    SLURM_SAYS,
    JobWord,
    is_open_to_doubt,
    judged,
    parse_words,
)
from agent.clock import lease_now
from agent.environment import Surroundings
from agent.probes.slurm_read import Slurm
from agent.probes.tools import ProbeFailed

QUERY_SECONDS = 30.0  # between two questions to Slurm
LOOK_SECONDS = 0.5  # between two looks at the nodes' questions and records …
REST = 20.0  # … or so many times what a look took: at most 5 % of a core
STOP_MARGIN_SECONDS = 30.0  # after a stop's grace Slurm is asked to kill
SUBMITS_MAX = 4  # calls of sbatch at a time
RANKS_MAX = 65_536  # of one run
WORDS_ARGUMENTS = ("squeue", "-h", "-a", "-t", "all", "-o", "%A|%T|%r|%j")
_NAME = re.compile(r"suan-[A-Za-z0-9][A-Za-z0-9_.-]{0,120}-[0-9]{1,19}")
_LOGGER = logging.getLogger(__name__)


class SlurmBackend:
    """See `agent.backends.Backend` for what each method promises.

    `state_directory` lies on a file system that agent and nodes share.
    """

    def __init__(
        self,
        state_directory: Path,
        agent_environment: Mapping[str, str],
        site_environment: Mapping[str, str],
        settings: SlurmSettings,
        slurm: Slurm,
        free_bytes_min: int = FREE_BYTES_MIN,
        query_seconds: float = QUERY_SECONDS,
        clock: Callable[[], float] = lease_now,
    ) -> None:
        self._state = StateDirectory(state_directory.absolute(), free_bytes_min)
        self._tools = self._state.path / "tools"
        self._asks = self._state.path / "asks"
        self._agent_environment = agent_environment
        self._site_environment = site_environment
        self._settings = settings
        self._slurm = slurm
        self._query_seconds = query_seconds
        self._clock = clock
        self._live: dict[str, float] = {}  # when each was submitted; a query before says nothing
        self._stops: dict[str, float] = {}  # when Slurm shall kill what does not end
        self._alive_until: dict[str, float] = {}  # a fence without an answer is dead by then
        self._ports: dict[str, int] = {}
        self._submits: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._sbatch = asyncio.Semaphore(SUBMITS_MAX)
        self._words: dict[str, JobWord] = {}
        self._words_at = float("-inf")  # when the last answered question was put
        self._exits: asyncio.Queue[Exit | None] = asyncio.Queue()
        self._marker = LogMarker()
        self._judging = asyncio.Lock()  # each end is told once

    async def open(self) -> None:
        await asyncio.to_thread(self._make)
        for name in await self.list():
            run = self._state.run(name)
            ended = run.exit()
            if ended is not None:
                self._exits.put_nowait(ended)
                continue
            with contextlib.suppress(OSError, ValueError, KeyError):
                self._ports[name] = run.order()["master_port"]
            self._live[name] = self._clock()
            if run.wish_to_stop():
                self._stops[name] = self._clock() + STOP_MARGIN_SECONDS
            lease = layout.lease_of(run)
            self._alive_until[name] = self._clock() + (layout.seconds_of(*lease) if lease else 0.0)
        self._tasks = [
            asyncio.create_task(self._again("looking at the runs", self._look, LOOK_SECONDS)),
            asyncio.create_task(self._again("asking Slurm", self._query, self._query_seconds)),
            asyncio.create_task(self._marker.keep(self._live_runs)),
        ]

    async def close(self) -> None:
        tasks = [*self._submits.values(), *self._tasks]
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
        await asyncio.shield(task)

    async def find(self, name: str) -> RunState | None:
        if (submitting := self._submits.get(name)) is not None:
            await asyncio.wait({submitting})
        run = self._run(name)
        return await asyncio.to_thread(layout.state_of, run) if run is not None else None

    async def list(self) -> tuple[str, ...]:
        return tuple(sorted(path.name for path in self._state.runs.glob("suan-*")))

    async def renew(self, name: str, deadline: float) -> None:
        if name in self._live:
            run, left = self._state.run(name), deadline - self._clock()
            await asyncio.to_thread(run.write_lease, left)

    async def stop(self, name: str, reason: str) -> None:
        if name not in self._live:
            return
        run = self._state.run(name)
        await asyncio.to_thread(layout.write_stop, run, reason)
        # What never began never will; the next answer of Slurm takes it out of the queue.
        await asyncio.to_thread(layout.close_parts, run, Reason.STOPPED, reason)
        grace = float((await asyncio.to_thread(run.order))["grace_seconds"])
        self._stops.setdefault(name, self._clock() + grace + STOP_MARGIN_SECONDS)

    async def exits(self) -> AsyncIterator[Exit]:
        while (ended := await self._exits.get()) is not None:
            yield ended

    async def read_log(
        self, name: str, rank: int, stream: Stream, offset: int, limit_bytes: int
    ) -> LogPart:
        run = self._known(name)
        return await asyncio.to_thread(_read_log, run, rank, stream, offset, limit_bytes)

    async def log_offset(self, name: str, rank: int, stream: Stream, since: float) -> int:
        return await asyncio.to_thread(log_offset, self._known(name), rank, stream, since)

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
        run = self._state.run(order.name)
        arguments = sbatch_arguments(order, run, self._settings)
        script = batch_script(order, self._state.path, self._tools, self._settings)
        port = pick_port(order.name, order.nodes[0].address, self._ports.values())
        self._ports[order.name] = port
        try:
            await asyncio.to_thread(self._lay_out, order, deadline, port)
        except BaseException:
            del self._ports[order.name]
            raise
        self._live[order.name] = float("inf")  # until it is with Slurm, nobody judges it
        try:
            async with self._sbatch:
                said = await self._slurm.call("sbatch", *arguments, text=script.encode())
            await asyncio.to_thread(layout.note_job_id, run, said.strip().partition(";")[0])
        except ProbeFailed as failed:
            if failed.code == "ToolTimedOut":
                raise  # it may have been accepted: Slurm will say so
            # What failed may have been accepted all the same: so first nothing can begin.
            if await asyncio.to_thread(
                layout.close_parts, run, Reason.LAUNCH_FAILED, failed.message
            ):
                self._drop(order.name)
                await asyncio.to_thread(self._state.remove, run)
                raise _refused(failed) from failed
        finally:
            if order.name in self._live:
                self._live[order.name] = self._clock()

    def _lay_out(self, order: RunOrder, deadline: float, port: int) -> None:
        limit = order.time_limit_seconds
        deadline_at = time.time() + limit if limit else 0.0
        surroundings = Surroundings(
            self._agent_environment, self._site_environment, port, deadline_at
        )
        building = prepare_run(self._state, order, surroundings)
        layout.split_order(building, order)
        publish_run(self._state, building, order, deadline - self._clock())

    # --- watching ---------------------------------------------------------

    async def _again(
        self, what: str, work: Callable[[], Awaitable[None]], pause_seconds: float
    ) -> None:
        failing = False
        while True:
            began = self._clock()
            try:
                await work()
                failing = False
            except (OSError, ValueError, KeyError, ProbeFailed) as error:
                if not failing:
                    _LOGGER.error("%s failed, and will be tried again: %s", what, error)
                failing = True
            took = self._clock() - began
            await asyncio.sleep(max(pause_seconds, REST * took))

    async def _look(self) -> None:
        """Answer the nodes, and take in the records of those that ended."""
        answered = await asyncio.to_thread(layout.answer_asks, self._asks, self._state.runs)
        for name, seconds in answered.items():
            self._alive_until[name] = self._clock() + seconds
        for name in tuple(self._live):
            async with self._judging:
                await self._take_in(name)

    async def _take_in(self, name: str) -> None:
        if name not in self._live:
            return
        run = self._state.run(name)
        ended = await asyncio.to_thread(layout.merged_exit, run)
        if ended is None:
            return
        wish = run.wish_to_stop()
        if wish or not is_open_to_doubt(ended) or self._is_over(name):
            await self._conclude(run, judged(ended, self._words.get(name), wish))

    async def _query(self) -> None:
        """Ask Slurm about all its jobs; judge those whose fences cannot speak any more."""
        if not self._live and not self._stops:
            return
        asked_at = self._clock()
        words = parse_words(await self._slurm.call(*WORDS_ARGUMENTS))
        self._words = {name: word for name, word in words.items() if _NAME.fullmatch(name)}
        self._words_at = asked_at
        for name in tuple(self._live):
            async with self._judging:
                if name in self._live and self._is_over(name):
                    await self._bury(name, self._words.get(name))
        await self._cancel()

    def _is_over(self, name: str) -> bool:
        """Whether Slurm, asked after it was submitted, says that nothing of it lives."""
        if self._words_at <= self._live[name]:
            return False
        word = self._words.get(name)
        return word is None or word.is_over

    async def _bury(self, name: str, word: JobWord | None) -> None:
        """Slurm has nothing of it: end the parts that never began, and tell how the rest ended.

        Of a node that Slurm lost, or a job that it forgot, something may live: it is told to
        end, gets no more lease, and is taken for dead when its last one is over.
        """
        run = self._state.run(name)
        detail = f"{SLURM_SAYS}{word.state}: {word.reason}" if word else f"{SLURM_SAYS}nothing"
        if not await asyncio.to_thread(layout.close_parts, run, Reason.LAUNCH_FAILED, detail):
            if word is None or not word.is_proof:
                await asyncio.to_thread(layout.give_up, run, detail)
                if self._clock() < self._alive_until.get(name, 0.0):
                    return
            await asyncio.to_thread(layout.close_killed, run, detail)
        ended = await asyncio.to_thread(layout.merged_exit, run)
        if ended is not None:
            await self._conclude(run, judged(ended, word, run.wish_to_stop()))

    async def _cancel(self) -> None:
        """Let Slurm end what did not end when it was stopped, and drop what waits in vain."""
        now = self._clock()
        self._stops = {
            name: at
            for name, at in self._stops.items()
            if (word := self._words.get(name)) is not None and not word.is_over
        }
        numbers = [
            word.id
            for name, word in self._words.items()
            if self._stops.get(name, now + 1) <= now
            or (word.state == "PENDING" and self._state.run(name).exit() is not None)
        ]
        if numbers:
            await self._slurm.call("scancel", *numbers)

    async def _conclude(self, run: RunDirectory, ended: Exit) -> None:
        await asyncio.to_thread(layout.write_exit, run, ended)
        await asyncio.to_thread(self._tidy, run)
        self._drop(run.name)
        self._exits.put_nowait(ended)

    def _drop(self, name: str) -> None:
        self._live.pop(name, None)
        self._ports.pop(name, None)
        self._alive_until.pop(name, None)

    def _tidy(self, run: RunDirectory) -> None:
        self._marker.mark_run(run)
        shutil.rmtree(run.scratch, ignore_errors=True)

    def _make(self) -> None:
        self._state.make()
        self._asks.mkdir(mode=0o700, exist_ok=True)
        layout.carry_tools(self._tools, FENCE, Path(node.__file__))

    def _live_runs(self) -> tuple[RunDirectory, ...]:
        return tuple(self._state.run(name) for name in self._live)

    def _run(self, name: str) -> RunDirectory | None:
        if not _NAME.fullmatch(name):
            return None
        run = self._state.run(name)
        return run if run.path.is_dir() else None

    def _known(self, name: str) -> RunDirectory:
        run = self._run(name)
        if run is None:
            raise KeyError(name)
        return run

    def _remove(self, run: RunDirectory, ended: Exit) -> None:
        """A job that succeeded needs no checkpoint again; what it put out stays."""
        if ended.succeeded:
            job, _ = parse_run_name(run.name)
            shutil.rmtree(self._state.checkpoint(job), ignore_errors=True)
        self._state.remove(run)


def _check(order: RunOrder) -> None:
    if not _NAME.fullmatch(order.name) or order.name != run_name(order.job_id, order.epoch):
        raise BackendRefused("BadName", f"{order.name!r} is not suan-<job>-<epoch> of this order")
    ranks = len(order.nodes) * (order.cards_per_node if order.launch is Launch.PER_CARD else 1)
    if not 1 <= ranks <= RANKS_MAX:
        raise BackendRefused(
            "BadShape", f"the gang has {ranks} processes; 1 to {RANKS_MAX} are started"
        )


def _refused(failed: ProbeFailed) -> BackendRefused:
    code = "Unavailable" if "contact slurm" in failed.message.lower() else "LaunchFailed"
    return BackendRefused(code, f"sbatch: {failed.message}", failed.hint)
