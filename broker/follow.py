"""The leader's changes, followed once for all who watch through one gateway.

What changed is kept by what watchers ask for: a job, an array, a tenant, a site or all. Each
reader goes through it at its own pace, and one that falls too far behind is told to start
over from the present state. So a watcher that reads nothing costs next to nothing. Knows jobs
and revisions; nothing of the wire, and nothing of who may see what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from broker import change_logs
from broker.change_logs import ChangeLog, Interest, Subject, subjects_of
from broker.core.rows import Job
from broker.feed import Changes
from broker.leader import Port
from suan.errors import ResourceExhausted

WATCHERS_MAX = 10_000  # of one gateway
SUBJECTS_MAX = 100_000  # that all of them together name
JOBS_PER_READ_MAX = 200
FOLLOW_WAIT_SECONDS = 30.0  # of one question to the leader
FULL_RETRY_SECONDS = 5.0


class Watcher:
    """One reader of changes; `next` is for one caller at a time."""

    def __init__(self, follow: Follow, logs: tuple[ChangeLog, ...]) -> None:
        self.logs = logs
        self._follow = follow
        self._failure: Exception | None = None  # what kept the leader from answering
        self._news: set[ChangeLog] = set(logs)  # not read to the end
        self._early: dict[str, Job] = {}  # of before the logs began …
        self._early_to = 0  # … up to this revision
        self._starts_over = False
        self._after = 0  # what is at or below it, the reader knows
        self._hold = 0  # nothing is said before the follow has come so far
        self._arrived = asyncio.Event()

    def hear(self, log: ChangeLog) -> None:
        """There is news in a log that was read to the end."""
        self._news.add(log)
        self._arrived.set()

    def start_over(self) -> None:
        """Changes were missed."""
        self._starts_over = True
        self._early.clear()
        self._arrived.set()

    def fail(self, failure: Exception) -> None:
        self._failure = failure
        self._arrived.set()

    def catch_up(self, jobs: tuple[Job, ...], revision: int) -> None:
        """Changes of before the logs began, up to `revision`."""
        self._early |= {job.id: job for job in jobs}
        self._early_to = revision
        if len(self._early) > change_logs.CHANGES_KEPT:
            self.start_over()

    def know(self, revision: int, hold: int = 0) -> None:
        """The reader has seen the state of `revision`, and parts of it as late as `hold`."""
        self._after, self._hold = revision, max(revision, hold)
        self.reached(self._follow.revision)

    def reached(self, revision: int) -> bool:
        """The follow has come so far; whether that is far enough."""
        if self._hold and revision >= self._hold:
            self._hold = 0
            self._arrived.set()
        return not self._hold

    async def next(self, wait_seconds: float) -> Changes:
        """Changes in rising revision; none when none came in time.

        `reset`: the reader has to read the present state, and to say so by `know`. Raises
        what kept the leader from answering.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                while not (changes := self._look()):
                    self._arrived.clear()
                    await self._arrived.wait()
                return changes
        return Changes((), self._after)

    def _look(self) -> Changes | None:
        if self._failure is not None:
            raise self._failure
        newest = None if self._starts_over else self._newest()
        if newest is None:
            self._starts_over = False
            self._after = self._follow.revision
            self._sleep()
            return Changes((), self._after, reset=True)
        if self._hold:
            self._follow.hold(self)
            return None
        taken = tuple(sorted(newest.values(), key=lambda job: job.revision))[:JOBS_PER_READ_MAX]
        if len(taken) < len(newest):
            self._after = taken[-1].revision
        else:
            self._after = max(self._after, self._follow.revision)
            self._sleep()
        return Changes(taken, self._after) if taken else None

    def _newest(self) -> dict[str, Job] | None:
        """Each job that the reader does not know as it is; None when some are missing."""
        found = {k: job for k, job in self._early.items() if job.revision > self._after}
        for log in self._news:
            changes = log.since(max(self._after, self._early_to))
            if changes is None:
                return None
            for job in changes:
                known = found.get(job.id)
                if known is None or known.revision < job.revision:
                    found[job.id] = job
        return found

    def _sleep(self) -> None:
        """All has been read."""
        self._early.clear()
        for log in self._news:
            log.asleep.add(self)
        self._news.clear()


class Follow:
    """One reader of the leader's feed, while anybody watches."""

    def __init__(self, port: Port) -> None:
        self.revision = 0  # up to which the logs go
        self._port = port
        self._logs: dict[Subject, ChangeLog] = {}
        self._watchers: set[Watcher] = set()
        self._held: set[Watcher] = set()
        self._following: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[None] | None = None
        self._count = 0  # of watchers, also of those that begin

    @asynccontextmanager
    async def watch(self, interest: Interest, after: int) -> AsyncIterator[Watcher]:
        """What changes after revision `after`; below 0: it starts over at once.

        Raises ResourceExhausted (TooManyWatchers) and what the leader raises.
        """
        subjects = tuple(interest.subjects())
        if self._count >= WATCHERS_MAX or len(self._logs) + len(subjects) > SUBJECTS_MAX:
            raise ResourceExhausted(
                "as many watch as this broker can serve",
                "watch several jobs with one request, or try again shortly",
                "TooManyWatchers",
                FULL_RETRY_SECONDS,
            )
        self._count += 1
        try:
            await self._begin()
            watcher = self._enter(subjects)
            try:
                if after < 0:
                    watcher.start_over()
                else:
                    await self._catch_up(watcher, frozenset(subjects), after)
                yield watcher
            finally:
                self._leave(watcher, subjects)
        finally:
            self._count -= 1
            if not self._count:
                self._end(None)

    def hold(self, watcher: Watcher) -> None:
        """It waits for the follow to come further."""
        self._held.add(watcher)

    def _enter(self, subjects: tuple[Subject, ...]) -> Watcher:
        logs = tuple(self._logs.setdefault(name, ChangeLog(self.revision)) for name in subjects)
        for log in logs:
            log.readers += 1
        watcher = Watcher(self, logs)
        self._watchers.add(watcher)
        return watcher

    def _leave(self, watcher: Watcher, subjects: tuple[Subject, ...]) -> None:
        self._watchers.discard(watcher)
        self._held.discard(watcher)
        for name, log in zip(subjects, watcher.logs, strict=True):
            log.readers -= 1
            log.asleep.discard(watcher)
            if not log.readers and self._logs.get(name) is log:
                del self._logs[name]

    async def _begin(self) -> None:
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_future()
            self._following = asyncio.create_task(self._run(self._begun))
        await asyncio.shield(self._begun)

    async def _run(self, begun: asyncio.Future[None]) -> None:
        try:
            self.revision = (await self._port.changes(-1, 0.0)).revision
            begun.set_result(None)
            while True:
                self._spread(await self._port.changes(self.revision, FOLLOW_WAIT_SECONDS))
        except Exception as error:
            if not begun.done():
                begun.set_exception(error)
            self._end(error)

    def _end(self, failure: Exception | None) -> None:
        """Of this follow; the next watcher begins another, with logs of its own."""
        if self._following is not None:
            self._following.cancel()
        self._begun = self._following = None
        ended, self._watchers = self._watchers, set()
        self._logs = {}
        self._held.clear()
        if failure is not None:
            for watcher in ended:
                watcher.fail(failure)

    def _spread(self, changes: Changes) -> None:
        self.revision = changes.revision
        if changes.reset:
            for watcher in self._watchers:
                watcher.start_over()
        for job in changes.jobs:
            for subject in subjects_of(job):
                log = self._logs.get(subject)
                if log is not None:
                    log.add(job)
        self._held = {each for each in self._held if not each.reached(self.revision)}

    async def _catch_up(self, watcher: Watcher, subjects: frozenset[Subject], after: int) -> None:
        """From a revision that the reader knows to where the logs begin."""
        watcher.know(after)
        begun = self.revision
        if all(log.knows_since(after) for log in watcher.logs) and after <= begun:
            return
        wait_seconds = FOLLOW_WAIT_SECONDS if after > begun else 0.0  # still being stored
        while True:
            changes = await self._port.changes(after, wait_seconds)
            if changes.reset:
                watcher.start_over()
                return
            heard = (job for job in changes.jobs if not subjects.isdisjoint(subjects_of(job)))
            watcher.catch_up(tuple(heard), changes.revision)
            after, wait_seconds = changes.revision, 0.0
            if after >= begun:
                return
