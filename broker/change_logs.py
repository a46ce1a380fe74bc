"""What changed lately, kept by what watchers ask for: a job, an array, a tenant, a site or all.

Knows jobs and revisions; nothing of who reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

from broker.core.rows import Job

CHANGES_KEPT = 1_000  # of one subject; who is further behind starts over
_EVERY = ("every",)

Subject = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interest:
    """What a watcher hears of: these jobs and arrays, else all of a tenant or site, else all."""

    ids: frozenset[str] = frozenset()
    tenant: str = ""
    site: str = ""

    def subjects(self) -> Iterator[Subject]:
        if self.ids:
            yield from (("id", name) for name in self.ids)
        elif self.tenant:
            yield "tenant", self.tenant
        elif self.site:
            yield "site", self.site
        else:
            yield _EVERY


def subjects_of(job: Job) -> Iterator[Subject]:
    yield "id", job.id
    if job.array_id:
        yield "id", job.array_id
    yield "tenant", job.tenant
    yield from {("site", attempt.site) for attempt in job.attempts}
    yield _EVERY


class Reader(Protocol):
    """Who reads logs."""

    def hear(self, log: ChangeLog) -> None:
        """There is news in a log that was read to the end."""


class ChangeLog:
    """The newest changes of one subject, in rising revision."""

    __slots__ = ("_changes", "_floor", "asleep", "readers")

    def __init__(self, revision: int) -> None:
        self.readers = 0
        self.asleep: set[Reader] = set()  # those that have read all of it
        self._floor = revision  # what is at or below it may be missing
        self._changes: deque[Job] = deque()

    def add(self, job: Job) -> None:
        if len(self._changes) == CHANGES_KEPT:
            self._floor = self._changes.popleft().revision
        self._changes.append(job)
        for watcher in self.asleep:
            watcher.hear(self)
        self.asleep.clear()

    def since(self, after: int) -> Iterator[Job] | None:
        """What came later, newest first; None when some of it is missing."""
        if after < self._floor:
            return None
        return takewhile(lambda job: job.revision > after, reversed(self._changes))

    def knows_since(self, after: int) -> bool:
        return after >= self._floor
