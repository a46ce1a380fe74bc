"""A store that is a directory, which several sites may see: a shared file system.

Objects are files that are renamed into place when they are whole and on the disk. What must
never be overwritten is linked into place, which succeeds for one writer alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from hashlib import sha256 as new_sha256
from pathlib import Path

from agent.publishing.store import CHUNK_BYTES, StoreFailed, check, file_url
from agent.staging.interrupt import Interrupt

BUILDING = ".new-"  # files of this prefix are not whole


class DirectoryStore:
    """See `agent.publishing.store.Store`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, descriptor: int, size_bytes: int, sha256: str, end: Interrupt) -> None:
        target = self._root / key
        with self._built(target) as building:
            digest = new_sha256()
            with building.open("xb") as file:
                offset = 0
                while chunk := os.pread(descriptor, CHUNK_BYTES, offset):
                    check(end)
                    digest.update(chunk)
                    file.write(chunk)
                    offset += len(chunk)
                file.flush()
                os.fsync(file.fileno())
            if offset != size_bytes or digest.hexdigest() != sha256:
                raise StoreFailed(f"{target.name} was changed while it was read")
            building.chmod(0o640)
            building.replace(target)
            _sync(target.parent)

    def size(self, key: str, end: Interrupt) -> int | None:
        with self._disk():
            try:
                return (self._root / key).stat().st_size
            except FileNotFoundError:
                return None

    def create(self, key: str, data: bytes, end: Interrupt) -> bytes:
        target = self._root / key
        with self._built(target) as building:
            with building.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            building.chmod(0o640)
            with contextlib.suppress(FileExistsError):
                target.hardlink_to(building)
            _sync(target.parent)
            return target.read_bytes()

    def remove(self, key: str, end: Interrupt) -> None:
        with self._disk():
            (self._root / key).unlink(missing_ok=True)

    def url(self, key: str) -> str:
        return file_url(self._root / key)

    @contextlib.contextmanager
    def _built(self, target: Path) -> Iterator[Path]:
        """A name beside the target for what is not whole yet; gone afterwards."""
        building = target.with_name(f"{BUILDING}{secrets.token_hex(8)}")
        with self._disk():
            # Not made here: a shared file system that is not mounted must not be written past.
            if not self._root.is_dir():
                raise StoreFailed(f"the store {self._root} is not there", passing=True)
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            try:
                yield building
            finally:
                building.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            lasting = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)
            raise StoreFailed(f"the store {self._root}: {error}", passing=not lasting) from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
