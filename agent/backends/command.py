"""A command beside a run, as its directory: asked for here, started by the fence of its rank.

`agent.beside` has the files' meaning. The fence, or the job, may be another user's, who then
owns the directory: so every name is opened without following links. Knows files; waits for
nothing.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.backends import RankPlace

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOR_ALL = 0o644  # in a directory that only its user finds: the command may be another's
EXIT_BYTES_MAX = 16


@dataclass(frozen=True, slots=True)
class CommandOrder:
    """What is to run, and for how long."""

    argv: tuple[str, ...]
    seconds: float  # SIGTERM then
    attend_seconds: float  # it ends when nobody has asked for it for so long
    takes_input: bool


@dataclass(frozen=True, slots=True)
class CommandDirectory:
    """One command's directory in a part of a run."""

    place: RankPlace
    command_id: str  # hexadecimal

    @property
    def path(self) -> Path:
        return Path(self.place.directory, "beside", f"{self.place.index}.{self.command_id}")

    def exists(self) -> bool:
        return self.path.is_dir()

    def make(self, order: CommandOrder) -> None:
        """Ask for it: its directory appears whole. Nothing where it was asked for before."""
        beside = self.path.parent
        beside.mkdir(mode=0o711, exist_ok=True)
        building = Path(self.place.directory, f".command-{secrets.token_hex(8)}")
        building.mkdir(mode=0o711)
        try:
            document = {
                "argv": list(order.argv),
                "seconds": order.seconds,
                "attend_seconds": order.attend_seconds,
                "takes_input": order.takes_input,
            }
            with self._opened(building) as directory:
                _write(directory, "order.json", json.dumps(document).encode())
                _write(directory, "attended", b"0 0 0")
                _give_to_owner_of(Path(self.place.directory), directory)
            for made in (beside, building):
                made.chmod(0o711)
            try:
                building.rename(self.path)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise  # else it was asked for before
            if self.place.fence_pid:
                with suppress(OSError):  # it looks at once; a stranger would pass this over
                    os.kill(self.place.fence_pid, signal.SIGCHLD)
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def attend(self, stdout_offset: int, stderr_offset: int) -> None:
        """Somebody is there, and has read so far."""
        with self._opened(self.path) as directory:
            word = f"{time.monotonic_ns()} {stdout_offset} {stderr_offset}".encode()
            _write(directory, "attended.new", word)
            os.rename("attended.new", "attended", src_dir_fd=directory, dst_dir_fd=directory)

    def stop(self) -> None:
        with self._opened(self.path) as directory:
            _write(directory, "stop", b"")

    def read(self, name: str, offset: int, limit_bytes: int) -> bytes:
        """A part of `out` or `err`; nothing where it is not there yet."""
        with suppress(FileNotFoundError), self._opened(self.path) as directory:
            descriptor = os.open(name, _READ, dir_fd=directory)
            try:
                return os.pread(descriptor, limit_bytes, offset)
            finally:
                os.close(descriptor)
        return b""

    def exit_code(self) -> int | None:
        """How it ended; None while it has not."""
        said = self.read("exit", 0, EXIT_BYTES_MAX).decode("ascii", "replace")
        return int(said) if said.isdecimal() else None

    def begun(self) -> bool:
        """Whether the fence has taken it."""
        return (self.path / "out").exists() or (self.path / "exit").exists()

    def run_has_ended(self) -> bool:
        return Path(self.place.directory, "exit.json").exists()

    def drop_output(self) -> None:
        """What was read is not needed any more; that it ran stays known as long as the run."""
        for name in ("out", "err", "input"):
            (self.path / name).unlink(missing_ok=True)

    def add_input(self, offset: int, data: bytes, ends: bool) -> int:
        """Add what is new of `data`; how many bytes of input there are then."""
        with self._opened(self.path) as directory:
            descriptor = os.open("input", _WRITE, _FOR_ALL, dir_fd=directory)
            try:
                os.fchmod(descriptor, _FOR_ALL)
                size = os.fstat(descriptor).st_size
                if offset <= size:
                    size += os.pwrite(descriptor, data[size - offset :], size)
            finally:
                os.close(descriptor)
            if ends and size == offset + len(data):
                _write(directory, "input.end", b"")
            return size

    @contextmanager
    def _opened(self, path: Path) -> Iterator[int]:
        descriptor = os.open(path, _DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _write(directory: int, name: str, data: bytes) -> None:
    descriptor = os.open(name, _WRITE | os.O_TRUNC, _FOR_ALL, dir_fd=directory)
    try:
        os.write(descriptor, data)
        os.fchmod(descriptor, _FOR_ALL)  # whatever the agent's mask is
    finally:
        os.close(descriptor)


def _give_to_owner_of(part: Path, directory: int) -> None:
    """Whoever runs the fence writes here."""
    owner = part.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(directory, owner.st_uid, owner.st_gid)
