"""One session's stream: in order, late, cut at any moment, and noticed late by either end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from support_sim_broker import BrokerModel
from support_sim_world import World

from broker.core.messages import Event, SiteMessage


class Line(Protocol):
    """The road between a site and the broker."""

    up_blocked_until: float
    down_blocked_until: float


class AgentStream:
    """TCP as it is: a prefix of what was said arrives, and nothing tells how much of it."""

    def __init__(
        self,
        world: World,
        broker: BrokerModel,
        line: Line,
        site: str,
        session: str,
        receive: Callable[[SiteMessage], None],
        ended: Callable[[], None],
    ) -> None:
        self.site = site
        self.session = session
        self._world = world
        self._broker = broker
        self._line = line
        self._receive = receive
        self._ended = ended
        self._open_here = True  # the agent's end
        self._open_there = True  # the broker's end
        self._greeted = False
        self._up_at = self._down_at = 0.0

    def _delay(self) -> float:
        world = self._world
        return world.between(1.0, 30.0) if world.chance(0.02) else world.between(0.005, 0.1)

    # --- the agent's end ------------------------------------------------------------

    def up(self, event: Event) -> None:
        now = self._world.now
        arrival = max(self._up_at, now + self._delay())
        if now < self._line.up_blocked_until:
            arrival = max(arrival, self._line.up_blocked_until + self._delay())
        self._up_at = arrival
        self._world.after(arrival - now, lambda: self._arrive(event))

    def _arrive(self, event: Event) -> None:
        if not self._open_there or not self._broker.up:
            return
        if not self._greeted:
            self._greeted = True
            self._broker.open(self)
        if self.session in self._broker.streams:
            self._broker.post(event)

    def close(self) -> None:
        """The agent hangs up; what is on its way may still arrive."""
        self._open_here = False
        world = self._world
        world.after(world.between(0.0, 90.0 if world.chance(0.2) else 2.0), self._gone_there)

    # --- the broker's end -------------------------------------------------------------

    def down(self, message: SiteMessage) -> None:
        now = self._world.now
        arrival = max(self._down_at, now + self._delay())
        if now < self._line.down_blocked_until:
            arrival = max(arrival, self._line.down_blocked_until + self._delay())
        self._down_at = arrival
        self._world.after(
            arrival - now, lambda: self._receive(message) if self._open_here else None
        )

    def cut(self) -> None:
        """The broker hangs up, or dies: the agent may see it, or only its own silence."""
        self._open_there = False
        if self._world.chance(0.8):
            last = max(self._down_at - self._world.now, 0.0)
            self._world.after(last + self._world.between(0.0, 3.0), self._gone_here)

    # --- the road between -------------------------------------------------------------

    def tear(self) -> None:
        """The connection breaks: both ends see it, each in its time; some words are lost."""
        world = self._world
        if world.chance(0.5):
            self._open_there = False
        world.after(world.between(0.0, 5.0), self._gone_here)
        world.after(world.between(0.0, 90.0 if world.chance(0.2) else 5.0), self._gone_there)

    def _gone_here(self) -> None:
        if self._open_here:
            self._open_here = False
            self._ended()

    def _gone_there(self) -> None:
        self._open_there = False
        self._broker.lost(self)
