"""What is asked and answered about the files of runs."""

from __future__ import annotations

from dataclasses import dataclass

from agent.supervisor.values import Failure


@dataclass(frozen=True, slots=True)
class FileRequest:
    """Bytes of a file of a run, or what is in a directory."""

    request_id: str
    name: str  # of the run
    path: str  # begins with the name of a root; "": the roots
    lists: bool  # a directory is wanted, or what the path names
    after: str = ""  # of a list: only names behind this one
    offset: int = 0
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One name of a directory. `version` is the same while it is the same file."""

    name: str
    kind: str = "directory"  # or "file", "other"
    size_bytes: int = 0
    modified_ns: int = 0
    executable: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What was asked for, or why there is none."""

    request_id: str
    entry: FileEntry = FileEntry("")  # what the path names
    entries: tuple[FileEntry, ...] = ()
    more: bool = False  # behind the last of them
    data: bytes = b""
    failure: Failure | None = None
