"""The open session streams of one gateway, each with a bounded outbox.

Replies to heartbeats never wait behind grants or log requests. A session whose agent
does not read is closed: the agent comes back and says Hello.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from broker.asks import SiteAsk
from broker.core.messages import Goodbye, HeartbeatReply, Send
from broker.leader import Outbound
from broker.services.files_wire import ask_to_wire
from broker.services.session_wire import message_to_wire
from suan.v1 import session_pb2

log = logging.getLogger(__name__)

OUTBOX_MESSAGES_MAX = 10_000
OUTBOX_BYTES_MAX = 32 << 20  # of one session
_URGENT = (HeartbeatReply, Goodbye)


class Session:
    """One stream's outbox."""

    def __init__(self, site: str, session: str) -> None:
        self.site = site
        self.session = session
        self.closing = False
        self._urgent: deque[session_pb2.BrokerMessage] = deque()
        self._bulk: deque[session_pb2.BrokerMessage] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()

    def put(self, message: session_pb2.BrokerMessage, urgent: bool) -> None:
        """Queue a message; closes the session when it does not read."""
        count = len(self._urgent) + len(self._bulk)
        if count >= OUTBOX_MESSAGES_MAX or self._bytes >= OUTBOX_BYTES_MAX:
            log.warning("site %s does not read; its session is closed", self.site)
            self.close()
            return
        (self._urgent if urgent else self._bulk).append(message)
        self._bytes += message.ByteSize()
        self._arrived.set()

    def close(self) -> None:
        """End the stream after what is queued."""
        self.closing = True
        self._arrived.set()

    async def next(self) -> session_pb2.BrokerMessage | None:
        """The next message to write, urgent ones first; None when the session is over."""
        while not self._urgent and not self._bulk:
            if self.closing:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        message = (self._urgent or self._bulk).popleft()
        self._bytes -= message.ByteSize()
        return message


class Sessions:
    """Sessions by site; a newer one of a site takes the older one's place."""

    def __init__(self) -> None:
        self._by_site: dict[str, Session] = {}
        self._unwelcome: dict[str, Session] = {}  # by session id, until the core has answered

    def open(self, site: str, session: str) -> Session:
        """A session that the core has still to welcome."""
        opened = Session(site, session)
        self._unwelcome[session] = opened
        return opened

    def close(self, session: Session) -> None:
        """The stream is gone."""
        self._unwelcome.pop(session.session, None)
        if self._by_site.get(session.site) is session:
            del self._by_site[session.site]

    def close_all(self) -> None:
        """The leader is gone: every agent must say Hello to the next one."""
        for session in (*self._by_site.values(), *self._unwelcome.values()):
            session.close()

    def deliver(self, batch: Sequence[Outbound]) -> None:
        """Queue what the leader sends; what is for a session that is gone is dropped."""
        for item in batch:
            session = self._find(item.site, item.session)
            if session is None:
                continue
            if isinstance(item, SiteAsk):
                session.put(ask_to_wire(item.request_id, item.ask), urgent=False)
            else:
                self._put(session, item)

    def _find(self, site: str, session: str) -> Session | None:
        newcomer = self._unwelcome.get(session)
        if newcomer is not None:
            return newcomer
        current = self._by_site.get(site)
        return current if current is not None and current.session == session else None

    def _put(self, session: Session, send: Send) -> None:
        urgent = isinstance(send.message, _URGENT)
        for message in message_to_wire(session.session, send.message):
            session.put(message, urgent)
        if isinstance(send.message, Goodbye):
            session.close()
        elif self._unwelcome.pop(session.session, None) is not None:
            replaced = self._by_site.get(session.site)
            if replaced is not None:
                replaced.close()
            self._by_site[session.site] = session
