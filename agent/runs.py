"""Does to the backend what the supervisor decided, beside the daemon's loop and bounded.

Answers every launch with one event: started, or refused. When a submission fails without a
clear answer, the backend is asked whether it has the run; nothing is ever submitted again
in doubt.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from agent.backends import Backend, BackendRefused, RunOrder
from agent.cards.rank_files import RankFiles
from agent.materials import Materials, MaterialsMissing
from agent.supervisor.attempts import NOT_STARTED
from agent.supervisor.messages import Event, Launch, RunRefused, RunStarted
from agent.supervisor.values import Failure
from suan.crash import crash_point
from suan.retry import Backoff

LAUNCHES_MAX = 64  # at a time
CALLS_MAX = 16  # renewals, stops and removals at a time
SUBMIT_SECONDS_MAX = 300.0  # without an answer; then the backend is asked what became of it
ASK_SECONDS, ASK_SECONDS_MAX = 0.5, 30.0  # between two questions after a doubtful submission
_PASSING_CODES = frozenset({"DiskFull", "Unavailable"})  # troubles of the site's own
_USER_CODES = frozenset({"BadBundle", "BadDirectory", "BadName", "ImageMissing"})
_POLICY_CODES = frozenset({"ImageNotAllowed", "ImagesUnsupported", "TenantNotMapped"})
# That the site took the job, and cannot run it before somebody changes something.
_LASTING_CODES = frozenset({"ImageNotAllowed", "ImageMissing", "ImageUnfit"})

log = logging.getLogger(__name__)


class Runs:
    """The daemon's hand on the backend."""

    def __init__(
        self,
        backend: Backend,
        materials: Materials,
        post: Callable[[Event], None],
        backoff: Backoff | None = None,
        submit_seconds: float = SUBMIT_SECONDS_MAX,
        rank_files: RankFiles | None = None,
    ) -> None:
        self._backend = backend
        self._rank_files = rank_files
        self._materials = materials
        self._post = post
        self._backoff = backoff or Backoff(ASK_SECONDS, ASK_SECONDS_MAX)
        self._submit_seconds = submit_seconds
        self._waiting: deque[str] = deque()
        self._launches: dict[str, Launch] = {}  # until the submission begins
        self._deadlines: dict[str, float] = {}  # renewals that wait to be written
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._submissions = asyncio.Semaphore(LAUNCHES_MAX)
        self._launchers = 0
        self._renewing = False
        self._calls = asyncio.Semaphore(CALLS_MAX)

    def launch(self, launch: Launch) -> None:
        """Bring what it needs and submit it. What needs nothing waits for nobody else's data."""
        name = launch.order.name
        self._launches[name] = launch
        if launch.bundle_sha256 or launch.inputs or launch.restore:
            self._preparing[name] = self._begin(self._prepare(launch))
            return
        self._waiting.append(name)
        if self._launchers < LAUNCHES_MAX:
            self._launchers += 1
            self._begin(self._work())

    def stop(self, name: str, reason: str) -> None:
        """Not to be begun any more; if it runs, to be ended."""
        if self._launches.pop(name, None) is not None:
            self._post(RunRefused(name, NOT_STARTED))
            if (preparing := self._preparing.get(name)) is not None:
                self._begin(self._undo(name, preparing))
        self._begin(self._call(self._backend.stop(name, reason), f"stop {name}"))

    def release(self, name: str) -> None:
        """The run has ended: what was brought for it alone may go."""
        if self._materials.held_by(name):
            self._begin(self._materials.release(name))

    def renew(self, leases: tuple[tuple[str, float], ...]) -> None:
        """Move the ends of leases; only the last word on each is written."""
        for name, deadline in leases:
            if (launch := self._launches.get(name)) is not None:
                self._launches[name] = replace(launch, deadline=deadline)
            else:
                self._deadlines[name] = deadline
        if self._deadlines and not self._renewing:
            self._renewing = True
            self._begin(self._write_renewals())

    def forget(self, names: tuple[str, ...]) -> None:
        """Remove what is kept of these ended runs."""
        self._begin(self._forget(names))

    async def close(self) -> None:
        """Give up what is under way; a submission that began is found after the restart."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._materials.close()

    # --- launching -------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            while self._waiting:
                name = self._waiting.popleft()
                if (launch := self._launches.get(name)) is not None:
                    await self._submit(launch.order)
        finally:
            self._launchers -= 1

    async def _prepare(self, launch: Launch) -> None:
        """Bring what it needs, then submit; until then a stop cancels this."""
        name = launch.order.name
        try:
            async with self._materials.ready(launch) as order, self._submissions:
                await self._submit(order)
        except MaterialsMissing as error:
            if self._launches.pop(name, None) is not None:
                costs_try = error.failure.code not in _PASSING_CODES
                self._post(RunRefused(name, error.failure, costs_try))
            await self._materials.release(name)
        finally:
            self._preparing.pop(name, None)

    async def _undo(self, name: str, preparing: asyncio.Task[None]) -> None:
        preparing.cancel()
        await asyncio.wait({preparing})
        await self._materials.release(name)

    async def _submit(self, order: RunOrder) -> None:
        """From here on only the backend says what becomes of it; a stop that was faster wins."""
        launch = self._launches.pop(order.name, None)
        if launch is None:
            return
        event = await self._submitted(order, launch.deadline)
        if isinstance(event, RunRefused):
            await self._materials.release(order.name)
        self._post(event)

    async def _submitted(self, order: RunOrder, deadline: float) -> Event:
        try:
            async with asyncio.timeout(self._submit_seconds):
                await self._backend.submit(await self._completed(order), deadline)
        except BackendRefused as refusal:
            costs_try = refusal.code in _LASTING_CODES
            return RunRefused(order.name, _failure(refusal), costs_try)
        except Exception as error:
            log.error("the submission of %s failed without an answer: %r", order.name, error)
            return await self._asked(order.name, error)
        crash_point("agent.submitted.before_started")
        return RunStarted(order.name)

    async def _completed(self, order: RunOrder) -> RunOrder:
        """With its table of ranks, where the site writes them. Raises BackendRefused."""
        if self._rank_files is None:
            return order
        return await asyncio.to_thread(self._rank_files.complete, order)

    async def _asked(self, name: str, error: Exception) -> Event:
        """Whether the backend has it after all; asks until it says so."""
        failures = 0
        while True:
            try:
                found = await self._backend.find(name)
            except Exception as trouble:
                failures += 1
                log.error("the backend does not say whether it has %s: %r", name, trouble)
                await self._backoff.sleep(self._backoff.pause_seconds(failures))
                continue
            if found is not None:
                return RunStarted(name)
            return RunRefused(name, Failure("site", "LaunchFailed", f"not submitted: {error!r}"))

    # --- renewing, stopping, removing --------------------------------------------------

    async def _write_renewals(self) -> None:
        try:
            while self._deadlines:
                batch, self._deadlines = self._deadlines, {}
                calls = [
                    self._call(self._backend.renew(name, deadline), f"renew {name}")
                    for name, deadline in batch.items()
                ]
                await asyncio.gather(*calls)
        finally:
            self._renewing = False

    async def _forget(self, names: tuple[str, ...]) -> None:
        for name in names:
            await self._call(self._backend.forget(name), f"forget {name}")
            if self._rank_files is not None:
                await asyncio.to_thread(self._rank_files.remove, name)

    async def _call(self, call: Coroutine[Any, Any, None], what: str) -> None:
        """One call whose failure is told and otherwise borne: each is repeated in time."""
        async with self._calls:
            try:
                await call
            except Exception as error:
                log.error("cannot %s: %s", what, error)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _failure(refusal: BackendRefused) -> Failure:
    category = "user" if refusal.code in _USER_CODES else "site"
    if refusal.code in _POLICY_CODES:
        category = "policy"
    return Failure(category, refusal.code, refusal.message)
