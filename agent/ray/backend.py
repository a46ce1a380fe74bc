"""Runs as submissions to a Ray's job server, each under the run's own name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.backends import BackendRefused, RunOrder
from agent.backends.layout import write_durably
from agent.backends.prepare import FREE_BYTES_MIN
from agent.backends.queued import WAIT_SECONDS_MAX, QueuedRuns, QueuedSettings
from agent.backends.rundir import RunDirectory
from agent.clock import lease_now
from agent.probes.tools import ProbeFailed
from agent.ray import driver
from agent.ray.command import PLAN_FILE, STATE, RaySettings, Submission, submission
from agent.ray.poll import RayPoll
from agent.ray.read import RayView
from agent.ray.verdict import RayWord, words_of

DELETES_MAX = 64  # of submissions whose runs are forgotten, after one question


class RayBackend(QueuedRuns[Submission]):
    """See `agent.backends.Backend` for what each method promises.

    `state_directory` lies on a file system that agent and nodes share; `settings` gives the
    site's rules as they were read last. A run's directory has `ray.json` more, for its driver.
    """

    def __init__(
        self,
        state_directory: Path,
        agent_environment: Mapping[str, str],
        site_environment: Mapping[str, str],
        settings: Callable[[], RaySettings],
        poll: RayPoll,
        free_bytes_min: int = FREE_BYTES_MIN,
        wait_seconds_max: float = WAIT_SECONDS_MAX,
        clock: Callable[[], float] = lease_now,
    ) -> None:
        queued = QueuedSettings(
            agent_environment, site_environment, free_bytes_min, wait_seconds_max, clock
        )
        manager = RayManager(poll, state_directory.absolute())
        super().__init__(state_directory, queued, manager, (Path(driver.__file__),))
        self._settings = settings
        self._ray = poll.ray
        self._wait_seconds_max = wait_seconds_max

    def _asked(self, order: RunOrder) -> Submission:
        path, settings = self._state.path, self._settings()
        return submission(order, path, self._tools, settings, self._wait_seconds_max)

    async def _put(self, run: RunDirectory, asked: Submission) -> None:
        await asyncio.to_thread(write_durably, run.path / PLAN_FILE, dict(asked.plan))
        await self._ray.submit(asked.request)

    def _refused(self, failed: ProbeFailed) -> BackendRefused:
        code = "Unavailable" if failed.code == "ToolMissing" else "LaunchFailed"
        return BackendRefused(code, failed.message, failed.hint)


class RayManager:
    """See `agent.backends.judge.Manager`."""

    name = "Ray"

    def __init__(self, poll: RayPoll, state: Path) -> None:
        self._poll = poll
        self._state = state

    async def words(self, after: float) -> tuple[float, Mapping[str, RayWord]]:
        """Takes away, too, what Ray still keeps of runs that are over and forgotten here."""
        answer = await self._poll.answer(after)
        forgotten = await asyncio.to_thread(self._forgotten, answer.view)
        for name in forgotten[:DELETES_MAX]:
            with contextlib.suppress(ProbeFailed):
                await self._poll.ray.delete(name)
        return answer.asked_at, words_of(answer.view.jobs)

    async def cancel(self, words: Sequence[RayWord]) -> None:
        for word in words:
            if not word.is_over:
                await self._poll.ray.stop(word.job.name)

    def _forgotten(self, view: RayView) -> list[str]:
        """But those that what Ray measured still counts: see `agent.ray.usage`."""
        own = str(self._state)
        return [
            job.name
            for job in view.jobs
            if job.metadata.get(STATE) == own
            and job.is_over
            and job.ended_at < view.usage.measured_at
            and not (self._state / "runs" / job.name).exists()
        ]
