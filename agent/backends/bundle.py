"""Unpacks the user's files where the run will work: nothing lands outside, nothing explodes.

The archive is a stranger's. Only plain files and directories with relative paths come out
of it; links, devices and `..` are refused; bytes, entries and the ratio of expansion have
limits. Everything is counted while it streams, so a bomb is stopped early.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from agent.backends import BackendRefused

FILES_BYTES_MAX = 256 * 1024 * 1024
ENTRIES_MAX = 20_000
EXPANSION_MAX = 200  # bytes out per byte in …
EXPANSION_FREE_BYTES = 16 * 1024 * 1024  # … beyond the first so many
_CHUNK_BYTES = 1024 * 1024


def unpack_bundle(archive: Path, target: Path) -> None:
    """Unpack a .tar.gz into the empty directory `target`.

    Raises BackendRefused("BadBundle") for anything a bundle must not hold, and OSError
    (disk full, for one) as it comes.
    """
    bytes_max = min(
        FILES_BYTES_MAX,
        EXPANSION_FREE_BYTES + EXPANSION_MAX * archive.stat().st_size,
    )
    written = 0
    try:
        # "r|gz" streams, so that the end of a bomb is never read.
        with tarfile.open(archive, "r|gz") as bundle:
            for count, member in enumerate(bundle, start=1):
                if count > ENTRIES_MAX:
                    raise _bad(f"it holds more than {ENTRIES_MAX} entries")
                written += member.size
                if written > bytes_max:
                    raise _bad(f"it unpacks to more than {bytes_max} bytes")
                _place(bundle, member, target)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise _bad(str(error) or "it is cut short") from error


def _place(bundle: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        raise _bad(f"{member.name!r} would land outside the working directory")
    place = target / path
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    if not member.isreg():
        raise _bad(f"{member.name!r} is a link or a device; only files and directories may be sent")
    source = bundle.extractfile(member)
    if source is None or place == target:
        raise _bad(f"{member.name!r} is not a file")
    place.parent.mkdir(parents=True, exist_ok=True)
    executable = bool(member.mode & stat.S_IXUSR)
    _write(source, place, 0o700 if executable else 0o600)


def _write(source: IO[bytes], place: Path, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(place, flags, mode)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise _bad(f"{place.name!r} is there twice") from error
    with os.fdopen(descriptor, "wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            file.write(chunk)


def _bad(why: str) -> BackendRefused:
    return BackendRefused(
        "BadBundle",
        f"the bundle of files cannot be unpacked: {why}",
        "send plain files and directories only; put large data into a dataset",
    )
