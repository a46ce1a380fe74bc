"""Opening what lies below a root, and nothing else, although the job may change it meanwhile.

A path is walked name by name, each opened in the directory opened before it, and no link is
ever followed by the kernel: what a link says is walked here, and must stay below the root. So
neither `..`, nor a link, nor one put there between two looks leads out. Knows descriptors and
names; nothing of runs.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable

PATH_LENGTH_MAX = 4096  # characters
DEPTH_MAX = 128  # directories
LINKS_MAX = 40  # of one path, as the kernel counts
_HERE = ("", ".")
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = _OPEN | os.O_DIRECTORY
_FILE = _OPEN | os.O_NONBLOCK | os.O_NOCTTY  # a pipe that took a file's place does not hold us


class Outside(Exception):
    """The path leads out of its root, or could."""


class NotReadable(Exception):
    """It is there, and neither a file nor a directory."""


def open_inside(root: str, path: str) -> int:
    """A descriptor of the file or directory that `path` names below the directory `root`.

    Raises Outside, NotReadable, FileNotFoundError, NotADirectoryError and other OSErrors.
    """
    parts = path.split("/")
    if len(path) > PATH_LENGTH_MAX or "\0" in path or ".." in parts:
        raise Outside(path[:PATH_LENGTH_MAX])
    walk = _Walk(root)
    try:
        return walk.go(parts)
    finally:
        walk.close()


class _Walk:
    """The directories from the root to where we are, all of them open."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._open = [os.open(root, _DIRECTORY)]
        self._links = 0

    def close(self) -> None:
        self._leave(0)

    def go(self, names: Iterable[str]) -> int:
        """Open what the names lead to."""
        left = deque(name for name in names if name not in _HERE)
        while left:
            name = left.popleft()
            if name == "..":  # of a link
                if len(self._open) == 1:
                    raise Outside(name)
                self._leave(len(self._open) - 1)
                continue
            kind = os.stat(name, dir_fd=self._open[-1], follow_symlinks=False).st_mode
            if stat.S_ISLNK(kind):
                said = self._read_link(name)
                left.extendleft(part for part in reversed(said) if part not in _HERE)
            elif stat.S_ISDIR(kind):
                self._enter(name)
            elif left:
                raise NotADirectoryError(name)
            else:
                return self._open_file(name, kind)
        return os.dup(self._open[-1])

    def _enter(self, name: str) -> None:
        if len(self._open) > DEPTH_MAX:
            raise Outside(name)
        self._open.append(os.open(name, _DIRECTORY, dir_fd=self._open[-1]))

    def _open_file(self, name: str, kind: int) -> int:
        if not stat.S_ISREG(kind):  # to open a device may do something
            raise NotReadable(name)
        descriptor = os.open(name, _FILE, dir_fd=self._open[-1])
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotReadable(name)
        return descriptor

    def _read_link(self, name: str) -> list[str]:
        """The names that a link leads through, from here or, if it is absolute, from the root."""
        self._links += 1
        if self._links > LINKS_MAX:
            raise Outside(name)
        target = os.readlink(name, dir_fd=self._open[-1])
        if not target.startswith("/"):
            return target.split("/")
        if not f"{target}/".startswith(f"{self._root}/"):
            raise Outside(name)
        self._leave(1)
        return target.removeprefix(self._root).split("/")

    def _leave(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop())
