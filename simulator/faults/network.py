"""The network: late, lossy, cut one way or both, with streams that break.

Calls (`send`) may be lost, late up to 300 s, or delivered twice. A `Stream` is what gRPC
gives: each lane in order until it breaks, urgent messages may overtake bulk; when it
breaks a tail is lost at either end, and what was under way may still turn up minutes
later, or a second time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from broker.core.messages import Hello
from simulator.faults.site_wire import SiteWire
from simulator.faults.world import Act, World

LATE_SECONDS_MAX = 300.0
CALL_LOSS, CALL_TWICE, LATE = 0.01, 0.01, 0.003  # probabilities of one message
GHOST = 0.4  # that a message of a dead stream arrives after all
TRAFFIC_KEPT = 120  # delivered messages, of all streams, that a replay takes from
RECENT_MAX = 3  # delivered messages, of each way, that may be seen again


class Network:
    """The roads between named nodes; each way of each road by itself."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dropped = self.delayed = self.repeated = 0
        self._calm = False
        self._traffic: deque[tuple[_Way, Stream, Any]] = deque(maxlen=TRAFFIC_KEPT)
        self._blocked: dict[tuple[str, str], float] = {}
        self._slow: dict[tuple[str, str], float] = {}

    # --- faults -----------------------------------------------------------------

    def cut(self, source: str, target: str, seconds: float) -> None:
        """Nothing gets from `source` to `target` for so long."""
        _prolong(self._blocked, (source, target), self.world.now + seconds)

    def slow(self, source: str, target: str, seconds: float) -> None:
        """Everything from `source` to `target` takes seconds instead of milliseconds."""
        _prolong(self._slow, (source, target), self.world.now + seconds)

    def isolate(self, name: str, others: Sequence[str], seconds: float) -> None:
        for other in others:
            self.cut(name, other, seconds)
            self.cut(other, name, seconds)

    def replay(self, count: int) -> None:
        """Somebody says again what was said before, on any stream."""
        for _ in range(min(count, len(self._traffic))):
            way, stream, message = self._traffic[int(self.world.random() * len(self._traffic))]
            stream.haunt(way, message, 60.0)

    def echo(self, name: str, count: int, seconds: float) -> None:
        """For so long somebody says to `name` what it was told before, in any session."""
        told = [item for item in self._traffic if item[0].target.name == name]
        for _ in range(count if told else 0):
            way, stream, message = told[int(self.world.random() * len(told))]
            stream.haunt(way, message, seconds)

    def captured(self, way: _Way, stream: Stream, message: Any) -> None:
        """What was delivered; a Hello needs a stream of its own and cannot be said again."""
        if not isinstance(message, Hello):
            self._traffic.append((way, stream, message))

    def heal(self) -> None:
        """From now on every message arrives once, and soon."""
        self._calm = True
        self._blocked.clear()
        self._slow.clear()

    # --- roads ------------------------------------------------------------------

    def blocked_until(self, source: str, target: str) -> float:
        return self._blocked.get((source, target), 0.0)

    def joined(self, one: str, other: str) -> bool:
        """Whether a connection can be made now: both ways are open."""
        now = self.world.now
        return self.blocked_until(one, other) <= now and self.blocked_until(other, one) <= now

    def seconds(self, source: str, target: str) -> float:
        """How long the next message takes."""
        world = self.world
        chance = world.random()
        if chance < LATE and not self._calm:
            self.delayed += 1
            return world.between(1.0, LATE_SECONDS_MAX)
        if self._slow and self._slow.get((source, target), 0.0) > world.now:
            return world.between(1.0, 20.0)
        return 0.005 + 0.1 * chance

    def send(self, source: str, target: str, act: Act) -> None:
        """One message of a call: `act` happens at `target`, perhaps never, perhaps twice."""
        world = self.world
        blocked = self.blocked_until(source, target) - world.now
        if self._calm:
            world.after(self.seconds(source, target), act)
            return
        if world.chance(0.7 if blocked > 0 else CALL_LOSS):
            self.dropped += 1
            return
        world.after(max(blocked, 0.0) + self.seconds(source, target), act)
        if world.chance(CALL_TWICE):
            self.repeated += 1
            world.after(max(blocked, 0.0) + world.between(0.0, LATE_SECONDS_MAX), act)


def _prolong(table: dict[tuple[str, str], float], key: tuple[str, str], until: float) -> None:
    table[key] = max(table.get(key, 0.0), until)


class StreamEnd(Protocol):
    """A process at one end of streams."""

    name: str

    def soon(self, act: Act) -> None:
        """Do it now, or when the process goes on."""

    def hear(self, stream: Stream, message: Any) -> None:
        """A message arrived; `stream` may be one that is long gone."""

    def lose(self, stream: Stream) -> None:
        """The stream has ended."""


class _Way:
    """One direction of a stream, from one process to another."""

    def __init__(self, source: StreamEnd, target: StreamEnd) -> None:
        self.source = source
        self.target = target
        self.target_open = True
        self.lanes = [0.0, 0.0]  # arrival of the last message: bulk, urgent
        self.recent: deque[Any] = deque(maxlen=RECENT_MAX)


class Stream:
    """One session's stream between an agent and a broker."""

    def __init__(
        self, network: Network, wire: SiteWire, session: str, agent: StreamEnd, broker: StreamEnd
    ) -> None:
        self.site = agent.name
        self.session = session
        self.wire = wire
        self._network = network
        self._up = _Way(agent, broker)
        self._down = _Way(broker, agent)

    def up(self, message: Any, urgent: bool) -> None:
        self._send(self._up, message, urgent)

    def down(self, message: Any, urgent: bool) -> None:
        self._send(self._down, message, urgent)

    @property
    def open_at_broker(self) -> bool:
        return self._up.target_open

    def _send(self, way: _Way, message: Any, urgent: bool) -> None:
        network = self._network
        source, target = way.source.name, way.target.name
        begin = max(network.world.now, network.blocked_until(source, target))
        arrival = max(way.lanes[urgent], begin + network.seconds(source, target))
        way.lanes[urgent] = arrival
        network.world.at(arrival, lambda: self._arrive(way, message))

    def _arrive(self, way: _Way, message: Any) -> None:
        if way.target_open:
            way.recent.append(message)
            self._network.captured(way, self, message)
            way.target.soon(lambda: way.target.hear(self, message))
        elif self._network.world.chance(GHOST):
            self.haunt(way, message, LATE_SECONDS_MAX)
        else:
            self._network.dropped += 1

    def haunt(self, way: _Way, message: Any, seconds_max: float) -> None:
        """It turns up when nobody waits for it any more."""
        network = self._network
        network.repeated += 1
        seconds = network.world.between(0.0, seconds_max)
        hear = way.target.hear
        network.world.after(seconds, lambda: way.target.soon(lambda: hear(self, message)))

    # --- its end ----------------------------------------------------------------

    def close_at_agent(self) -> None:
        """The agent hangs up, or dies: the broker learns of it, late if the road is cut."""
        self._close(self._down, self._up)

    def close_at_broker(self) -> None:
        """The broker hangs up, or dies: the agent learns of it, or sees only silence."""
        self._close(self._up, self._down)

    def _close(self, here: _Way, there: _Way) -> None:
        """`here` leads to the end that hangs up."""
        if not here.target_open:
            return
        self._shut(here)
        world = self._network.world
        if there.target_open and not world.chance(0.15):
            blocked = self._network.blocked_until(there.source.name, there.target.name)
            notice = max(world.now, blocked, *there.lanes) + world.between(0.0, 2.0)
            world.at(notice, lambda: self._lost(there))
        elif there.target_open:  # half open: only its keep-alive tells
            world.after(world.between(20.0, 120.0), lambda: self._lost(there))

    def tear(self) -> None:
        """The connection breaks; each end sees it in its time."""
        world = self._network.world
        for way in (self._up, self._down):
            if way.target_open:
                seconds = world.between(0.0, 90.0 if world.chance(0.2) else 3.0)
                world.after(seconds, partial(self._lost, way))
        if world.chance(0.5):  # what is under way to the broker is lost at once
            self._shut(self._up)
            world.after(1.0, lambda: self._up.target.soon(lambda: self._up.target.lose(self)))

    def _lost(self, way: _Way) -> None:
        if way.target_open:
            self._shut(way)
            way.target.soon(lambda: way.target.lose(self))

    def _shut(self, way: _Way) -> None:
        """This end hears no more, but for ghosts."""
        way.target_open = False
        for message in way.recent:
            if self._network.world.chance(0.1):
                self.haunt(way, message, LATE_SECONDS_MAX)
        way.recent.clear()
