"""Small file systems in memory that can be filled up and emptied again. Needs to be root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES, FILL_BYTES = 4096, 1 << 20


class NotAllowed(Exception):
    """A file system cannot be mounted here."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that can be filled up and emptied again."""

    place: Path

    @property
    def filler(self) -> Path:
        return self.place / "filler"

    def fill(self, bytes_left: int = 0) -> None:
        """Leave only so much free, for whoever writes, root too."""
        with self.filler.open("ab") as file, suppress(OSError):  # somebody else was quicker
            for step_bytes in (FILL_BYTES, BLOCK_BYTES):
                while self._free_bytes() >= bytes_left + step_bytes:
                    end = file.seek(0, os.SEEK_END)
                    os.posix_fallocate(file.fileno(), end, step_bytes)

    def _free_bytes(self) -> int:
        return os.statvfs(self.place).f_bavail * BLOCK_BYTES

    def free(self) -> None:
        self.filler.unlink()


@contextmanager
def small_disk(place: Path, size_mib: int) -> Iterator[Disk]:
    """Mounted at `place` for as long as the context lasts. Raises NotAllowed."""
    place.mkdir(parents=True, mode=0o700)
    options = f"size={size_mib}m,mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise NotAllowed(f"a file system cannot be mounted at {place}")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
