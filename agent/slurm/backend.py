"""Runs as batch jobs of Slurm: laid out, submitted once, watched by their records.

A run's directory comes before its submission, and each part of it starts at most once, taken by
its fence or by us; so a submission whose answer was lost can be given up for good by taking
the parts that never began, and nothing is ever submitted twice. `watch` tells how they end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent import fence
from agent.backends import BackendRefused, Exit, Reason, RunOrder, RunState
from agent.backends.filed import FiledRuns
from agent.backends.prepare import FREE_BYTES_MIN, StateDirectory, prepare_run, publish_run
from agent.backends.rundir import RunDirectory
from agent.clock import lease_now
from agent.environment import Surroundings
from agent.probes.tools import ProbeFailed
from agent.slurm import layout, node
from agent.slurm.command import SlurmSettings, batch_script, sbatch_arguments
from agent.slurm.poll import SlurmPoll
from agent.slurm.watch import SlurmWatch

SUBMITS_MAX = 4  # calls of sbatch at a time
RANKS_MAX = 65_536  # of one run
WAIT_SECONDS_MAX = 600.0  # in Slurm's queue, before the broker gets it back


class SlurmBackend(FiledRuns):
    """See `agent.backends.Backend` for what each method promises.

    `state_directory` lies on a file system that agent and nodes share; `settings` gives the
    site's rules as they were read last.
    """

    def __init__(
        self,
        state_directory: Path,
        agent_environment: Mapping[str, str],
        site_environment: Mapping[str, str],
        settings: Callable[[], SlurmSettings],
        poll: SlurmPoll,
        free_bytes_min: int = FREE_BYTES_MIN,
        wait_seconds_max: float = WAIT_SECONDS_MAX,
        clock: Callable[[], float] = lease_now,
    ) -> None:
        super().__init__(StateDirectory(state_directory.absolute(), free_bytes_min), RANKS_MAX)
        self._tools = self._state.path / "tools"
        self._asks = self._state.path / "asks"
        self._agent_environment = agent_environment
        self._site_environment = site_environment
        self._settings = settings
        self._slurm = poll.slurm
        self._clock = clock
        self._watch = SlurmWatch(
            self._state, self._asks, poll, clock, wait_seconds_max, self._take_end
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._sbatch = asyncio.Semaphore(SUBMITS_MAX)

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
        # What never began never will; the next answer of Slurm takes it out of the queue.
        await asyncio.to_thread(layout.close_parts, run, Reason.STOPPED, reason)
        order = await asyncio.to_thread(run.order)
        self._watch.stop_within(name, float(order["grace_seconds"]))

    # --- starting ---------------------------------------------------------

    async def _start(self, order: RunOrder, deadline: float) -> None:
        run, settings = self._state.run(order.name), self._settings()
        arguments = sbatch_arguments(order, run, settings)
        script = batch_script(order, self._state.path, self._tools, settings)
        port = self._take_port(order)
        try:
            await asyncio.to_thread(self._lay_out, order, deadline, port)
        except BaseException:
            del self._ports[order.name]
            raise
        self._watch.submitting(order.name)
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
                self._watch.drop(order.name)
                self._ports.pop(order.name, None)
                await asyncio.to_thread(self._state.remove, run)
                raise _refused(failed) from failed
        finally:
            self._watch.submitted(order.name)

    def _lay_out(self, order: RunOrder, deadline: float, port: int) -> None:
        limit = order.time_limit_seconds
        deadline_at = time.time() + limit if limit else 0.0
        surroundings = Surroundings(
            self._agent_environment, self._site_environment, port, deadline_at
        )
        building = prepare_run(self._state, order, surroundings)
        layout.split_order(building, order)
        publish_run(self._state, building, order, deadline - self._clock())

    def _make(self) -> None:
        self._state.make()
        self._asks.mkdir(mode=0o700, exist_ok=True)
        layout.carry_tools(self._tools, Path(fence.__file__), Path(node.__file__))

    # --- watching ---------------------------------------------------------

    def _state_of(self, run: RunDirectory) -> RunState:
        return layout.state_of(run)

    async def _take_end(self, run: RunDirectory, ended: Exit) -> None:
        await asyncio.to_thread(self._tidy, run)
        self._ports.pop(run.name, None)
        self._exits.put_nowait(ended)


def _refused(failed: ProbeFailed) -> BackendRefused:
    code = "Unavailable" if "contact slurm" in failed.message.lower() else "LaunchFailed"
    return BackendRefused(code, f"sbatch: {failed.message}", failed.hint)
