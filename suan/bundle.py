"""The user's working directory as one small archive, addressed by its content.

The same files give the same bytes: entries are sorted, owners and times left out. So an
unchanged directory is sent once. Knows files and nothing of jobs or the wire.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suan.errors import InvalidRequest, ResourceExhausted

ARCHIVE_BYTES_MAX = 2 * 1024 * 1024  # compressed: the broker's limit
FILES_MAX = 10_000
FILES_BYTES_MAX = 64 * 1024 * 1024  # before compression
IGNORE_FILE = ".suanignore"  # one glob a line, matched against names and relative paths
IGNORED = (".git", ".hg", ".svn", ".venv", "node_modules", "__pycache__", "*.pyc", ".DS_Store")
NAMED_FILES = 3  # how many of the largest files an error names


@dataclass(frozen=True, slots=True)
class Archive:
    """A tar.gz and its digest (lower-case hex)."""

    data: bytes
    sha256: str

    @property
    def size_bytes(self) -> int:
        return len(self.data)


def pack(directory: Path) -> Archive:
    """`directory` without what is ignored, as a tar.gz of at most 2 MiB.

    Raises InvalidRequest when it is no readable directory or a link leads out of it, and
    ResourceExhausted, naming the largest files, when it is too large.
    """
    root = directory.resolve()
    if not root.is_dir():
        raise InvalidRequest(
            f"{directory} is not a directory",
            "check `workdir` in the job file",
            "WorkdirUnreadable",
        )
    files = sorted(_files(root, _ignored_globs(root)))
    _check_sizes(files)
    try:
        data = _archive(root, files)
    except OSError as error:
        raise InvalidRequest(
            f"{error.filename or directory} cannot be read: {error.strerror}",
            f"make it readable, or name it in {IGNORE_FILE}",
            "WorkdirUnreadable",
        ) from error
    if len(data) > ARCHIVE_BYTES_MAX:
        raise _too_large(f"{len(data) / 2**20:.1f} MiB when compressed; 2 MiB may be sent", files)
    return Archive(data, hashlib.sha256(data).hexdigest())


def _ignored_globs(root: Path) -> tuple[str, ...]:
    listed = root / IGNORE_FILE
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    stripped = (line.strip().rstrip("/") for line in lines)
    return IGNORED + tuple(line for line in stripped if line and not line.startswith("#"))


def _files(root: Path, ignored: tuple[str, ...]) -> Iterator[Path]:
    """Files and links below `root`; directories behind links are not entered, so this ends."""
    for parent, directories, names in os.walk(root):
        folder = Path(parent)
        links = [name for name in directories if (folder / name).is_symlink()]
        directories[:] = [
            name
            for name in directories
            if name not in links and not _matches(folder / name, root, ignored)
        ]
        for name in names + links:
            path = folder / name
            if not _matches(path, root, ignored) and (path.is_file() or path.is_symlink()):
                yield path


def _matches(path: Path, root: Path, globs: tuple[str, ...]) -> bool:
    relative = path.relative_to(root).as_posix()
    return any(
        fnmatch.fnmatch(path.name, glob) or fnmatch.fnmatch(relative, glob) for glob in globs
    )


def _check_sizes(files: list[Path]) -> None:
    if len(files) > FILES_MAX:
        raise _too_large(f"{len(files):,} files; {FILES_MAX:,} may be sent", files)
    size_bytes = sum(map(_size, files))
    if size_bytes > FILES_BYTES_MAX:
        raise _too_large(f"{size_bytes / 2**20:.0f} MiB; 64 MiB may be packed", files)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0  # a link may lead nowhere


def _too_large(what: str, files: list[Path]) -> ResourceExhausted:
    largest = sorted(files, key=_size, reverse=True)[:NAMED_FILES]
    named = ", ".join(f"{path.name} ({_size(path) / 2**20:.1f} MiB)" for path in largest)
    return ResourceExhausted(
        f"the working directory is {what}",
        f"name large files in {IGNORE_FILE}, or make them a dataset; largest: {named}",
        "WorkdirTooLarge",
    )


def _archive(root: Path, files: list[Path]) -> bytes:
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in files:
            _add(archive, root, path)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, root: Path, path: Path) -> None:
    """Adds a file; a link within the directory becomes the file that it leads to."""
    if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(root)):
        raise InvalidRequest(
            f"{path} is a link to a directory or out of the working directory",
            f"copy what it leads to, or name it in {IGNORE_FILE}",
            "WorkdirLinkOutside",
        )
    data = path.read_bytes()
    entry = tarfile.TarInfo(path.relative_to(root).as_posix())
    entry.size = len(data)
    entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
    archive.addfile(entry, io.BytesIO(data))
