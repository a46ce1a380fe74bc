"""The newest output of attempts, as their sites sent it: values. `store` keeps them in files.

Beside the replicated state: what is lost of it is not lost to the site.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one rank's stream. What a carriage return overwrote may be missing between two."""

    rank: int
    stream: str  # stdout | stderr
    offset: int  # of its first byte in the stream
    data: bytes
    at: float = 0.0  # wall seconds at the site: it was written before

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Tail:
    """What is there of one attempt's output, or what comes in addition."""

    job_id: str
    epoch: int
    ranks: int  # that the attempt has
    pieces: tuple[Piece, ...] = ()
    at_end: bool = False  # the attempt has ended, and with these its output
    at: float = 0.0  # wall seconds at the site: until when


@dataclass(frozen=True, slots=True)
class TailAck:
    """Up to where each stream, (rank, name), is kept."""

    ends: tuple[tuple[int, str, int], ...] = ()
    at_end: bool = False
    unwanted: bool = False  # nothing of this attempt is taken from that site
