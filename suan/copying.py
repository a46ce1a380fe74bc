"""Copying files of a job's run to this machine: whole or not at all, and where it broke it goes on.

A file grows under a name of its own beside its place, bound to what the site says of it, and
takes its place when it is whole. So a copy that broke is gone on with by the next, and what is
there already is never written over unless it is wanted.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

from suan.errors import Conflict, SuanError
from suan.files import FileChunk, RunFile, RunFiles

ENTRIES_MAX = 1_000_000  # of one copy
DEPTH_MAX = 100  # directories


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a copy is, or what became of it."""

    files: int = 0  # copied whole
    files_there: int = 0  # that were there already, the same
    done_bytes: int = 0  # of `total_bytes`, with what was there already
    total_bytes: int = 0
    grown: tuple[str, ...] = ()  # paths that got longer meanwhile: copied as far as they were
    skipped: tuple[str, ...] = ()  # paths that are neither file nor directory


OnProgress = Callable[[Copied], None]


async def copy(
    files: RunFiles, path: str, place: Path, *, force: bool = False, on_progress: OnProgress
) -> Copied:
    """Copy what `path` names to `place`, which is its new name; see `Client.copy`."""
    found = await files.look(path)
    copying = _Copying(files, force, on_progress)
    if found.kind == "directory":
        await copying.gather(path, place)
    elif found.kind == "file":
        copying.wanted.append((found, place))
    else:
        raise Conflict(f"{path} is neither a file nor a directory", "", "NotAFile")
    try:
        return await copying.run()
    except OSError as error:
        if error.errno is None:
            raise  # it is none of the disk's
        message = f"{error.filename or place} cannot be written: {error.strerror}"
        raise SuanError(message, "what was copied is kept: try again", "CopyFailed") from error


class _Copying:
    """One copy under way."""

    def __init__(self, files: RunFiles, force: bool, on_progress: OnProgress) -> None:
        self.wanted: list[tuple[RunFile, Path]] = []
        self._files = files
        self._force = force
        self._on_progress = on_progress
        self._directories: list[Path] = []
        self._skipped: list[str] = []
        self._grown: list[str] = []
        self._copied = self._there = self._done_bytes = 0

    async def gather(self, path: str, place: Path) -> None:
        """Find all that lies below a directory, without writing anything."""
        waiting = [(path, place, 0)]
        while waiting:
            directory, target, depth = waiting.pop()
            self._directories.append(target)
            async for item in self._files.list(directory):
                if item.kind == "directory" and depth < DEPTH_MAX:
                    waiting.append((item.path, target / item.name, depth + 1))
                elif item.kind == "file":
                    self.wanted.append((item, target / item.name))
                else:
                    self._skipped.append(item.path)
                if len(self.wanted) + len(waiting) > ENTRIES_MAX:
                    message = f"{path} holds more than {ENTRIES_MAX:,} files"
                    raise Conflict(message, "copy its parts one by one", "DirectoryTooLarge")

    async def run(self) -> Copied:
        left = [pair for pair in self.wanted if not self._is_there(*pair)]
        for directory in self._directories:
            directory.mkdir(parents=True, exist_ok=True)
        for file, place in left:
            await self._copy(file, place)
        return self._state()

    def _is_there(self, file: RunFile, place: Path) -> bool:
        """Whether it was copied before. Raises Conflict (FileExists) where another one is."""
        try:
            found = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if (found.st_size, found.st_mtime_ns) == (file.size_bytes, file.modified_ns):
            self._there += 1
            self._done_bytes += file.size_bytes
            return True
        if self._force and not place.is_dir():
            return False
        message = f"{place} exists and differs"
        raise Conflict(message, "choose another place, or replace it with --force", "FileExists")

    async def _copy(self, file: RunFile, place: Path) -> None:
        part = _part_of(file, place)
        part.touch(0o600)
        offset = min(part.stat().st_size, file.size_bytes)
        self._done_bytes += offset
        with part.open("r+b") as output:
            output.truncate(offset)
            output.seek(offset)
            last = await self._write(file, offset, output.write)
        written = part.stat().st_size
        if written != file.size_bytes:
            message = f"{file.path} has {file.size_bytes:,} bytes, of which {written:,} came"
            raise Conflict(message, "copy it again", "FileChanged")
        if last.size_bytes == file.size_bytes and last.modified_ns != file.modified_ns:
            part.unlink()
            message = f"{file.path} was written to while it was copied"
            raise Conflict(message, "copy it again once the job has written it", "FileChanged")
        self._finish(file, last, part, place)

    async def _write(self, file: RunFile, offset: int, write: Callable[[bytes], int]) -> RunFile:
        """The rest of a file; what it was at last."""
        if not file.size_bytes:
            return file
        last, chunks = file, self._files.read(file.path, offset, file.size_bytes)
        async with aclosing(_of_version(chunks, file)) as ours:
            async for chunk in ours:
                write(chunk.data)
                last = chunk.file
                self._done_bytes += len(chunk.data)
                self._on_progress(self._state())
        return last

    def _finish(self, file: RunFile, last: RunFile, part: Path, place: Path) -> None:
        part.chmod((0o777 if file.executable else 0o666) & ~_umask())
        if last.size_bytes > file.size_bytes:
            self._grown.append(file.path)  # so it keeps the time of its copy
        else:
            os.utime(part, ns=(file.modified_ns, file.modified_ns))
        if self._force or not _linked(part, place):
            part.replace(place)
        else:
            part.unlink()
        self._copied += 1

    def _state(self) -> Copied:
        return Copied(
            self._copied,
            self._there,
            self._done_bytes,
            sum(file.size_bytes for file, _ in self.wanted),
            tuple(self._grown),
            tuple(self._skipped),
        )


async def _of_version(
    chunks: AsyncGenerator[FileChunk, None], file: RunFile
) -> AsyncGenerator[FileChunk, None]:
    """The chunks, as long as they are of the file that was seen. Raises Conflict (FileChanged)."""
    async with aclosing(chunks):
        async for chunk in chunks:
            if chunk.file.version != file.version:
                message = f"{file.path} was replaced before it was copied"
                raise Conflict(message, "copy it again", "FileChanged")
            yield chunk


def _part_of(file: RunFile, place: Path) -> Path:
    """Where a file grows: another one when the site's has changed. Older ones are taken away."""
    seen = f"{file.path}\0{file.version}\0{file.size_bytes}\0{file.modified_ns}"
    digest = hashlib.sha256(seen.encode()).hexdigest()[:12]
    stem = f".{hashlib.sha256(place.name.encode()).hexdigest()[:12]}"
    part = place.with_name(f"{stem}.{digest}.suan-part")
    for old in place.parent.glob(f"{stem}.*.suan-part"):
        if old != part:
            with suppress(OSError):
                old.unlink()
    return part


def _linked(part: Path, place: Path) -> bool:
    """Whether it took its place: unlike a rename, a link replaces nothing.

    False where the file system has no links and nothing is there.
    """
    try:
        os.link(part, place, follow_symlinks=False)
    except OSError as error:
        if isinstance(error, FileExistsError) or os.path.lexists(place):
            message = f"{place} has appeared meanwhile"
            raise Conflict(message, "choose another place, or --force", "FileExists") from None
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        return False
    return True


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
