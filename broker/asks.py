"""Questions that only a site can answer: passed along its session, never through the core.

The asker waits with a deadline; an answer nobody waits for any more is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from broker.core.presence import SitePresence
from broker.core.rows import Failure

ASKS_OPEN_MAX = 10_000
ANSWER_SECONDS = 15.0  # beyond the time the site was asked to wait


@dataclass(frozen=True, slots=True)
class LogAsk:
    """The bytes of one rank's log from `offset`, waiting `wait_seconds` for the first."""

    job_id: str
    epoch: int
    rank: int
    stream: str  # stdout | stderr
    offset: int
    limit_bytes: int
    wait_seconds: float
    since: float = 0.0  # wall seconds at the site: from the line begun then, not from `offset`


@dataclass(frozen=True, slots=True)
class LogPart:
    """A part of a log; `at_end`: nothing more will come. `ranks`: how many the attempt has."""

    data: bytes = b""
    next_offset: int = 0
    at_end: bool = False
    ranks: int = 0
    failure: Failure | None = None

    @property
    def offset(self) -> int:
        """Of the first byte of `data` in the log."""
        return max(self.next_offset - len(self.data), 0)


@dataclass(frozen=True, slots=True)
class SiteAsk:
    """A question on its way to a session."""

    gateway: str
    site: str
    session: str
    request_id: str
    ask: LogAsk


class Asks:
    """The open questions of one leader."""

    def __init__(self, deliver: Callable[[SiteAsk], None]) -> None:
        self._deliver = deliver
        self._open: dict[str, asyncio.Future[LogPart]] = {}
        self._numbers = count(1)

    async def ask(self, presence: SitePresence | None, ask: LogAsk) -> LogPart:
        """The site's answer, or a part with the failure that kept it away."""
        if presence is None or not presence.connected:
            return LogPart(failure=Failure("network", "SiteAway", "its site is not connected now"))
        if len(self._open) >= ASKS_OPEN_MAX:
            return LogPart(failure=Failure("broker", "BrokerBusy", "too many log readers"))
        request_id = str(next(self._numbers))
        future: asyncio.Future[LogPart] = asyncio.get_running_loop().create_future()
        self._open[request_id] = future
        try:
            self._deliver(
                SiteAsk(presence.gateway, presence.site, presence.session, request_id, ask)
            )
            return await asyncio.wait_for(future, ask.wait_seconds + ANSWER_SECONDS)
        except TimeoutError:
            return LogPart(failure=Failure("network", "SiteSilent", "its site did not answer"))
        finally:
            self._open.pop(request_id, None)

    def answer(self, request_id: str, part: LogPart) -> None:
        """A site answered."""
        future = self._open.get(request_id)
        if future is not None and not future.done():
            future.set_result(part)
