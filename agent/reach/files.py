"""Answers the broker's questions for the files of runs, part by part.

Each path begins with the name of a root, such as `outputs`, that the backend gives; what lies
outside of them is not shown, whatever the path or a link says. Nothing is kept between two
questions: whoever copies says where to go on. Knows the backend, and nothing of streams.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from agent.backends import Backend
from agent.reach.file_messages import FileAnswer, FileEntry, FileRequest
from agent.reach.inside import NotReadable, Outside, open_inside
from agent.supervisor.values import Failure

PART_BYTES_MAX = 256 * 1024
LISTED_MAX = 1_000  # entries in one answer
DIRECTORY_ENTRIES_MAX = 200_000  # of a larger one no list is made
READS_MAX = 8  # at a time


class _TooMany(Exception):
    """A directory has more entries than are listed."""


class Files:
    """The files of all runs of this site."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._reads = asyncio.Semaphore(READS_MAX)

    async def answer(self, request: FileRequest) -> FileAnswer:
        """A part, or a failure: FilesForgotten, NoSuchFile, PathNotAllowed and the like."""
        try:
            roots = await self._backend.roots(request.name)
            async with self._reads:
                return await asyncio.to_thread(_answer, request, roots)
        except (KeyError, ValueError):
            message = "the site no longer has, or never had, files of this attempt"
            return _no(request, "site", "FilesForgotten", message)
        except Outside:
            message = f"{_shown(request.path)} leads out of the run's own directories"
            return _no(request, "policy", "PathNotAllowed", message)
        except (FileNotFoundError, NotADirectoryError):
            return _no(request, "user", "NoSuchFile", f"there is no {_shown(request.path)}")
        except IsADirectoryError:
            message = f"{_shown(request.path)} is a directory"
            return _no(request, "user", "IsADirectory", message)
        except NotReadable:
            message = f"{_shown(request.path)} is neither a file nor a directory"
            return _no(request, "user", "NotAFile", message)
        except _TooMany:
            message = f"{_shown(request.path)} has more than {DIRECTORY_ENTRIES_MAX:,} entries"
            return _no(request, "user", "DirectoryTooLarge", message)
        except OSError as error:
            message = f"{_shown(request.path)} cannot be read: {error.strerror}"
            return _no(request, "site", "FilesUnreadable", message)


def _answer(request: FileRequest, roots: Mapping[str, str]) -> FileAnswer:
    place = _located(request.path, roots)
    if place is None:
        if not request.lists:
            raise IsADirectoryError
        return FileAnswer(request.request_id, FileEntry(""), tuple(_present(roots)))
    root, inner = place
    with _opened(root, inner) as descriptor:
        entry = _entry(request.path.rstrip("/").rpartition("/")[2], os.fstat(descriptor))
        if entry.kind == "directory":
            if not request.lists:
                raise IsADirectoryError
            entries, more = _listed(root, inner, descriptor, request.after)
            return FileAnswer(request.request_id, entry, entries, more)
        if request.lists:
            return FileAnswer(request.request_id, entry)
        limit_bytes = min(request.limit_bytes, PART_BYTES_MAX)
        data = os.pread(descriptor, limit_bytes, request.offset) if limit_bytes else b""
        return FileAnswer(request.request_id, entry, data=data)


def _located(path: str, roots: Mapping[str, str]) -> tuple[str, str] | None:
    """The root that a path begins with, and the rest of it; None for the list of roots.

    An absolute path, as a job prints it, is taken as what it means below a root.
    """
    if path.startswith("/"):
        for root in roots.values():
            if f"{path}/".startswith(f"{root}/"):
                return root, path.removeprefix(root)
        raise Outside(path)
    name, _, inner = path.removeprefix("./").partition("/")
    if name in ("", "."):
        return None
    if name == "..":
        raise Outside(path)
    if name not in roots:
        raise FileNotFoundError(path)
    return roots[name], inner


def _present(roots: Mapping[str, str]) -> Iterator[FileEntry]:
    for name, root in sorted(roots.items()):
        try:
            with _opened(root, "") as descriptor:
                yield _entry(name, os.fstat(descriptor))
        except OSError:
            continue  # it was taken away, or was never made


@contextmanager
def _opened(root: str, path: str) -> Iterator[int]:
    descriptor = open_inside(root, path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _listed(
    root: str, inner: str, descriptor: int, after: str
) -> tuple[tuple[FileEntry, ...], bool]:
    """The entries behind `after`, in order of name, and whether there are more."""
    with os.scandir(descriptor) as found:
        names: list[tuple[str, str]] = []  # as it is told, and as it is
        for count, item in enumerate(found):
            if count >= DIRECTORY_ENTRIES_MAX:
                raise _TooMany
            told = os.fsencode(item.name).decode("utf-8", "backslashreplace")
            if told > after:
                names.append((told, item.name))
    listed = heapq.nsmallest(LISTED_MAX, names)
    entries = tuple(
        _entry_of(root, inner, descriptor, name) if told == name else FileEntry(told, "other")
        for told, name in listed
    )
    return entries, len(names) > len(listed)


def _entry_of(root: str, inner: str, descriptor: int, name: str) -> FileEntry:
    """One entry of a directory; a link is what it leads to, if that is a file inside."""
    other = FileEntry(name, "other")
    try:
        found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            return _entry(name, found)
        with _opened(root, f"{inner}/{name}") as behind:
            entry = _entry(name, os.fstat(behind))
    except (OSError, Outside, NotReadable):
        return other
    return entry if entry.kind == "file" else other  # through directories a copy might run round


def _entry(name: str, found: os.stat_result) -> FileEntry:
    if stat.S_ISDIR(found.st_mode):
        return FileEntry(name, "directory", 0, found.st_mtime_ns)
    if not stat.S_ISREG(found.st_mode):
        return FileEntry(name, "other")
    return FileEntry(
        name,
        "file",
        found.st_size,
        found.st_mtime_ns,
        bool(found.st_mode & 0o100),
        f"{found.st_dev:x}-{found.st_ino:x}",
    )


def _shown(path: str) -> str:
    return repr(path[:200]) if path else "the list of roots"


def _no(request: FileRequest, category: str, code: str, message: str) -> FileAnswer:
    return FileAnswer(request.request_id, failure=Failure(category, code, message))
