"""The invariants of reliability.md section 3, judged from outside after every step.

I1 is judged by the executions themselves, I2, I5, I6 and I7 by the rows that became
durable, I4 by what was leased of what was offered. Nobody acts on what is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker.core.lifecycle import JobState
from broker.core.rows import Job, Spec
from simulator.faults.specs import LIMITS
from simulator.faults.world import World

Key = tuple[str, int]  # job id, epoch


class Violation(Exception):
    """An invariant broke."""

    def __init__(self, invariant: str, job_id: str, what: str) -> None:
        super().__init__(f"{invariant}: {job_id}: {what}" if job_id else f"{invariant}: {what}")
        self.invariant = invariant
        self.job_id = job_id


@dataclass(frozen=True, slots=True)
class Execution:
    """One live execution, as it says itself."""

    job_id: str
    epoch: int
    site: str
    machine: str
    cards: tuple[tuple[str, int], ...]  # (node, device)
    stray: bool = False  # its site's agent has lost its journal since


class Invariants:
    """Sees everything."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.starts = 0
        self.copies = 0  # starts beside an older execution, as class overlap may
        self.specs: dict[str, Spec] = {}  # of submitted jobs, by job
        self.alive: dict[str, list[Execution]] = {}
        self.accepted: dict[str, None] = {}
        self.moved_at = 0.0  # when a job's row last changed
        self.rows: dict[str, Job] = {}  # durable, as last stored
        self._forgotten: dict[str, None] = {}  # finished jobs that the broker may have dropped
        self._results: dict[Key, tuple[str, bool]] = {}  # ended execution -> site, success
        self._taken: dict[tuple[str, str, int], Key] = {}  # (machine, node, device) -> who
        self._term = 0

    # --- what runs (told by the execution itself, never by an agent) ------------------

    def begins(self, run: Execution) -> None:
        job_id, epoch = run.job_id, run.epoch
        self.world.tell(job_id, run.site, f"EXECUTION of epoch {epoch} begins")
        others = self.alive.setdefault(job_id, [])
        if (job_id, epoch) in self._results or any(o.epoch == epoch for o in others):
            raise Violation("I1", job_id, f"epoch {epoch} runs a second time")
        if len(others) >= self._copies_max(job_id):
            where = ", ".join(f"epoch {other.epoch} at {other.site}" for other in others)
            raise Violation("I1", job_id, f"epoch {epoch} runs at {run.site} beside {where}")
        self._whole(run)
        for node, device in run.cards:
            other = self._taken.setdefault((run.machine, node, device), (job_id, epoch))
            if other != (job_id, epoch):
                raise Violation("I4", job_id, f"card {device} of {node} is held by {other[0]}")
        self.starts += 1
        self.copies += bool(others)
        others.append(run)

    def _copies_max(self, job_id: str) -> int:
        spec = self.specs[job_id]
        return 1 + (LIMITS.overlap_extra if spec.lease_class == "overlap" else 0)

    def _whole(self, run: Execution) -> None:
        shape = self.specs[run.job_id].demand.variants[0]
        by_node: dict[str, int] = {}
        for node, _ in run.cards:
            by_node[node] = by_node.get(node, 0) + 1
        if sorted(by_node.values()) != [shape.cards_per_node] * shape.nodes:
            raise Violation("gang", run.job_id, f"wanted {shape}, got {by_node}")

    def ends(self, run: Execution, succeeded: bool) -> None:
        word = "succeeds" if succeeded else "is over"
        self.world.tell(run.job_id, run.site, f"EXECUTION of epoch {run.epoch} {word}")
        self.alive[run.job_id].remove(run)
        self._results[run.job_id, run.epoch] = run.site, succeeded
        self._release(run)

    def _release(self, run: Execution) -> None:
        for node, device in run.cards:
            place = run.machine, node, device
            if self._taken.get(place) == (run.job_id, run.epoch):
                del self._taken[place]

    def strays(self, machine: str) -> None:
        """The agent there has lost its journal: it cannot know whose these cards are."""
        for runs in self.alive.values():
            for run in runs:
                if run.machine == machine:
                    self._release(run)

    # --- what is promised and stored ---------------------------------------------------

    def acknowledge(self, job_id: str, stored: bool) -> None:
        """The client was told that its job is taken; `stored`: it is in the store now."""
        self.world.tell(job_id, "client", "is told: accepted")
        self.accepted[job_id] = None
        if not stored and job_id not in self._forgotten:
            raise Violation("I5", job_id, "was acknowledged and is not in the store")

    def stored(self, term: int, jobs: Iterable[Job], dropped: Iterable[str] = ()) -> None:
        """These rows became durable in this term, and those of the dropped jobs went."""
        if term < self._term:
            raise Violation("I7", "", f"term {term} wrote after term {self._term}")
        self._term = term
        for job in jobs:
            self.moved_at = self.world.now
            before = self.rows.get(job.id)
            self._tell(before, job)
            if before is not None and before is not job:
                self._follows(before, job)
            if job.state is JobState.SUCCEEDED:
                self._truly_succeeded(job)
            self.rows[job.id] = job
        for job_id in dropped:
            self._drop(job_id)

    def _tell(self, before: Job | None, job: Job) -> None:
        attempt = job.attempt
        said = f"{job.state}"
        if attempt is not None:
            said += f"; epoch {attempt.epoch} at {attempt.site} {attempt.state}"
            said += f" {attempt.outcome}" if attempt.outcome else ""
        self.world.tell(job.id, "store", said)

    def _follows(self, before: Job, job: Job) -> None:
        if before.terminal:
            raise Violation("I2", job.id, f"was {before.state} and became {job.state}")
        if job.revision <= before.revision:
            raise Violation("I7", job.id, "an older row was written over a newer one")
        old, new = before.attempts, job.attempts
        if old and (not new or new[-1].epoch < old[-1].epoch):
            raise Violation("I6", job.id, "its epoch went back")
        last, kept = before.checkpoint, job.checkpoint
        if last is not None and (kept is None or kept.order < last.order):
            raise Violation("I6", job.id, "its checkpoint went back")
        known = {attempt.epoch: attempt for attempt in old}
        for attempt in new:
            earlier = known.get(attempt.epoch, attempt)
            if earlier.site != attempt.site:
                raise Violation("I6", job.id, f"epoch {attempt.epoch} at two sites")
            if attempt is not new[-1] and not earlier.live and earlier != attempt:
                raise Violation("I6", job.id, f"epoch {attempt.epoch} changed after the next")

    def _truly_succeeded(self, job: Job) -> None:
        attempt = job.attempts[-1]
        if self._results.get((job.id, attempt.epoch)) != (attempt.site, True):
            raise Violation("I2", job.id, f"no execution of epoch {attempt.epoch} succeeded")

    def _drop(self, job_id: str) -> None:
        """The broker forgets a job: only one that has ended."""
        row = self.rows.get(job_id)
        if row is not None and not row.terminal:
            raise Violation("I2", job_id, f"was dropped while {row.state}")
        self.world.tell(job_id, "store", "dropped")
        self._forgotten[job_id] = None

    def loaded(self, jobs: Mapping[str, Job]) -> None:
        """A new leader has read the store."""
        for job_id in self.accepted:
            if job_id not in jobs and job_id not in self._forgotten:
                raise Violation("I5", job_id, "was acknowledged and is gone")

    def leased(self, jobs: Iterable[Job], pool: str, usable: int) -> None:
        """Leases were given in a pool that offers so many cards."""
        cards = sum(
            attempt.cards_held
            for job in jobs
            if (attempt := job.live_attempt) is not None and attempt.pool == pool
        )
        if cards > usable:
            raise Violation("I4", "", f"{cards} cards of {pool} are leased, {usable} offered")
