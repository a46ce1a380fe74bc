"""An agent's connection: dials one broker after another, keeps one stream at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agent.supervisor.messages import Closed, Effect, Event, Opened
from broker.core.messages import Goodbye
from simulator.faults.network import Network, Stream
from simulator.faults.site_wire import URGENT_UP, SiteWire
from simulator.faults.world import Node

if TYPE_CHECKING:
    from simulator.faults.broker_node import BrokerNode

RECONNECT_SECONDS = 0.5, 12.0
DIAL_SECONDS = 10.0  # until a connection that cannot be made is given up


class SiteSession:
    """One life of an agent at the wire."""

    def __init__(
        self,
        agent: AgentEnd,
        network: Network,
        brokers: Sequence[BrokerNode],
        wire: Callable[[str], SiteWire],
        post: Callable[[Event], None],
    ) -> None:
        self._agent = agent
        self._network = network
        self._brokers = brokers
        self._make_wire = wire
        self._post = post
        self._next = 0
        self.stream: Stream | None = None
        agent.later(agent.world.between(0.0, 3.0), self._dial)

    def _dial(self) -> None:
        world = self._agent.world
        broker = self._brokers[self._next % len(self._brokers)]
        self._next += 1
        if not broker.up or not self._network.joined(self._agent.name, broker.name):
            quick = broker.up is False and world.chance(0.7)  # refused, or no answer at all
            self._again(0.1 if quick else DIAL_SECONDS)
            return
        self._next -= 1  # this one, until it says no
        session = f"{self._agent.name}.{int(world.random() * 16**8):08x}"
        wire = self._make_wire(broker.name)
        self.stream = Stream(self._network, wire, session, self._agent, broker)
        self._post(Opened(session))

    def _again(self, seconds: float) -> None:
        pause = self._agent.world.between(*RECONNECT_SECONDS)
        self._agent.later(seconds + pause, self._dial)

    def send(self, said: Effect, session: str) -> None:
        stream = self.stream
        if stream is None or stream.session != session:
            return
        event = stream.wire.up(said)
        stream.up(event, isinstance(event, URGENT_UP))

    def hear(self, stream: Stream, message: Any) -> None:
        """Also of streams long gone: the supervisor is to tell them apart."""
        if isinstance(message, Goodbye):
            if stream is self.stream:
                self.close(stream.session)
            return
        with suppress(KeyError):  # a spec that came in a message that was lost: a ghost
            for event in stream.wire.down(stream.session, message):
                self._post(event)

    def close(self, session: str) -> None:
        """End the stream; another follows, to the next broker."""
        stream = self.stream
        if stream is not None and stream.session == session:
            stream.close_at_agent()
            self._gone(stream)

    def lose(self, stream: Stream) -> None:
        if stream is self.stream:
            self._gone(stream)

    def _gone(self, stream: Stream) -> None:
        self.stream = None
        self._next += 1
        self._post(Closed(stream.session))
        self._again(0.0)

    def tear(self) -> None:
        if self.stream is not None:
            self.stream.tear()


class AgentEnd(Node):
    """The agent's process as its streams see it."""

    def hear(self, stream: Stream, message: Any) -> None:
        raise NotImplementedError

    def lose(self, stream: Stream) -> None:
        raise NotImplementedError
