"""Sibling jobs, as in a federation of Slurm clusters.

Source: Slurm's "Federated Scheduling Guide" (slurm.schedmd.com/federation.html): the origin
submits a sibling of the job to every cluster, each schedules alone, the first start revokes
the others. Left out: the cycle times of the daemons and the messages between them.
"""

from __future__ import annotations

from simulator.policies.backfill import Backfill, Reservation
from simulator.policies.central import Preference
from simulator.replay.instance import Known
from simulator.replay.view import Decision, View

DEPTH_SLURM = 500  # jobs that one backfill pass of a cluster looks at (Slurm's bf_max_job_test)
_NONE, _STALE = -1, -2  # no head; not known until the next cycle


class SlurmSiblings:
    """The same job waits in every cluster that could run it; the first to start it has it.

    Each cluster reserves for its own oldest job and backfills over the first `DEPTH_SLURM`."""

    def __init__(self, known: Known, preference: Preference) -> None:
        self._base, self._preference = Backfill(known, DEPTH_SLURM), preference
        self._heads = [_NONE] * len(known.pools)
        self._held: list[Reservation | None] = [None] * len(known.pools)

    def decide(self, view: View) -> Decision:
        base, now = self._base, view.now
        dirty = base.take_ends(view)
        for job in view.arrived:
            if not self._at_once(job, now, dirty):
                self._wait(job, now)
        while dirty:
            pool = min(dirty)
            del dirty[pool]
            self._cycle(pool, now, dirty)
        return base.decided()

    def _at_once(self, job: int, now: float, dirty: dict[int, None]) -> bool:
        """Start an arriving job in the first cluster where it may; ends are looked at first."""
        base = self._base
        pools = [
            pool
            for pool in base.pools_of(job)
            if pool not in dirty and base.respects(job, pool, self._held[pool], now)
        ]
        if not pools:
            return False
        pool = min(pools, key=lambda at: (self._preference(job, at), at))
        base.backlog.push(job)
        base.start(job, pool, now)
        if self._heads[pool] >= 0:
            self._renew(pool, now)
        return True

    def _wait(self, job: int, now: float) -> None:
        """Queue a job everywhere; where nobody waits it is the head."""
        base, shapes = self._base, self._base.known.shapes
        pools = shapes.pools[shapes.of_job[job]]
        if pools:  # else nowhere, ever: it stays unfinished and is counted so
            base.backlog.push(job)
        for pool in pools:
            if self._heads[pool] == _NONE:
                self._heads[pool] = job
                self._renew(pool, now)

    def _cycle(self, pool: int, now: float, dirty: dict[int, None]) -> None:
        """One scheduling cycle of one cluster."""
        base = self._base
        if base.profiles[pool].free == 0:  # nothing to do before the next end makes it dirty
            self._heads[pool] = _STALE
            return
        self._look_up_head(pool)
        while self._heads[pool] >= 0:
            self._renew(pool, now)
            job = base.candidate(pool, self._held[pool], now)
            head = self._heads[pool]
            if base.cards[head] <= base.profiles[pool].free:
                job = head
            if job is None:
                return
            base.start(job, pool, now)
            dirty.update(
                dict.fromkeys(
                    at for at, head in enumerate(self._heads) if head == job and at != pool
                )
            )
            self._look_up_head(pool)
        self._held[pool] = None

    def _look_up_head(self, pool: int) -> None:
        ids = self._base.backlog.ids()
        self._heads[pool] = _NONE
        for first in range(0, len(ids), DEPTH_SLURM):
            some = ids[first : first + DEPTH_SLURM]
            mine = self._base.allowed[pool, some]
            if mine.any():
                self._heads[pool] = int(some[mine.argmax()])
                return

    def _renew(self, pool: int, now: float) -> None:
        cards = self._base.cards[self._heads[pool]]
        self._held[pool] = self._base.profiles[pool].reservation(cards, now)
