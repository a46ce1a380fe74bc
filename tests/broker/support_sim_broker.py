"""The broker of the simulation: the real core, with a loop and a store that can be crashed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from support_core import ACCELERATORS, WALL, parse_spec
from support_sim_world import World

from broker.core.core import Core
from broker.core.limits import Limits
from broker.core.messages import (
    Approve,
    CreateToken,
    Event,
    Goodbye,
    Grants,
    Join,
    Now,
    Proposals,
    Reply,
    Send,
    SessionClosed,
    SiteMessage,
    Step,
    Stops,
    Tick,
)
from broker.core.rows import Job, JoinToken, Put
from broker.core.snapshot import take_snapshot
from broker.core.state import State
from broker.leadership import StandbyState
from broker.store.memory import MemoryStore
from scheduler.placement import place

Answer = Callable[[Reply | None], None]
TICK_SECONDS = 4.0


class Stream(Protocol):
    """An open session as the broker sees it."""

    site: str
    session: str

    def down(self, message: SiteMessage) -> None: ...
    def cut(self) -> None: ...


class BrokerModel:
    """Gathers, decides, commits in order, then releases; dies and comes back from the store."""

    def __init__(self, world: World, limits: Limits, drift: float, release_early: bool) -> None:
        self.world = world
        self.limits = limits
        self.release_early = release_early  # a mutant: act before it is durable
        self.store = MemoryStore(parse_spec)
        self.up = True
        self.streams: dict[str, Stream] = {}
        self._drift = drift
        self._life = 0
        self._crash_at_commit = ""
        self._begin()

    # --- life ---------------------------------------------------------------------

    def _begin(self) -> None:
        self.up = True
        self._life += 1
        self._rate = 1.0 + self.world.between(-self._drift, self._drift)
        self._began = self.world.now
        self._waiting: list[tuple[Event, Answer | None]] = []
        self._deciding = False
        self._commit_free_at = 0.0
        standby = StandbyState()
        term = self.store.campaign(standby)
        self.core = Core(standby.state, self.limits, term, self._now())
        self.state.check()
        self.world.rules.loaded(self.state.jobs)
        for job_id in self.state.jobs:
            self.world.rules.tell(job_id, "broker", f"leader of term {term} begins")
        self._later(TICK_SECONDS, self._tick)
        self._later(1.0, self._plan)

    @property
    def state(self) -> State:
        return self.core.memory.state

    def _now(self) -> Now:
        return Now((self.world.now - self._began) * self._rate, WALL + self.world.now)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        life = self._life
        self.world.after(seconds, lambda: act() if self.up and self._life == life else None)

    def crash(self, seconds: float) -> None:
        if not self.up:
            return
        self.up = False
        for job_id in self.state.jobs:
            self.world.rules.tell(job_id, "broker", "crashes")
        for stream in list(self.streams.values()):
            stream.cut()
        self.streams.clear()
        self.world.after(seconds, self._begin)

    def crash_at_commit(self) -> None:
        """Die just before the next commit, or after it and before anything is released."""
        self._crash_at_commit = self.world.random.choice(("before", "after"))

    def stall(self, seconds: float) -> None:
        """The store takes so long for its next commit."""
        self._commit_free_at = max(self._commit_free_at, self.world.now + seconds)

    # --- the loop -----------------------------------------------------------------

    def call(self, event: Event, answer: Answer) -> None:
        """A client's request: it may be lost on its way, and so may its answer."""
        if self.world.chance(0.1):
            return
        lossy = answer if self.world.chance(0.9) else None
        self.world.after(self.world.between(0.0, 0.2), lambda: self.post(event, lossy))

    def post(self, event: Event, answer: Answer | None = None) -> None:
        if not self.up:
            return
        self._waiting.append((event, answer))
        if not self._deciding:
            self._deciding = True
            self._later(self.world.between(0.0, 0.02), self._decide)

    def _decide(self) -> None:
        self._deciding = False
        batch, self._waiting = self._waiting, []
        step = self.core.handle([event for event, _ in batch], self._now())
        if step.records:
            self.state.check()
            self._judge(step)
        if self.release_early:
            self._release(step, batch)
        self._commit_free_at = max(self._commit_free_at, self.world.now)
        self._commit_free_at += self.world.between(0.001, 0.05)
        wait = self._commit_free_at - self.world.now
        self._later(wait, lambda: self._commit(step, batch))

    def _judge(self, step: Step) -> None:
        for send in step.sends:
            if isinstance(send.message, Grants):
                for name, pool in self.core.memory.presence[send.site].pools.items():
                    usable = pool.reported.cards_usable
                    jobs = self.state.jobs.values()
                    self.world.rules.leased(jobs, f"{send.site}/{name}", usable)

    def _commit(self, step: Step, batch: list[tuple[Event, Answer | None]]) -> None:
        if step.records and self._crash_at_commit == "before":
            self._crash_at_commit = ""
            self.crash(self.world.between(1.0, 30.0))
            return
        self.store.commit(step.records, self.core.memory.term)
        rows = [record.row for record in step.records if isinstance(record, Put)]
        self.world.rules.stored(row for row in rows if isinstance(row, Job))
        if step.records and self._crash_at_commit == "after":
            self._crash_at_commit = ""
            self.crash(self.world.between(1.0, 30.0))
            return
        if not self.release_early:
            self._release(step, batch)

    def _release(self, step: Step, batch: list[tuple[Event, Answer | None]]) -> None:
        for send in step.sends:
            self._deliver(send)
        for (_, answer), reply in zip(batch, step.replies, strict=True):
            if answer is not None:
                answer(reply)

    def _deliver(self, send: Send) -> None:
        message = send.message
        if isinstance(message, Grants):
            for grant in message.grants:
                where = f"{send.site} in {send.session}"
                text = f"grants epoch {grant.epoch} to {where}, anchor {grant.anchor_seq}"
                self.world.rules.tell(grant.job_id, "broker", text)
        if isinstance(message, Stops):
            for job_id, epoch, reason in message.stops:
                self.world.rules.tell(job_id, "broker", f"stop {epoch}: {reason}")
        stream = self.streams.get(send.session)
        if stream is not None:
            stream.down(message)
            if isinstance(message, Goodbye):
                stream.cut()

    def _tick(self) -> None:
        self.post(Tick())
        self._later(TICK_SECONDS, self._tick)

    def _plan(self) -> None:
        """A round on the present, handed in when the present has moved on."""
        if self.state.queue.count:
            snapshot = take_snapshot(self.core.memory, self._now(), ACCELERATORS)
            result = place(snapshot)
            seconds = self.world.between(0.0, 20.0 if self.world.chance(0.1) else 0.5)
            event = Proposals(result.placements, result.explanations, snapshot.now)
            self._later(seconds, lambda: self.post(event))
        self._later(self.world.between(3.0, 15.0), self._plan)

    # --- streams ------------------------------------------------------------------

    def open(self, stream: Stream) -> None:
        self.streams[stream.session] = stream

    def lost(self, stream: Stream) -> None:
        """The gateway sees that a stream has ended."""
        if self.streams.pop(stream.session, None) is not None:
            self.post(SessionClosed(stream.site, stream.session))

    def register(self, site: str) -> None:
        token = JoinToken(f"t-{site}", "secret", site, WALL + 600.0)
        events: tuple[Event, ...] = (
            CreateToken(token, "admin"),
            Join(site, token.id, "secret", "key", b"csr", "print"),
            Approve(site, "print", b"certificate", "admin"),
        )
        step = self.core.handle(events, self._now())
        self.store.commit(step.records, self.core.memory.term)
