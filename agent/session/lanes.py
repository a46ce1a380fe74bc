"""What waits to be written on one stream: heartbeats first, logs last, all of it bounded.

Capacity waits in one place, where a newer word replaces the older, and so does what is said
of data; reports that wait are put together. Knows the supervisor's sends and nothing of gRPC.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

from agent.data_messages import SendCache, SendStaging
from agent.reach.tail_messages import SendTails
from agent.supervisor.messages import SendCapacity, SendReports
from agent.wire.answers import Answer
from agent.wire.encode import Send

URGENT_MAX = 64  # hellos, reconciles, heartbeats
REPORTS_MAX = 10_000  # messages
LOGS_MAX = 256  # answers, of at most 256 KiB each
REPORTS_PER_MESSAGE_MAX = 500


class LaneOverflow(Exception):
    """The broker does not read what it is sent; the session cannot go on."""


class Lanes:
    """One stream's queues. For one event loop."""

    def __init__(self) -> None:
        self._urgent: deque[Send] = deque()
        self._reports: deque[SendReports] = deque()
        self._capacity: SendCapacity | None = None
        self._data: dict[type[Send], Send] = {}  # the newest word of each kind
        self._logs: deque[Answer] = deque()
        self._tails: SendTails | None = None  # the next one comes when it was answered
        self._arrived = asyncio.Event()

    def put(self, send: Send) -> None:
        """Queue a message. Raises LaneOverflow."""
        if isinstance(send, SendReports):
            self._put_reports(send)
        elif isinstance(send, SendCapacity):
            self._capacity = send if self._capacity is None else _merged(self._capacity, send)
        elif isinstance(send, SendCache | SendStaging):
            self._data[type(send)] = send
        elif isinstance(send, SendTails):
            self._tails = send
        else:
            if len(self._urgent) >= URGENT_MAX:
                raise LaneOverflow("heartbeats pile up")
            self._urgent.append(send)
        self._arrived.set()

    def put_log(self, answer: Answer) -> None:
        """Queue a part of a log or of a file. Raises LaneOverflow."""
        if len(self._logs) >= LOGS_MAX:
            raise LaneOverflow("parts of logs and files pile up")
        self._logs.append(answer)
        self._arrived.set()

    async def next(self) -> Send | Answer:
        """What to write next; waits until there is something."""
        while True:
            if self._urgent:
                return self._urgent.popleft()
            if self._reports:
                return self._reports.popleft()
            if self._capacity is not None:
                capacity, self._capacity = self._capacity, None
                return capacity
            if self._data:
                return self._data.pop(next(iter(self._data)))
            if self._logs:
                return self._logs.popleft()
            if self._tails is not None:
                tails, self._tails = self._tails, None
                return tails
            self._arrived.clear()
            await self._arrived.wait()

    def _put_reports(self, send: SendReports) -> None:
        last = self._reports[-1] if self._reports else None
        if last and len(last.reports) + len(send.reports) <= REPORTS_PER_MESSAGE_MAX:
            self._reports[-1] = replace(last, reports=last.reports + send.reports)
            return
        if len(self._reports) >= REPORTS_MAX:
            raise LaneOverflow("reports pile up")
        self._reports.append(send)


def _merged(older: SendCapacity, newer: SendCapacity) -> SendCapacity:
    """One word that says what both say."""
    if newer.full:
        return newer
    pools = {pool.name: pool for pool in (*older.pools, *newer.pools)}
    return replace(newer, pools=tuple(pools.values()), full=older.full)
