"""A store that is a directory at an SFTP server.

Objects are written beside their place and renamed when they are whole. What must never be
overwritten is renamed by the protocol's plain rename, which fails where something is
(draft-ietf-secsh-filexfer-02, section 6.5). One connection a thread, kept while it holds.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import secrets
import threading
from collections.abc import Iterator
from hashlib import sha256 as new_sha256
from typing import Any
from urllib.parse import unquote, urlsplit

from agent.publishing.store import CHUNK_BYTES, StoreFailed, check
from agent.staging.interrupt import Interrupt
from agent.staging.manifest import quoted_key
from agent.staging.refusals import StagingRefused
from agent.staging.sftp import Broken, Session, SftpAccount, broken_as_broken
from suan.errors import Category

WRITE_BYTES = 32 * 1024  # that every server takes at once


class SftpStore:
    """See `agent.publishing.stores.Store`."""

    def __init__(self, place: str, account: SftpAccount, idle_seconds: float) -> None:
        """`place`: sftp://host[:port]/directory."""
        self._place = place.rstrip("/")
        self._root = unquote(urlsplit(self._place).path)
        self._account = account
        self._idle_seconds = idle_seconds
        self._of_thread = threading.local()

    def put(self, key: str, descriptor: int, size_bytes: int, sha256: str, end: Interrupt) -> None:
        target = f"{self._root}/{key}"
        building = f"{posixpath.dirname(target)}/.new-{sha256}"  # found again after a cut
        with self._client(end) as client:
            self._make_parents(client, key)
            digest, offset = new_sha256(), 0
            there = _size(client, building) or 0
            with client.open(building, "ab") as file:
                file.set_pipelined(True)
                while chunk := os.pread(descriptor, CHUNK_BYTES, offset):
                    check(end)
                    digest.update(chunk)
                    for at in range(0, len(chunk), WRITE_BYTES):
                        part = chunk[at : at + WRITE_BYTES]
                        missing = max(0, there - (offset + at))
                        if missing < len(part):
                            file.write(part[missing:])
                    offset += len(chunk)
            if offset != size_bytes or digest.hexdigest() != sha256:
                client.remove(building)
                raise StoreFailed(f"{key} was changed while it was read")
            if _size(client, building) != size_bytes:
                client.remove(building)
                raise StoreFailed(f"{key} did not arrive whole", passing=True)
            client.posix_rename(building, target)

    def size(self, key: str, end: Interrupt) -> int | None:
        with self._client(end) as client:
            return _size(client, f"{self._root}/{key}")

    def create(self, key: str, data: bytes, end: Interrupt) -> bytes:
        target = f"{self._root}/{key}"
        building = f"{posixpath.dirname(target)}/.new-{secrets.token_hex(8)}"
        with self._client(end) as client:
            self._make_parents(client, key)
            with client.open(building, "wb") as file:
                file.write(data)
            try:
                client.rename(building, target)
            except OSError:
                client.remove(building)
                if _size(client, target) is None:
                    raise
            with client.open(target, "rb") as file:
                return bytes(file.read())

    def remove(self, key: str, end: Interrupt) -> None:
        with self._client(end) as client:
            if _size(client, f"{self._root}/{key}") is not None:
                client.remove(f"{self._root}/{key}")

    def url(self, key: str) -> str:
        return f"{self._place}/{quoted_key(key)}"

    def _make_parents(self, client: Any, key: str) -> None:
        if _size(client, self._root) is None:
            raise StoreFailed(f"the store {self._place} is not there", passing=True)
        path = self._root
        for part in posixpath.dirname(key).split("/"):
            path = f"{path}/{part}"
            if _size(client, path) is None:
                with contextlib.suppress(OSError):  # another thread was faster
                    client.mkdir(path, 0o750)

    @contextlib.contextmanager
    def _client(self, end: Interrupt) -> Iterator[Any]:
        """This thread's connection; one that broke is made anew by the next try."""
        session: Session | None = getattr(self._of_thread, "session", None)
        try:
            if session is None or not session.transport.is_active():
                session = self._account.open(self._place, self._idle_seconds, end)
                self._of_thread.session = session
            end.watch(session.connected)
            with broken_as_broken():
                yield session.client
        except (Broken, FileNotFoundError) as error:
            self._of_thread.session = None
            if session is not None:
                session.close()
            host = urlsplit(self._place).netloc
            message = end.why or f"the store at {host} cannot be reached: {error}"
            raise StoreFailed(message, passing=True, category=Category.NETWORK) from error
        except PermissionError as error:
            message = f"the store {self._place} does not let this site write: {error}"
            raise StoreFailed(message) from error
        except StagingRefused as refused:
            raise StoreFailed(str(refused), category=refused.category) from refused


def _size(client: Any, path: str) -> int | None:
    try:
        return int(client.stat(path).st_size or 0)
    except FileNotFoundError:
        return None
