"""Runs as batch jobs of Slurm: each a submission of one job, with one step on its nodes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.backends import BackendRefused, RunOrder
from agent.backends.container import Containers
from agent.backends.prepare import FREE_BYTES_MIN
from agent.backends.queued import WAIT_SECONDS_MAX, QueuedRuns, QueuedSettings
from agent.backends.rundir import RunDirectory
from agent.clock import lease_now
from agent.probes.tools import ProbeFailed
from agent.slurm.command import SlurmSettings, batch_script, sbatch_arguments
from agent.slurm.poll import SlurmPoll
from agent.slurm.verdict import SlurmWord, words_of

Submission = tuple[list[str], str]  # the options of sbatch, and the script


class SlurmBackend(QueuedRuns[Submission]):
    """See `agent.backends.Backend` for what each method promises.

    `state_directory` lies on a file system that agent and nodes share; `settings` gives the
    site's rules as they were read last. A run's directory has two files more:

        slurm.json  the number of Slurm's job, once there is one
        slurm.log   what Slurm and srun say
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
        containers: Containers | None = None,
    ) -> None:
        queued = QueuedSettings(
            agent_environment,
            site_environment,
            free_bytes_min,
            wait_seconds_max,
            clock,
            settings().users,
            containers,
        )
        super().__init__(state_directory, queued, SlurmManager(poll))
        self._settings = settings
        self._slurm = poll.slurm

    def _asked(self, order: RunOrder) -> Submission:
        settings = self._settings()
        arguments = sbatch_arguments(order, self._state.run(order.name), settings)
        return arguments, batch_script(order, self._state.path, self._tools, settings)

    async def _put(self, run: RunDirectory, asked: Submission) -> None:
        arguments, script = asked
        said = await self._slurm.call("sbatch", *arguments, text=script.encode())
        await asyncio.to_thread(_note_job_id, run, said.strip().partition(";")[0])

    def _refused(self, failed: ProbeFailed) -> BackendRefused:
        code = "Unavailable" if "contact slurm" in failed.message.lower() else "LaunchFailed"
        return BackendRefused(code, f"sbatch: {failed.message}", failed.hint)


class SlurmManager:
    """See `agent.backends.judge.Manager`."""

    name = "Slurm"

    def __init__(self, poll: SlurmPoll) -> None:
        self._poll = poll

    async def words(self, after: float) -> tuple[float, Mapping[str, SlurmWord]]:
        answer = await self._poll.answer(after)
        return answer.asked_at, words_of(answer.view.jobs)

    async def cancel(self, words: Sequence[SlurmWord]) -> None:
        await self._poll.slurm.call("scancel", *(str(word.job.id) for word in words))


def _note_job_id(run: RunDirectory, number: str) -> None:
    """For people who look for it; we ask Slurm by the run's name."""
    (run.path / "slurm.json").write_text(json.dumps({"job_id": number}), "utf-8")
