"""Time marks of one log: how many bytes it had when, so that a moment leads to a place in it.

A mark's time is read after its size, and kept from going back; so what lies before a mark was
written no later, and what was written later lies behind it. The marks of a log are one file
of fixed records in order, written by one writer; a damaged or missing one costs precision,
never a byte. Knows files; nothing of runs.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

MARKS_MAX = 4096  # of one log: 64 KiB
AGE_PARTS = 128  # what old marks are thinned to: gaps of 28 s after an hour, 11 min after a day
LINE_BYTES_MAX = 1 << 20  # a line that is longer may be cut at its beginning
_LOOK_BACK_BYTES = 64 << 10
_RECORD = struct.Struct("<dQ")


class Mark(NamedTuple):
    """A log had `offset` bytes at `at` (wall seconds)."""

    at: float
    offset: int


_NOWHERE = Mark(0.0, 0)


class MarkFile:
    """The marks of one log, for their writer. Keeps the last one in memory."""

    __slots__ = ("_count", "_last", "_path")

    def __init__(self, path: str) -> None:
        """Goes on with what is there; a record that was half written is written over."""
        self._path = path
        self._count = 0
        self._last = _NOWHERE
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            self._count = os.fstat(descriptor).st_size // _RECORD.size
            if self._count:
                place = (self._count - 1) * _RECORD.size
                self._last = Mark(*_RECORD.unpack(os.pread(descriptor, _RECORD.size, place)))
        finally:
            os.close(descriptor)

    def note(self, at: float, size: int) -> None:
        """The log has `size` bytes at `at`. Nothing new is not written. Raises OSError."""
        if size == self._last.offset:
            return
        if size < self._last.offset:  # the log was cut: what was known of it means nothing now
            Path(self._path).unlink(missing_ok=True)
            self._count, self._last = 0, _NOWHERE
        if self._count >= MARKS_MAX:
            self._replace(thinned(read_marks(Path(self._path))))
        # A clock that was set back: the last mark goes on until the clock is there again.
        place = self._count - (self._count > 0 and at <= self._last.at)
        mark = Mark(max(at, self._last.at), size)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, _RECORD.pack(*mark), place * _RECORD.size)
        finally:
            os.close(descriptor)
        self._count, self._last = place + 1, mark

    def _replace(self, marks: Sequence[Mark]) -> None:
        new = Path(self._path + ".new")
        new.write_bytes(b"".join(_RECORD.pack(*mark) for mark in marks))
        new.replace(self._path)
        self._count = len(marks)


def thinned(marks: Sequence[Mark]) -> list[Mark]:
    """The marks that are needed for gaps of no more than their age / AGE_PARTS.

    So what --since shows too much is little for how long ago it was. At most three quarters
    of MARKS_MAX: before them, nothing is known.
    """
    newest, *backwards = reversed(marks)
    kept = [newest]
    for mark, older in pairwise(backwards):
        if kept[-1].at - older.at > (newest.at - older.at) / AGE_PARTS:
            kept.append(mark)
    return [*kept, *backwards[-1:]][: MARKS_MAX * 3 // 4][::-1]


def read_marks(path: Path) -> tuple[Mark, ...]:
    """All marks, oldest first; none where there is no file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    whole = len(data) - len(data) % _RECORD.size
    return tuple(map(Mark._make, _RECORD.iter_unpack(data[:whole])))


def offset_since(marks: Sequence[Mark], since: float) -> int:
    """An offset before which nothing was written at or after `since`; 0 when unknown."""
    after = bisect_right(marks, since, key=attrgetter("at"))
    return marks[after - 1].offset if after else 0


def line_start(log: BinaryIO, offset: int) -> int:
    """Where the line begins in which the byte at `offset` lies, or will lie.

    Looks back LINE_BYTES_MAX at most, and answers `offset` itself when no line begins there.
    """
    end = offset
    while end > 0 and end > offset - LINE_BYTES_MAX:
        begin = max(0, end - _LOOK_BACK_BYTES)
        log.seek(begin)
        found = log.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0 if end == 0 else offset
