"""A broker's process: waits for the lead, leads, and dies when it may lead no longer.

The lead is a lease in the shared store, kept alive from here; how long it surely lasts is
counted on this node's own clock, from when the last successful renewal was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

from broker.core.limits import Limits
from broker.core.messages import Event, Goodbye, Refusal, Reply, Send
from broker.leadership import StandbyState
from simulator.faults.broker_lead import BrokerLead
from simulator.faults.invariants import Invariants
from simulator.faults.network import Network, Stream
from simulator.faults.shared_store import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    Follow,
    SharedStore,
    Standing,
)
from simulator.faults.site_wire import URGENT_DOWN
from simulator.faults.world import Node, NodeClock

T = TypeVar("T")
RESTART_SECONDS = 1.0, 5.0  # after it lost the lead
LOAD_SECONDS = 0.05, 2.0
CRASH_PLACES = ("before a commit", "after a commit", "between two sends")
NOT_LEADER = Refusal("NotLeader", "another broker leads", "UNAVAILABLE", "ask another one")


class BrokerNode(Node):
    """One broker over all its lives."""

    def __init__(
        self,
        network: Network,
        store: SharedStore,
        invariants: Invariants,
        name: str,
        limits: Limits,
        rate: float,
    ) -> None:
        super().__init__(network.world, name)
        self.network = network
        self.store = store
        self.invariants = invariants
        self.limits = limits
        self.clock = NodeClock(network.world, rate)
        self.lead: BrokerLead | None = None
        self.deaf_until = 0.0  # fault: too busy to take what agents say

    # --- life -----------------------------------------------------------------------

    def start(self) -> None:
        self.up = True
        self.lead = None
        self._streams: dict[str, Stream] = {}  # by session
        self._current: dict[str, str] = {}  # site -> its welcome session
        self._led_until = -inf
        self._loading = False
        self._standby = StandbyState()
        self._revision = 0
        self._owner = f"{self.name}#{self.life}"
        self._keep_alive()
        self._follow()

    def crash(self, seconds: float, why: str = "broker crashes") -> None:
        """Die now, and begin again after so long."""
        if not self.up:
            return
        self.tell(why)
        self.end()
        self.lead = None
        for stream in self._streams.values():
            stream.close_at_broker()
        self._streams.clear()
        self.world.after(seconds, self.start)

    def step_down(self, why: str) -> None:
        """Whoever may not lead any more ends, and waits for another turn."""
        self.crash(self.world.between(*RESTART_SECONDS), why)

    def _die(self, place: str) -> None:
        self.crash(self.world.between(1.0, 60.0), f"broker crashes {place}")

    # --- the lead -------------------------------------------------------------------

    def ask_store(self, question: Callable[[], T], answered: Callable[[T], None]) -> None:
        """A call to the store; its answer may never come, or come twice."""
        life = self.life

        def ask() -> None:
            answer = question()
            seconds = self.store.answer_seconds()
            self.world.after(seconds, lambda: self.network.send("store", self.name, hear(answer)))

        def hear(answer: T) -> Callable[[], None]:
            def heard() -> None:
                if self.life == life:
                    self.soon(lambda: answered(answer))

            return heard

        self.network.send(self.name, "store", ask)

    def _keep_alive(self) -> None:
        sent_at = self.clock.elapsed()
        owner = self._owner
        self.ask_store(
            lambda: self.store.keep_alive(owner), lambda standing: self._kept(sent_at, standing)
        )
        self.later(RENEW_SECONDS, self._keep_alive)

    def _kept(self, sent_at: float, standing: Standing) -> None:
        if not standing.alive:
            self.step_down("lease is gone; steps down")
            return
        surely = LEASE_SECONDS * (1 - self.limits.clock_drift) ** 2
        self._led_until = max(self._led_until, sent_at + surely)
        if standing.term and self.lead is None and not self._loading:
            self._loading = True
            self._load(standing.term)

    def led_seconds(self) -> float:
        """How long nobody else can have begun to lead, by this node's own clock."""
        return self._led_until - self.clock.elapsed()

    def _follow(self) -> None:
        """Keep the state at hand while another leads."""
        if self.lead is None and not self._loading:
            self.ask_store(lambda: self.store.read_from(self._revision), self._take_in)
            self.later(self.world.between(20.0, 60.0), self._follow)

    def _take_in(self, follow: Follow) -> None:
        if follow.revision <= self._revision or self.lead is not None:
            return
        if follow.whole:
            self._standby.load(follow.puts())
        elif follow.since == self._revision:
            self._standby.apply(list(follow.records()))
        else:
            return
        self._revision = follow.revision

    def _load(self, term: int) -> None:
        """Read what was stored before this term, again until it is here; then lead."""

        def begin(follow: Follow) -> None:
            if self.lead is None:
                self._take_in(follow)
                if self._revision >= follow.revision:
                    self._begin(term)

        def again() -> None:
            if self.lead is None:
                self.ask_store(lambda: self.store.read_from(self._revision), begin)
                self.later(5.0, again)

        self.later(self.world.between(*LOAD_SECONDS), again)

    def _begin(self, term: int) -> None:
        if self.led_seconds() <= 0:
            self.step_down("is too late to lead")
            return
        self.lead = BrokerLead(self, self._standby.state, term)
        self.invariants.loaded(self.lead.state.jobs)
        self.tell(f"leads in term {term}")

    # --- clients --------------------------------------------------------------------

    def call(self, event: Event, answer: Callable[[Reply | None], None]) -> None:
        """A request that arrived here; `answer` is called when, and if, it is answered."""
        if not self.up:
            return
        if self.lead is None:
            self.soon(lambda: answer(NOT_LEADER))
        else:
            self.soon(lambda: self.lead.post(event, answer) if self.lead else None)

    # --- streams --------------------------------------------------------------------

    def hear(self, stream: Stream, message: Any) -> None:
        """Also of streams long gone: the core is to tell them apart."""
        if self.lead is None:
            stream.close_at_broker()
            return
        if stream.open_at_broker and stream.session not in self._streams:
            self._streams[stream.session] = stream
        full = self.world.now < self.deaf_until and self.world.chance(0.5)
        self.lead.hear(message, room=not full)

    def lose(self, stream: Stream) -> None:
        if self._streams.pop(stream.session, None) is not None and self.lead is not None:
            self.lead.lose(stream.site, stream.session)

    def deliver(self, send: Send) -> None:
        """To the session's stream; what is for a session that is gone is dropped."""
        stream = self._streams.get(send.session)
        if stream is None:
            return
        stream.down(send.message, isinstance(send.message, URGENT_DOWN))
        if isinstance(send.message, Goodbye):
            self._hang_up(stream)
            return
        former = self._current.get(send.site, send.session)
        self._current[send.site] = send.session
        if former != send.session and former in self._streams:
            self._hang_up(self._streams[former])

    def _hang_up(self, stream: Stream) -> None:
        stream.close_at_broker()
        self.lose(stream)
