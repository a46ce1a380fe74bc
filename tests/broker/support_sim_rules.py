"""The invariants, judged from outside: by what ran, what was stored and what was promised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from broker.core.lifecycle import AttemptState, JobState
from broker.core.rows import Job

Key = tuple[str, int]


class Violation(Exception):
    """An invariant broke."""

    def __init__(self, job_id: str, what: str) -> None:
        super().__init__(f"{job_id}: {what}" if job_id else what)
        self.job_id = job_id


class Rules:
    """Sees everything; nobody acts on what it knows."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stories: dict[str, list[str]] = {}
        self.runs = 0
        self.alive: dict[str, tuple[str, int]] = {}  # job -> site and epoch of its live run
        self._results: dict[Key, tuple[str, bool]] = {}  # run -> its site, and did it succeed
        self._accepted: set[str] = set()
        self._stored: dict[str, Job] = {}

    def tell(self, job_id: str, who: str, text: str) -> None:
        self.stories.setdefault(job_id, []).append(f"{self.now:9.2f} {who:7} {text}")

    # --- what runs (told by the run itself, never by an agent) ------------------------

    def begins(self, job_id: str, epoch: int, site: str) -> None:
        self.tell(job_id, site, f"RUN {epoch} begins")
        other = self.alive.get(job_id)
        if other is not None:
            raise Violation(job_id, f"I1: runs at {site} and, as epoch {other[1]}, at {other[0]}")
        if (job_id, epoch) in self._results:
            raise Violation(job_id, f"I1: epoch {epoch} runs a second time")
        self.runs += 1
        self.alive[job_id] = site, epoch

    def ends(self, job_id: str, epoch: int, site: str, succeeded: bool) -> None:
        self.tell(job_id, site, f"RUN {epoch} {'succeeds' if succeeded else 'is over'}")
        del self.alive[job_id]
        self._results[job_id, epoch] = site, succeeded

    # --- what is promised and stored ---------------------------------------------------

    def accept(self, job_id: str) -> None:
        """The client was told that its job is taken."""
        self.tell(job_id, "client", "accepted")
        self._accepted.add(job_id)

    def stored(self, jobs: Iterable[Job]) -> None:
        """These rows are durable now."""
        for job in jobs:
            before = self._stored.get(job.id)
            if before is not None:
                self._follows(before, job)
            if job.state is JobState.SUCCEEDED:
                self._truly_succeeded(job)
            self._stored[job.id] = job

    def _follows(self, before: Job, job: Job) -> None:
        if before.terminal:
            raise Violation(job.id, f"I2: was {before.state} and became {job.state}")
        old, new = before.attempts, job.attempts
        if old and (not new or new[-1].epoch < old[-1].epoch):
            raise Violation(job.id, "I6: its epoch went back")
        known = {attempt.epoch: attempt for attempt in old}
        for attempt in new:
            earlier = known.get(attempt.epoch, attempt)
            if earlier.site != attempt.site:
                raise Violation(job.id, f"I6: epoch {attempt.epoch} at two sites")
            if attempt is not new[-1] and not earlier.live and earlier != attempt:
                raise Violation(job.id, f"I6: epoch {attempt.epoch} changed after the next")

    def _truly_succeeded(self, job: Job) -> None:
        attempt = job.attempts[-1]
        if self._results.get((job.id, attempt.epoch)) != (attempt.site, True):
            raise Violation(job.id, f"I4: no run of epoch {attempt.epoch} succeeded")

    def loaded(self, jobs: Mapping[str, Job]) -> None:
        """A new leader has read the store."""
        for job_id in self._accepted - jobs.keys():
            raise Violation(job_id, "I2: was acknowledged and is gone")

    def leased(self, jobs: Iterable[Job], pool: str, usable: int) -> None:
        """Leases were given in a pool that offers so many cards."""
        cards = sum(
            attempt.cards
            for job in jobs
            if (attempt := job.live_attempt) is not None and attempt.pool == pool
        )
        if cards > usable:
            raise Violation("", f"I3: {cards} cards of {pool} are leased, {usable} were offered")

    def finish(self, jobs: Mapping[str, Job]) -> None:
        """All is over."""
        self.loaded(jobs)
        for job_id in self.alive:
            raise Violation(job_id, "I15: its run was left behind")
        for job in jobs.values():
            assert job.terminal
            assert all(attempt.state is AttemptState.ENDED for attempt in job.attempts)
