"""One attempt's file: records one after the other, each with a checksum.

A record that was half written ends the file. Bytes in and out; opens nothing.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from broker.kept_logs import Piece, Tail
from suan.log_windows import STREAMS, window_bytes

# Length of the data, its checksum with what follows, kind, ranks, rank, when, offset.
_HEAD = struct.Struct("<II")
_BODY = struct.Struct("<BIIdQ")
_KINDS = (*STREAMS, "looked", "ended")  # the last two say when, and have no data
RECORD_BYTES = _HEAD.size + _BODY.size  # beside its data


class Read(NamedTuple):
    """What a file says, and how much of it can be believed."""

    tail: Tail
    good_bytes: int


def written(tail: Tail) -> bytes:
    """The records that say this, after those that are there."""
    told = Piece(0, "ended" if tail.at_end else "looked", 0, b"", tail.at)
    return b"".join(_record(piece, tail.ranks) for piece in (*tail.pieces, told))


def read(data: bytes, job_id: str, epoch: int) -> Read:
    """All records in the order they were written."""
    pieces: list[Piece] = []
    place, ranks, at, at_end = 0, 0, 0.0, False
    while place + RECORD_BYTES <= len(data):
        size, checksum = _HEAD.unpack_from(data, place)
        end = place + RECORD_BYTES + size
        if end > len(data) or crc32(data[place + _HEAD.size : end]) != checksum:
            break
        kind, ranks, rank, at, offset = _BODY.unpack_from(data, place + _HEAD.size)
        if kind < len(STREAMS):
            pieces.append(Piece(rank, _KINDS[kind], offset, data[place + RECORD_BYTES : end], at))
        at_end = at_end or _KINDS[kind] == "ended"
        place = end
    return Read(Tail(job_id, epoch, ranks, tuple(pieces), at_end, at), place)


def ends_of(pieces: Iterable[Piece]) -> dict[tuple[int, str], int]:
    """Up to where each stream goes."""
    ends: dict[tuple[int, str], int] = {}
    for piece in pieces:
        key = (piece.rank, piece.stream)
        ends[key] = max(ends.get(key, 0), piece.end)
    return ends


def beyond(pieces: Iterable[Piece], known: Iterable[Piece]) -> tuple[Piece, ...]:
    """What of `pieces` lies behind what is known of their streams."""
    ends, fresh = ends_of(known), []
    for piece in pieces:
        key = (piece.rank, piece.stream)
        begin = max(piece.offset, ends.get(key, 0))
        if begin < piece.end:
            data = piece.data[begin - piece.offset :]
            fresh.append(Piece(piece.rank, piece.stream, begin, data, piece.at))
            ends[key] = piece.end
    return tuple(fresh)


def newest(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """What of them fits into the attempt's share, in their order."""
    sizes: Counter[tuple[int, str]] = Counter()
    for piece in pieces:
        sizes[piece.rank, piece.stream] += len(piece.data)
    left = dict.fromkeys(sizes, window_bytes(sizes.values()))
    kept: list[Piece] = []
    for piece in reversed(pieces):
        key = (piece.rank, piece.stream)
        if data := piece.data[-left[key] :] if left[key] else b"":
            begin = piece.end - len(data)
            kept.append(Piece(piece.rank, piece.stream, begin, data, piece.at))
            left[key] -= len(data)
    return tuple(reversed(kept))


def _record(piece: Piece, ranks: int) -> bytes:
    kind = _KINDS.index(piece.stream)
    body = _BODY.pack(kind, ranks, piece.rank, piece.at, piece.offset) + piece.data
    return _HEAD.pack(len(piece.data), crc32(body)) + body
