"""What is said between the agent and the broker of output that is kept there: values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.backends import Stream

Where = tuple[int, Stream]  # a rank, and which of its outputs


@dataclass(frozen=True, slots=True)
class TailPiece:
    """Bytes of one rank's output."""

    where: Where
    offset: int  # of its first byte
    data: bytes


@dataclass(frozen=True, slots=True)
class LogTail:
    """What of a run's output is new."""

    name: str  # of the run
    ranks: int  # that it has
    pieces: tuple[TailPiece, ...] = ()
    at_end: bool = False  # the run has ended, and with these its output
    at: float = 0.0  # wall seconds: the pieces were written before


@dataclass(frozen=True, slots=True)
class SendTails:
    """Output for the broker to keep."""

    session: str
    seq: int
    tails: tuple[LogTail, ...]


@dataclass(frozen=True, slots=True)
class TailAck:
    """Up to where the broker has the output of one run."""

    ends: Mapping[Where, int]
    at_end: bool
    unwanted: bool


@dataclass(frozen=True, slots=True)
class TailsAcked:
    """The broker's answers to one SendTails, in its order; none: not kept now."""

    session: str
    seq: int
    acks: tuple[TailAck, ...]
