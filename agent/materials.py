"""What a run needs before it can be submitted: the user's files, and data to read.

Joins bundles and staging. Each run's data lies in a directory of its own, which goes when
the run has ended; the data itself is never touched. Knows launches and files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

from agent.backends import RunOrder
from agent.backends.prepare import StateDirectory
from agent.bundles import BundleFailed, Bundles
from agent.publishing.restore import has_as_new, restore
from agent.staging import Staging, StagingRefused
from agent.staging.refusals import disk_refusal
from agent.supervisor.messages import Launch
from agent.supervisor.values import Commit, Failure
from suan.models import Input

RESTORE_FAILED = "RestoreFailed"

log = logging.getLogger(__name__)


class MaterialsMissing(Exception):
    """The run cannot begin; `failure` says what it lacks."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Materials:
    """The bundles and the data of this site's runs."""

    def __init__(
        self, bundles: Bundles, staging: Staging, directory: Path, places: StateDirectory
    ) -> None:
        """`directory`: where each run's data directory is made, named as the run. `places`:
        where the backend keeps what jobs write."""
        self._bundles = bundles
        self._staging = staging
        self._directory = directory
        self._places = places
        self._staged: set[str] = set()  # runs with a data directory
        self.progress: dict[str, tuple[int, int]] = {}  # of runs whose data come: bytes done, all

    @contextlib.asynccontextmanager
    async def ready(self, launch: Launch) -> AsyncIterator[RunOrder]:
        """The order with all in place; may be cancelled. Raises MaterialsMissing."""
        order = launch.order
        async with contextlib.AsyncExitStack() as lent:
            try:
                if launch.bundle_sha256:
                    path = await lent.enter_async_context(self._bundles.lend(launch.bundle_sha256))
                    order = replace(order, bundle_path=str(path))
                if launch.restore is not None:
                    await self._restore(launch, launch.restore)
                if launch.inputs:
                    order = replace(order, data_directory=str(await self._stage(launch)))
            except BundleFailed as error:
                raise MaterialsMissing(error.failure) from error
            except StagingRefused as error:
                failure = Failure(error.category.value, error.code, str(error))
                raise MaterialsMissing(failure) from error
            yield order

    def held_by(self, name: str) -> bool:
        """Whether the run of that name has a data directory."""
        return name in self._staged

    async def release(self, name: str) -> None:
        """The run of that name needs its data no more. A failure is told and borne."""
        if name not in self._staged:
            return
        try:
            await self._staging.release(self._directory / name)
            self._staged.discard(name)
        except StagingRefused as error:
            log.error("the data directory of %s is not removed: %s", name, error)

    async def keep_only(self, live: Iterable[str]) -> None:
        """After a restart: remove the data directories of runs that are no more."""
        kept = set(live)
        if self._directory.is_dir():
            self._staged = {path.name for path in self._directory.iterdir()}
        for name in sorted(self._staged - kept):
            await self.release(name)

    async def close(self) -> None:
        """End all downloads; what they brought is kept."""
        await self._staging.close()

    async def _restore(self, launch: Launch, commit: Commit) -> None:
        """Never to begin anew where there is a state to go on from: then it does not begin."""
        job_id, name = launch.order.job_id, launch.order.name
        outputs = self._places.output(job_id, launch.order.epoch).parent
        directory = self._places.checkpoint(job_id)

        def tell(done: int, total: int) -> None:
            self.progress[name] = done, total

        try:
            if not await asyncio.to_thread(has_as_new, outputs, directory, commit):
                await restore(self._staging, job_id, commit, directory, tell)
                log.info("%s goes on from %s", name, commit.url)
        except StagingRefused as refused:
            if refused.code in ("DiskFull", "Unavailable"):
                raise
            far = refused.code == "DataUnreachable"
            message = f"its last checkpoint is not restored: {refused}"
            failure = Failure("network" if far else "site", RESTORE_FAILED, message)
            raise MaterialsMissing(failure) from refused
        except OSError as error:
            raise disk_refusal(error) from error
        finally:
            self.progress.pop(name, None)

    async def _stage(self, launch: Launch) -> Path:
        name = launch.order.name
        directory = self._directory / name
        self._staged.add(name)
        inputs = [Input(item.path, item.source, item.writable) for item in launch.inputs]

        def tell(done: int, total: int) -> None:
            self.progress[name] = done, total

        try:
            await self._staging.stage(inputs, dict(launch.data), directory, tell)
        finally:
            self.progress.pop(name, None)
        return directory
