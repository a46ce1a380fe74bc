"""The virtual sites: they accept what the core grants, hold the cards, and report.

They speak the core's own events, as an agent's session would. Whether and how long a run
really goes on is not known here: the replay says when a run has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from broker.core.data_messages import CacheReport
from broker.core.digest import attempt_digest
from broker.core.messages import (
    Capacity,
    CapacityReport,
    Event,
    Grant,
    Heartbeat,
    Held,
    Hello,
    Report,
    Reports,
    SiteFacts,
)
from broker.core.rows import Failure
from scheduler.model import Pool, Site
from simulator.production.cards import Held as HeldCards
from simulator.production.cards import PoolCards

CACHE_BYTES_MAX = 2**62  # no job of a trace is held up by a small disk
WALL = 1_800_000_000.0  # wall seconds, at every site, of the first submission
LOST = Failure("site", "SiteFailed", "the site went down with all that ran there")
NO_ROOM = Failure("site", "NoRoom", "the cards are not free")


@dataclass(slots=True)
class _Run:
    """An attempt that the site holds."""

    job_id: str
    epoch: int
    pool: str
    cards: HeldCards
    digest: int


@dataclass(slots=True)
class VirtualSite:
    """One site: its cards, what runs there, and what it has yet to tell."""

    profile: Site
    cards: dict[str, PoolCards]
    up: bool = True
    _lives: int = 0
    _seq: int = 0  # of reports, capacities and heartbeats alike: each must only rise
    _grant_seq: int = 0
    _digest: int = 0
    _runs: dict[str, _Run] = field(default_factory=dict)  # by job
    _reports: list[Report] = field(default_factory=list)
    _changed: dict[str, None] = field(default_factory=dict)  # pools whose cards came free

    @classmethod
    def of(cls, profile: Site, pools: tuple[Pool, ...]) -> VirtualSite:
        """The site with those of `pools` that are its own."""
        own = (pool for pool in pools if pool.site == profile.name)
        return cls(profile, {pool.name: PoolCards(pool) for pool in own})

    @property
    def session(self) -> str:
        return f"{self.profile.name}#{self._lives}"

    # --- what happens there -----------------------------------------------------------

    def accept(self, grant: Grant, at: float) -> bool:
        """Hold the cards of a grant; False, and reported, when they are not there."""
        self._grant_seq = max(self._grant_seq, grant.grant_seq)
        held = self.cards[grant.pool].take(grant.slices)
        if held is None:
            self._report(grant.job_id, grant.epoch, "rejected", at, "", NO_ROOM)
            self._changed[grant.pool] = None
            return False
        digest = attempt_digest(grant.job_id, grant.epoch)
        self._runs[grant.job_id] = _Run(grant.job_id, grant.epoch, grant.pool, held, digest)
        self._digest ^= digest
        return True

    def started(self, job_id: str, at: float) -> None:
        """The data are there and the run begins."""
        run = self._runs.get(job_id)
        if run is not None:  # else it was stopped, or lost, before
            self._report(job_id, run.epoch, "started", at)

    def ended(self, job_id: str, at: float, outcome: str = "succeeded") -> None:
        """The run is over and its cards are free."""
        run = self._runs.pop(job_id)
        self._digest ^= run.digest
        self.cards[run.pool].give(run.cards)
        self._changed[run.pool] = None
        failure = LOST if outcome == "lost" else None
        self._report(job_id, run.epoch, "ended", at, outcome, failure)

    def stop(self, job_id: str, epoch: int, at: float) -> str | None:
        """End a run for others; the pool that it ran in, None when there is no such run."""
        run = self._runs.get(job_id)
        if run is None or run.epoch != epoch:
            return None
        self.ended(job_id, at, "preempted")
        return run.pool

    def fail(self, at: float) -> None:
        """The site goes down: it falls silent, and nothing that ran there goes on."""
        self.up = False
        for job_id in list(self._runs):
            self.ended(job_id, at, "lost")

    def _report(
        self,
        job_id: str,
        epoch: int,
        kind: str,
        at: float,
        outcome: str = "",
        failure: Failure | None = None,
    ) -> None:
        self._seq += 1
        wall = WALL + at
        self._reports.append(Report(self._seq, job_id, epoch, kind, wall, outcome, 0, failure))

    # --- what it says -----------------------------------------------------------------

    def hello(self) -> Hello:
        """A new session, with all its pools and the attempts that it has yet to report."""
        self.up = True
        self._lives += 1
        self._grant_seq = 0
        ended = {(each.job_id, each.epoch) for each in self._reports if each.kind != "started"}
        name, facts = self.profile.name, SiteFacts(self.profile, "simulated", "simulated")
        held = tuple(Held(job_id, epoch, ended=True) for job_id, epoch in sorted(ended))
        pools = self._capacity(tuple(self.cards), full=True, facts=facts)
        boot_id = f"boot-{self._lives}"
        return Hello(name, self.session, name, boot_id, "virtual", held, facts, pools)

    def greet(self) -> tuple[Event, ...]:
        """A new session, in which data may be sent ahead of jobs."""
        hello = self.hello()
        self._seq += 1
        return hello, CacheReport(self.profile.name, self.session, self._seq, (), CACHE_BYTES_MAX)

    def news(self) -> Iterator[Event]:
        """The reports and the cards since the last time."""
        name, session = self.profile.name, self.session
        if self._reports:
            yield Reports(name, session, tuple(self._reports))
            self._reports.clear()
        if self._changed:
            yield Capacity(name, session, self._capacity(tuple(self._changed)))

    def heartbeat(self) -> Heartbeat:
        self._seq += 1
        name, session = self.profile.name, self.session
        return Heartbeat(name, session, self._seq, self._digest, self._grant_seq, 0)

    def _capacity(
        self, pools: tuple[str, ...], full: bool = False, facts: SiteFacts | None = None
    ) -> CapacityReport:
        self._seq += 1
        shown = tuple(self.cards[name].report() for name in pools)
        self._changed.clear()
        return CapacityReport(self._seq, shown, self._grant_seq, full, facts)
