"""One term of a leader: the real core between its batches, the store, sessions and rounds.

As `broker.loop`: gather, decide, store, let go. While one batch commits the next is
decided; sends and replies leave only when their batch is durable. While the store fails,
requests are refused and heartbeats are answered. As `broker.planner`: rounds of the real
scheduler on a snapshot, whose proposals come back as events, perhaps late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from broker.core.core import Core
from broker.core.messages import (
    Capacity,
    Event,
    Grants,
    Heartbeat,
    HeartbeatReply,
    Hello,
    Now,
    Proposals,
    Refusal,
    Reply,
    SessionClosed,
    Step,
    Tick,
)
from broker.core.rows import Record
from broker.core.snapshot import take_snapshot
from broker.core.state import State
from broker.gaps import Gaps
from scheduler.model import Policy, SiteState, Snapshot
from scheduler.placement import place
from simulator.faults.shared_store import Write, Written, write_of
from simulator.faults.specs import ACCELERATORS

if TYPE_CHECKING:
    from simulator.faults.broker_node import BrokerNode

Answer = Callable[[Reply | None], None]
GATHER_SECONDS = 0.0, 0.02
TICK_SECONDS = 6.0
COMMIT_SECONDS_MAX = 5.0  # without an answer the write is tried again
RETRY_SECONDS = 1.0
ROUND_SECONDS = 0.5  # the shortest time between two rounds
IDLE_ROUND_SECONDS = 120.0  # a job that had to wait is looked at again so often
CHECK_EVERY = 40  # batches with records, between two checks of all tables
CANNOT_STORE = Refusal("StoreFailed", "the broker cannot store now", "UNAVAILABLE", "try again")
_POLICY = Policy()


@dataclass(slots=True)
class Batch:
    """Events, who waits for their answers, and what the core made of them."""

    answers: list[Answer | None]
    step: Step
    write: Write | None


class BrokerLead:
    """Lives until its node's life ends."""

    def __init__(self, node: BrokerNode, state: State, term: int) -> None:
        self.node = node
        self.term = term
        self.core = Core(state, node.limits, term, self._now(), ACCELERATORS)
        self.state.check()
        self._waiting: list[tuple[Event, Answer | None]] = []
        self._deciding = False
        self._decided: Batch | None = None  # waits for the commit before
        self._committing: Batch | None = None
        self._unstored: list[Record] = []  # of heartbeats that were answered ahead of their turn
        self._gaps = Gaps()
        self._failing = False
        self._writes = 0
        self._planning = False
        self._seen: object = None  # what the last round saw
        self._tick()
        self._idle_round()

    @property
    def state(self) -> State:
        return self.core.memory.state

    def _now(self) -> Now:
        return Now(self.node.clock.elapsed(), self.node.clock.wall())

    # --- what comes -----------------------------------------------------------------

    def post(self, event: Event, answer: Answer) -> None:
        """A request of a client or an administrator."""
        if self._failing:
            answer(CANNOT_STORE)
        else:
            self._put(event, answer)

    def hear(self, event: Event, room: bool) -> None:
        """What an agent says, if there is room for it: nobody waits for an answer."""
        if self._failing and isinstance(event, Heartbeat):
            self._renew(event)
        elif not room:
            self._gaps.lose(event)
        elif self._gaps.admit(event):
            self._put(event, None)

    def lose(self, site: str, session: str) -> None:
        self._put(SessionClosed(site, session), None)

    def _put(self, event: Event, answer: Answer | None) -> None:
        self._waiting.append((event, answer))
        self._gather()

    def _tick(self) -> None:
        self._put(Tick(), None)
        self.node.later(TICK_SECONDS, self._tick)

    # --- decide ---------------------------------------------------------------------

    def _gather(self) -> None:
        if self._waiting and not self._deciding and self._decided is None:
            self._deciding = True
            self.node.later(self.node.world.between(*GATHER_SECONDS), self._decide)

    def _decide(self) -> None:
        self._deciding = False
        if not self._leads():
            return
        waiting, self._waiting = self._waiting, []
        events = [event for event, _ in waiting]
        offered = self._offered() if any(isinstance(e, Proposals) for e in events) else {}
        step = self.core.handle(events, self._now())
        if self._unstored:
            step = replace(step, records=(*self._unstored, *step.records))
            self._unstored = []
        write = self._write_of(step.records) if step.records else None
        self._judge(step, offered)
        self._keep(Batch([answer for _, answer in waiting], step, write))
        if write is not None or any(isinstance(e, Hello | Capacity) for e in events):
            self._wake_planner()
        self._store_next()

    def _keep(self, batch: Batch) -> None:
        """Nobody hears of it before it is durable."""
        self._decided = batch

    def _leads(self) -> bool:
        """Leases may be renewed only while no other broker can have begun to lead."""
        if self.node.led_seconds() > 0:
            return True
        self.node.step_down("cannot be sure to lead; steps down")
        return False

    def _renew(self, event: Heartbeat) -> None:
        """While nothing can be stored: renew the site's leases and say nothing else."""
        if not self._leads():
            return
        step = self.core.handle([event], self._now())
        self._unstored.extend(step.records)
        for send in step.sends:
            if isinstance(send.message, HeartbeatReply):
                bare = replace(send.message, stop=(), extension_seconds=0.0)
                self.node.deliver(replace(send, message=bare))

    def _write_of(self, records: tuple[Record, ...]) -> Write:
        self._writes += 1
        if self._writes % CHECK_EVERY == 0:
            self.state.check()
        return write_of(self.term, self._writes, records)

    def _offered(self) -> dict[str, int]:
        """Cards that each pool offers now."""
        return {
            use.reported.key: use.reported.cards_usable
            for presence in self.core.memory.presence.values()
            for use in presence.pools.values()
        }

    def _judge(self, step: Step, before: dict[str, int]) -> None:
        """I4, each time that leases are given; the site may have offered less right after."""
        granted = {
            f"{send.site}/{grant.pool}": None
            for send in step.sends
            if isinstance(send.message, Grants)
            for grant in send.message.grants
        }
        after = self._offered() if granted else {}
        for pool in granted:
            most = max(after.get(pool, 0), before.get(pool, 0))
            self.node.invariants.leased(self.state.jobs.values(), pool, most)

    # --- store ----------------------------------------------------------------------

    def _store_next(self) -> None:
        batch = self._decided
        if batch is None or self._committing is not None:
            return
        self._decided, self._committing = None, batch
        if batch.write is None:
            self._settle(batch)
        elif not self.node.dies_at("before a commit"):
            self.node.soon(lambda: self._commit(batch))

    def _commit(self, batch: Batch) -> None:
        """Until the store says that it is done, or that another leads."""
        write = batch.write
        if self._committing is not batch or write is None:
            return
        store = self.node.store
        self.node.ask_store(lambda: store.commit(write), lambda said: self._hear(batch, said))
        self.node.later(COMMIT_SECONDS_MAX, lambda: self._overdue(batch))

    def _overdue(self, batch: Batch) -> None:
        if self._committing is batch and self._leads():
            self._failing = True
            self.node.later(RETRY_SECONDS, lambda: self._commit(batch))

    def _hear(self, batch: Batch, said: Written) -> None:
        if self._committing is not batch:
            return
        if said is Written.STALE:
            self.node.step_down("another has begun to lead; steps down")
        elif said is Written.REFUSED:
            self._failing = True
        else:
            self._failing = False
            if not self.node.dies_at("after a commit"):
                self.node.soon(lambda: self._settle(batch))

    # --- let go ---------------------------------------------------------------------

    def _settle(self, batch: Batch) -> None:
        if self._committing is not batch:
            return
        self._committing = None
        self._release(batch)
        self._store_next()
        self._gather()

    def _release(self, batch: Batch) -> None:
        self._send(batch)
        self._reply(batch)

    def _send(self, batch: Batch) -> None:
        for done, send in enumerate(batch.step.sends):
            if done and self.node.dies_at("between two sends"):
                return
            self.node.deliver(send)

    def _reply(self, batch: Batch) -> None:
        for answer, reply in zip(batch.answers, batch.step.replies, strict=True):
            if answer is not None and self.node.up:
                answer(reply)

    # --- rounds ---------------------------------------------------------------------

    def _wake_planner(self) -> None:
        if not self._planning and self.state.queue.count:
            self._planning = True
            self.node.later(ROUND_SECONDS, self._plan)

    def _idle_round(self) -> None:
        self._seen = None
        self._wake_planner()
        self.node.later(IDLE_ROUND_SECONDS, self._idle_round)

    def _is_new(self, snapshot: Snapshot) -> bool:
        """Whether it could be placed otherwise than what the last round saw."""
        opened = {site.name for site in snapshot.sites if site.state is SiteState.OPEN}
        free = tuple(p for p in snapshot.pools if p.site in opened and p.cards_free)
        before, self._seen = self._seen, (snapshot.queue, free, len(snapshot.holds))
        return before is None or (bool(free) and before != self._seen)

    def _plan(self) -> None:
        """A round on the present, if it is a new one, handed in when it has moved on."""
        self._planning = False
        if not self.state.queue.count:
            return
        snapshot = take_snapshot(self.core.memory, self._now(), ACCELERATORS)
        if not snapshot.queue or not self._is_new(snapshot):
            return
        result = place(snapshot, _POLICY)
        world = self.node.world
        seconds = world.between(0.0, 20.0 if world.chance(0.1) else 0.5)
        proposals = Proposals.of(result, snapshot.now)
        self.node.later(seconds, lambda: self._put(proposals, None))
