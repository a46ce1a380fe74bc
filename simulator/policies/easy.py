"""EASY backfill over one central queue: its head reserves in the pool where it would end first."""

from __future__ import annotations

from simulator.policies.backfill import Backfill, Reservation
from simulator.policies.central import Preference
from simulator.replay.instance import Known
from simulator.replay.view import Decision, View


class CentralEasy:
    """One queue; its head reserves in one pool, the other pools backfill freely."""

    def __init__(self, known: Known, preference: Preference) -> None:
        self._base, self._preference = Backfill(known), preference
        self._head = -1
        self._reserved = -1  # the pool of the reservation
        self._held: Reservation | None = None

    def decide(self, view: View) -> Decision:
        base, now = self._base, view.now
        touched = base.take_ends(view)
        arrived = [job for job in view.arrived if base.could_run(job)]
        for job in arrived:
            base.backlog.push(job)
        self._start_heads(now, touched)
        for pool in list(touched):
            self._pass(pool, now)
        for job in arrived:
            if base.backlog.waits(job):
                self._try(job, now)
        return base.decided()

    def _start_heads(self, now: float, touched: dict[int, None]) -> None:
        """Start heads while they fit, then renew the reservation of the one that does not."""
        base, before = self._base, self._reserved
        while len(ids := base.backlog.ids()):
            job = int(ids[0])
            pools = base.pools_of(job)
            if not pools:
                break
            base.start(job, min(pools, key=lambda at: (self._preference(job, at), at)), now)
        else:
            self._head, self._reserved, self._held = -1, -1, None
            return
        if job != self._head:
            self._head, self._reserved = job, self._best_pool(job, now)
            touched.update(dict.fromkeys(at for at in (before, self._reserved) if at >= 0))
        self._renew(now)

    def _best_pool(self, job: int, now: float) -> int:
        """Where the job would end first by what is expected."""
        base, shapes = self._base, self._base.known.shapes
        ends = {
            pool: base.profiles[pool].reservation(base.cards[job], now).shadow
            + float(base.lengths[pool, job])
            for pool in shapes.pools[shapes.of_job[job]]
        }
        return min(ends, key=lambda pool: (ends[pool], pool))

    def _renew(self, now: float) -> None:
        profile = self._base.profiles[self._reserved]
        self._held = profile.reservation(self._base.cards[self._head], now)

    def _pass(self, pool: int, now: float) -> None:
        """Backfill one pool as far as it goes."""
        while (job := self._base.candidate(pool, self._guard(pool), now)) is not None:
            self._begin(job, pool, now)

    def _try(self, job: int, now: float) -> None:
        """Start a job that has just arrived where it fits, if it may overtake."""
        base = self._base
        pools = [at for at in base.pools_of(job) if base.respects(job, at, self._guard(at), now)]
        if pools:
            self._begin(job, min(pools, key=lambda at: (self._preference(job, at), at)), now)

    def _begin(self, job: int, pool: int, now: float) -> None:
        self._base.start(job, pool, now)
        if pool == self._reserved:
            self._renew(now)

    def _guard(self, pool: int) -> Reservation | None:
        return self._held if pool == self._reserved else None
