"""Downloaded files of a site: bounded, the least recently used dropped first.

One directory per file. A run sees a file through a hard link, so the file system itself
keeps the count of who uses it: a file with more than one name is in use, across crashes of
the agent too, and is never dropped. The links must therefore lie on the cache's disk.
Knows files; opens no connection. All methods but `hold` block.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from agent.staging.refusals import disk_full

ENTRY_BYTES = 4096  # charged at least for each file, which bounds their number


@dataclass(frozen=True, slots=True)
class Origin:
    """What a server said of the bytes that are kept ("": it did not), and what we know."""

    etag: str = ""
    last_modified: str = ""
    boot_id: str = ""  # of the machine when the download began
    sealed_ns: int = 0  # time of the last change of the whole file


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the cache: `data` when it is whole, `partial` before."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def partial(self) -> Path:
        return self.path / "partial"

    @property
    def partial_bytes(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    @property
    def whole(self) -> bool:
        """Whether `data` is there as it was downloaded: no job has written to it."""
        sealed_ns = self.origin().sealed_ns
        return self.data.exists() and self.data.stat().st_mtime_ns == sealed_ns

    def origin(self) -> Origin:
        try:
            return Origin(**json.loads(self._origin.read_text("utf-8")))
        except (OSError, ValueError, TypeError):  # none yet, or torn by a crash
            return Origin()

    def begin(self, origin: Origin) -> None:
        """Forget what was there; bytes of `origin` follow."""
        self.drop()
        self._write(origin)
        self.partial.touch(mode=0o600)

    def drop(self) -> None:
        """Forget data and origin, in this order, also if the machine stops in between."""
        self.data.unlink(missing_ok=True)
        self.partial.unlink(missing_ok=True)
        self._sync()
        self._origin.unlink(missing_ok=True)

    def finish(self) -> None:
        """The partial file, which is on the disk, is whole from now on."""
        self.partial.chmod(0o444)
        self._write(replace(self.origin(), sealed_ns=self.partial.stat().st_mtime_ns))
        self.partial.rename(self.data)
        self._sync()

    @property
    def _origin(self) -> Path:
        return self.path / "origin.json"

    def _write(self, origin: Origin) -> None:
        self._origin.write_text(json.dumps(asdict(origin)), encoding="utf-8")

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Room:
    """What an entry takes."""

    path: Path
    bytes: int
    used_at: float
    in_use: bool


class Cache:
    """All files, and the room promised to those that are still coming."""

    def __init__(self, directory: Path, bytes_max: int, free_bytes_min: int) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._free_bytes_min = free_bytes_min
        self._lock = threading.Lock()
        self._promised: dict[str, int] = {}  # key -> bytes it will have
        self._taken_max = bytes_max  # that all files have, at most; before the first look: unknown
        self._holders: Counter[str] = Counter()  # written by one thread only
        self.dropped = 0  # how many files have made room for others

    @contextlib.contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """What `open_entry` gives inside this block is not dropped. For the event loop only."""
        self._holders[key] += 1
        try:
            yield
        finally:
            self._holders[key] -= 1
            if not self._holders[key]:
                del self._holders[key]

    def open_entry(self, key: str) -> Entry:
        """The entry of a key that is held."""
        # Under the lock: a room-maker that did not see the holder yet is done then.
        with self._lock:
            entry = Entry(self._directory / key)
            entry.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return entry

    def link(self, key: str, place: Path) -> None:
        """Show the whole file of a key that is held at `place`, and note its use."""
        data = Entry(self._directory / key).data
        os.utime(data, ns=(time.time_ns(), data.stat().st_mtime_ns))
        place.unlink(missing_ok=True)
        place.hardlink_to(data)

    def promise(self, key: str, bytes: int, spare_bytes: int = 0) -> None:
        """Keep room for `bytes` of a held entry, at the cost of files that nobody uses.

        Only if `spare_bytes` more could be had then. Raises StagingRefused("DiskFull"), and then
        nothing was dropped.
        """
        with self._lock:
            promised = {**self._promised, key: bytes}
            if self._surely_fits(key, promised, spare_bytes):
                self._promised = promised
                return
            rooms = self._rooms()
            excess = self._excess(rooms, promised)
            idle = sorted((r for r in rooms if not r.in_use), key=lambda room: room.used_at)
            short = excess + spare_bytes - sum(room.bytes for room in idle)
            if short > 0:
                raise disk_full(
                    f"{bytes:,} bytes are wanted, {short:,} more than can be had beside the data "
                    "of running jobs"
                )
            self._promised = promised
            self._taken_max = sum(room.bytes for room in rooms) + _with_names(promised)
            for room in idle:
                if excess <= 0:
                    return
                shutil.rmtree(room.path)
                self.dropped += 1
                excess -= room.bytes
                self._taken_max -= room.bytes

    def withdraw(self, key: str) -> None:
        """The promise is kept, or no longer wanted."""
        with self._lock:
            self._promised.pop(key, None)

    def listed(self, count_max: int) -> tuple[str, ...]:
        """The keys of the files that are whole, those that were used last first."""
        with self._lock:
            rooms = self._rooms() if self._directory.is_dir() else []
            rooms.sort(key=lambda room: (-room.used_at, room.path.name))
            whole = (room.path.name for room in rooms if Entry(room.path).whole)
            return tuple(islice(whole, count_max))

    def _surely_fits(self, key: str, promised: dict[str, int], spare_bytes: int) -> bool:
        """Whether it fits beside all that was promised since somebody looked at every file.

        So that what consists of many small files does not look at all of them for each.
        """
        more = ENTRY_BYTES + promised[key] - self._promised.get(key, 0)
        taken_max = self._taken_max + max(0, more)
        free = shutil.disk_usage(self._directory).free
        coming = _with_names(promised) + spare_bytes + self._free_bytes_min
        if taken_max + spare_bytes > self._bytes_max or coming > free:
            return False
        self._taken_max = taken_max
        return True

    def _rooms(self) -> list[_Room]:
        return [self._room(path) for path in self._directory.iterdir()]

    def _room(self, path: Path) -> _Room:
        size, used_at, in_use = ENTRY_BYTES, 0.0, path.name in self._holders
        for file in (Entry(path).data, Entry(path).partial):
            with contextlib.suppress(FileNotFoundError):
                found = file.stat()
                size += found.st_size
                used_at = max(used_at, found.st_atime, found.st_mtime)
                in_use = in_use or found.st_nlink > 1
        return _Room(path, size, used_at, in_use)

    def _excess(self, rooms: list[_Room], promised: dict[str, int]) -> int:
        """Bytes too many, by the cache's own bound or by the disk's."""
        kept = {room.path.name: room.bytes for room in rooms}
        coming = sum(
            max(0, ENTRY_BYTES + bytes - kept.get(key, 0)) for key, bytes in promised.items()
        )
        by_bound = sum(kept.values()) + coming - self._bytes_max
        free = shutil.disk_usage(self._directory).free
        return max(by_bound, coming + self._free_bytes_min - free)


def _with_names(promised: dict[str, int]) -> int:
    return sum(ENTRY_BYTES + bytes for bytes in promised.values())
