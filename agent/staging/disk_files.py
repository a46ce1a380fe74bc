"""Files of this site's stores, told of as HTTP tells of files, so that they come as others do.

Only from below directories that the operator named. Blocks, as long as the file system does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.staging.conditions import Said, said_of
from agent.staging.paths import allowed_path
from agent.staging.values import PathSource

SCHEME = "file"
CHUNK_BYTES = 1024 * 1024


class Unread(Exception):
    """The file system did not give what it has."""


class FileAnswer:
    """What `agent.staging.transport.Answer` is, of a file of this site."""

    chunked = False

    def __init__(self, said: Said, descriptor: int, body_bytes: int) -> None:
        self.status = said.status
        self.body_bytes: int | None = body_bytes
        self._headers = said.headers
        self._descriptor = descriptor
        self._at = said.begin

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    def read(self) -> bytes:
        """The next bytes; b"" at the end."""
        try:
            data = os.pread(self._descriptor, CHUNK_BYTES, self._at)
        except OSError as error:
            raise Unread(str(error)) from error
        self._at += len(data)
        return data


@contextlib.contextmanager
def get(url: str, headers: Mapping[str, str], roots: Sequence[Path]) -> Iterator[FileAnswer]:
    """The answer to a GET of that URL. Raises Unread, StagingRefused."""
    path = unquote(urlsplit(url).path)
    target = allowed_path(PathSource(Path(path).name, path), roots)
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise Unread(str(error)) from error
    try:
        found = os.fstat(descriptor)
        said = said_of(found.st_size, f'"{found.st_size}-{found.st_mtime_ns}"', headers)
        body_bytes = found.st_size - said.begin if said.has_body else 0
        yield FileAnswer(said, descriptor, body_bytes)
    finally:
        os.close(descriptor)
