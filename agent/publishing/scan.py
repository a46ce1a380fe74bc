"""What lies in a directory of a job: its files and the links between them, to be published.

What is neither, or leads out, is left out. Opens no file; follows no link.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from agent.publishing.store import StoreFailed
from agent.reach.inside import open_inside
from agent.staging.manifest import FILES_MAX, Link, is_plain, leads_inside
from suan.errors import Category

OWN = ".suan"  # a name at the top that is ours

Identity = tuple[int, int, int, int]  # device, inode, bytes, time of the last change


@dataclass(frozen=True, slots=True)
class Found:
    path: str
    size_bytes: int
    identity: Identity


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory `below` the directory `root`, which the agent knows to be the job's."""

    root: str
    below: str
    files: tuple[Found, ...]  # by path
    links: tuple[Link, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.files)

    def open(self, path: str) -> int:
        """A descriptor of one of its files."""
        return open_inside(self.root, f"{self.below}/{path}" if self.below else path)


def scan(root: str, below: str) -> Tree:
    """What lies there: of a directory all that is in it, of a file the file itself.

    Raises OSError, Outside, NotReadable, and StoreFailed where it is too much.
    """
    descriptor = open_inside(root, below)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            parent, _, name = below.rpartition("/")
            return Tree(root, parent, (_found(name, found),))
        return _directory(root, below, descriptor)
    finally:
        os.close(descriptor)


def _directory(root: str, below: str, descriptor: int) -> Tree:
    files: list[Found] = []
    links: list[Link] = []
    for path, directories, names, here in os.fwalk(".", dir_fd=descriptor):
        prefix = path.removeprefix(".").removeprefix("/")
        if not prefix and OWN in directories:
            directories.remove(OWN)
        for name in (*names, *directories):
            whole = f"{prefix}/{name}" if prefix else name
            state = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISREG(state.st_mode) and is_plain(whole):
                files.append(_found(whole, state))
            elif stat.S_ISLNK(state.st_mode) and is_plain(whole):
                target = os.readlink(name, dir_fd=here)
                if leads_inside(whole, target):
                    links.append(Link(whole, target))
            if len(files) + len(links) > FILES_MAX:
                message = f"{below or root} has more than {FILES_MAX:,} files; pack them together"
                raise StoreFailed(message, category=Category.USER)
    files.sort(key=lambda each: each.path)
    links.sort(key=lambda each: each.path)
    return Tree(root, below, tuple(files), tuple(links))


def _found(path: str, state: os.stat_result) -> Found:
    identity = state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
    return Found(path, state.st_size, identity)
