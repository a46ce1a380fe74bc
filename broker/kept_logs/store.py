"""Kept output in files, one for each attempt, with a bound on all of them together.

Written through to the system, not synced: after a power loss the last seconds may be missing,
and the site still has them. Blocks; any thread may call it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from broker.kept_logs import Tail, TailAck
from broker.kept_logs.records import beyond, ends_of, newest, read, written
from suan.log_windows import ATTEMPT_BYTES_MAX

FILE_BYTES_MAX = ATTEMPT_BYTES_MAX * 3 // 2  # then it is written anew, without what is too old
FILES_MAX = 100_000


class KeptLogs:
    """The files under `directory`; the ones written longest ago make room."""

    def __init__(
        self,
        directory: Path,
        bytes_max: int,
        seconds_max: float,
        files_max: int = FILES_MAX,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Looks at what is there. Raises OSError. `now` gives wall seconds."""
        self._directory = directory
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._files_max = files_max
        self._now = now
        self._lock = threading.Lock()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = sorted((_look(path) for path in directory.glob("*/*")), key=lambda one: one[1])
        # Path of each file, relative, to when it was written and how long it is; oldest first.
        self._files = OrderedDict((name, (at, size)) for name, at, size in found)
        self._bytes = sum(size for _, _, size in found)
        self._make_room()

    def add(self, tails: Iterable[Tail]) -> tuple[TailAck, ...]:
        """Keep what is new of each. Raises OSError: then some may not be kept."""
        with self._lock:
            acks = tuple(self._add(tail) for tail in tails)
            self._make_room()
        return acks

    def read(self, job_id: str, epoch: int) -> Tail | None:
        """All that is kept of an attempt; None: nothing. Raises OSError."""
        try:
            data = (self._directory / _name(job_id, epoch)).read_bytes()
        except FileNotFoundError:
            return None
        tail = read(data, job_id, epoch).tail
        return replace(tail, pieces=newest(tail.pieces))

    def _add(self, tail: Tail) -> TailAck:
        name = _name(tail.job_id, tail.epoch)
        path = self._directory / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            data = b""
        known, good_bytes = read(data, tail.job_id, tail.epoch)
        fresh = replace(tail, pieces=beyond(tail.pieces, known.pieces))
        if fresh.pieces or (tail.at_end and not known.at_end):
            whole = data[:good_bytes] + written(fresh)
            if len(whole) > FILE_BYTES_MAX or good_bytes < len(data):
                pieces = newest((*known.pieces, *fresh.pieces))
                at_end = tail.at_end or known.at_end
                whole = written(replace(tail, pieces=pieces, at_end=at_end))
                _replace(path, whole)
            else:
                _append(path, whole[good_bytes:])
            self._note(name, len(whole))
        ends = ends_of((*known.pieces, *fresh.pieces))
        listed = tuple((rank, stream, end) for (rank, stream), end in ends.items())
        return TailAck(listed, tail.at_end or known.at_end)

    def _note(self, name: str, size: int) -> None:
        _, before = self._files.pop(name, (0.0, 0))
        self._files[name] = (self._now(), size)
        self._bytes += size - before

    def _make_room(self) -> None:
        """Remove the oldest as far as they must be."""
        while self._files:
            name, (at, size) = next(iter(self._files.items()))
            is_old = self._now() - at > self._seconds_max
            if (
                not is_old
                and self._bytes <= self._bytes_max
                and len(self._files) <= self._files_max
            ):
                return
            (self._directory / name).unlink(missing_ok=True)
            del self._files[name]
            self._bytes -= size


def _name(job_id: str, epoch: int) -> str:
    """Of a file, relative; the last characters of a job's id spread them over directories."""
    return f"{job_id[-2:]}/{job_id}.{epoch}"


def _look(path: Path) -> tuple[str, float, int]:
    state = path.stat()
    return f"{path.parent.name}/{path.name}", state.st_mtime, state.st_size


def _append(path: Path, data: bytes) -> None:
    """Whole or not at all, but for a crash of the machine."""
    with open(_private(path, os.O_APPEND), "ab") as file:
        before = file.tell()
        try:
            file.write(data)
            file.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), before)
            raise


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    with open(_private(new, os.O_TRUNC), "wb") as file:
        file.write(data)
    new.replace(path)


def _private(path: Path, flag: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)
