"""Questions that only a site can answer: passed along its session, never through the core.

The asker waits with a deadline; an answer nobody waits for any more is dropped.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol, TypeVar

from broker.core.presence import SitePresence
from broker.core.rows import Failure

ASKS_OPEN_MAX = 10_000
ANSWER_SECONDS = 15.0  # beyond the time the site was asked to wait


P = TypeVar("P", covariant=True)  # what answers


class Ask(Protocol[P]):
    """A question for a site, which waits up to `wait_seconds` before it answers."""

    @property
    def wait_seconds(self) -> float: ...

    def failed(self, failure: Failure) -> P:
        """The answer that says why there is none."""


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

    def failed(self, failure: Failure) -> LogPart:
        return LogPart(failure=failure)


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
class FileAsk:
    """Bytes of a file of an attempt from `offset`, or, with `lists`, what is in a directory."""

    job_id: str
    epoch: int
    path: str  # begins with the name of a root; "": the roots
    lists: bool = False
    after: str = ""  # of a list: only names behind this one
    offset: int = 0
    limit_bytes: int = 0
    wait_seconds: float = 0.0

    def failed(self, failure: Failure) -> FilePart:
        return FilePart(failure=failure)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One name of a directory; `version` is the same while it is the same file."""

    name: str = ""
    kind: str = ""  # "file" | "directory" | "other"
    size_bytes: int = 0
    modified_ns: int = 0
    executable: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part of a file or of a directory's list; `entry`: what the path itself names."""

    entry: FileEntry = FileEntry()
    entries: tuple[FileEntry, ...] = ()
    more: bool = False
    data: bytes = b""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class CommandAsk:
    """Begin a command beside a rank of an attempt, or go on with it: one id is begun once."""

    job_id: str
    epoch: int
    command_id: str
    rank: int
    argv: tuple[str, ...] = ()  # none: it was begun before
    timeout_seconds: float = 0.0
    takes_input: bool = False
    stdout_offset: int = 0  # all before it was read
    stderr_offset: int = 0
    limit_bytes: int = 0
    wait_seconds: float = 0.0
    is_unwanted: bool = False  # it shall end
    actor: str = ""
    input: bytes = b""
    input_offset: int = 0
    input_ends: bool = False

    def failed(self, failure: Failure) -> CommandPart:
        return CommandPart(failure=failure)


@dataclass(frozen=True, slots=True)
class CommandPart:
    """What a command wrote, and how it ended."""

    stdout: bytes = b""
    stderr: bytes = b""
    has_ended: bool = False
    exit_code: int = 0
    input_taken: int = 0
    failure: Failure | None = None


Part = LogPart | FilePart | CommandPart


@dataclass(frozen=True, slots=True)
class SiteAsk:
    """A question on its way to a session."""

    gateway: str
    site: str
    session: str
    request_id: str
    ask: Ask[Any]


class Asks:
    """The open questions of one leader."""

    def __init__(self, deliver: Callable[[SiteAsk], None]) -> None:
        self._deliver = deliver
        self._open: dict[str, asyncio.Future[Any]] = {}
        self._sessions: dict[str, set[str]] = {}  # the requests of each
        self._numbers = count(1)

    async def ask(self, presence: SitePresence | None, ask: Ask[P]) -> P:
        """The site's answer, or a part with the failure that kept it away."""
        if presence is None or not presence.connected:
            return ask.failed(Failure("network", "SiteAway", "its site is not connected now"))
        if len(self._open) >= ASKS_OPEN_MAX:
            return ask.failed(Failure("broker", "BrokerBusy", "too many readers"))
        # No other site can guess it and answer in this one's place.
        request_id = f"{next(self._numbers)}-{secrets.token_hex(16)}"
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._open[request_id] = future
        session = presence.session
        self._sessions.setdefault(session, set()).add(request_id)
        try:
            self._deliver(
                SiteAsk(presence.gateway, presence.site, presence.session, request_id, ask)
            )
            part = await asyncio.wait_for(future, ask.wait_seconds + ANSWER_SECONDS)
        except ConnectionError:
            return ask.failed(Failure("network", "SiteAway", "its site was cut off meanwhile"))
        except TimeoutError:
            return ask.failed(Failure("network", "SiteSilent", "its site did not answer"))
        finally:
            self._open.pop(request_id, None)
            asked = self._sessions[session]
            asked.discard(request_id)
            if not asked:
                del self._sessions[session]
        empty = ask.failed(Failure("site", "AnswerUnreadable", "its site answered otherwise"))
        return part if isinstance(part, type(empty)) else empty

    def lose(self, session: str) -> None:
        """That session is over: what was asked in it is never answered."""
        for request_id in self._sessions.get(session, ()):
            future = self._open[request_id]
            if not future.done():
                future.set_exception(ConnectionError())

    def answer(self, request_id: str, part: Part) -> None:
        """A site answered."""
        future = self._open.get(request_id)
        if future is not None and not future.done():
            future.set_result(part)
