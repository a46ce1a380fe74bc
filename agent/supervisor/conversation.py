"""What the supervisor remembers of one session, and forgets with it.

Heartbeats and when they were sent, what was told of capacity and reports. Nothing here is
worth storing: a new session starts from the full truth. Knows values only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Conversation:
    """One session with the broker; all times are elapsed seconds."""

    session: str
    heard_at: float  # the last word of the broker
    heartbeat_seconds: float
    heartbeat_due: float
    reconciled: bool = False  # the broker has judged what we hold
    seq: int = 0  # of the last heartbeat; 0 is the Hello
    anchors: dict[int, float] = field(default_factory=dict)  # seq -> when it was sent
    grant_seq: int = 0  # highest handled
    capacity_seq: int = 0
    capacity_at: float = 0.0
    capacity_full_at: float = 0.0
    tell_all: bool = False  # the next capacity must be full
    tell_grants: bool = False  # the next capacity must say which grants it reflects
    extended_seq: int = 0  # the last heartbeat whose answer extended leases
    told: int = 0  # the highest report_seq that was sent
    unsent: deque[int] = field(default_factory=deque)  # report_seqs, ascending
    progress_at: float = 0.0  # reports were sent first, or acknowledged

    def anchor(self, seq: int, now: float, kept_max: int) -> None:
        """Heartbeat `seq` leaves now."""
        self.seq = seq
        self.anchors[seq] = now
        while len(self.anchors) > kept_max:
            del self.anchors[next(iter(self.anchors))]

    def send_again(self, report_seqs: Iterable[int], now: float) -> None:
        """All of these reports are to be sent, whatever was sent before."""
        self.unsent = deque(report_seqs)
        self.progress_at = now
