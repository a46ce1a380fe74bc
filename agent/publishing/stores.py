"""Where runs' results go: one contract for all kinds of stores, and how a URL becomes one.

What is written under a key is there whole or not at all. All methods block; `Interrupt` ends
them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from agent.staging.interrupt import Interrupt
from agent.staging.transport import Transport
from agent.staging.values import Limits
from suan.errors import Category, InvalidRequest


class StoreFailed(Exception):
    """Something could not be brought to a store. `passing`: another try may do it."""

    def __init__(
        self, message: str, *, passing: bool = False, category: Category = Category.SITE
    ) -> None:
        super().__init__(message)
        self.message = message
        self.passing = passing
        self.category = category


class Store(Protocol):
    """One place. Keys are plain relative paths. All methods raise StoreFailed."""

    def put(self, key: str, descriptor: int, size_bytes: int, sha256: str, end: Interrupt) -> None:
        """Write what a file has, from its beginning; what has another checksum is not written.

        A second call goes on where the first was cut, as far as the store can.
        """

    def size(self, key: str, end: Interrupt) -> int | None:
        """How many bytes are there; None: nothing is."""

    def create(self, key: str, data: bytes, end: Interrupt) -> bytes:
        """Write a small object where nothing is; what is there then: these bytes, or others'."""

    def remove(self, key: str, end: Interrupt) -> None:
        """Remove what may be there."""

    def url(self, key: str) -> str:
        """Where others read it."""


class Stores:
    """The stores that a site can write to, by URL."""

    def __init__(self, own: str, limits: Limits) -> None:
        """`own`: the site's own store; "": it has none. Raises InvalidRequest."""
        self._limits = limits
        self._transport = Transport(limits)
        self._known: dict[str, Store] = {}
        self._own = own
        if own:
            self.at("")

    @property
    def has_own(self) -> bool:
        return bool(self._own)

    def at(self, url: str) -> Store:
        """The store at that place; "": the site's own. Raises InvalidRequest."""
        place = (url or self._own).rstrip("/")
        if place not in self._known:
            self._known[place] = self._open(place)
        return self._known[place]

    def _open(self, place: str) -> Store:
        # Here, for both know this module.
        from agent.publishing.directory import DirectoryStore
        from agent.publishing.s3 import ObjectStore
        from agent.publishing.sftp import SftpStore

        if (root := directory_of(place)) is not None:
            return DirectoryStore(root)
        parts = urlsplit(place)
        if parts.scheme == "s3" and parts.netloc and not (parts.query or parts.fragment):
            if self._limits.s3 is None:
                raise InvalidRequest(
                    f"{place} needs an account at an S3-compatible store",
                    "name it with data_s3_endpoint and data_s3_credentials in agent.yaml",
                    "ConfigUnreadable",
                )
            return ObjectStore(place, self._limits.s3, self._transport)
        if parts.scheme == "sftp" and parts.netloc and not (parts.query or parts.fragment):
            if self._limits.sftp is None:
                raise InvalidRequest(
                    f"{place} needs an account at an SFTP server",
                    "name it with data_sftp_user, data_sftp_key and data_sftp_known_hosts",
                    "ConfigUnreadable",
                )
            return SftpStore(place, self._limits.sftp, self._limits.idle_seconds)
        raise InvalidRequest(
            f"{place!r} is no store that this agent can write to",
            "write s3://bucket/prefix, sftp://host/directory or /directory",
            "ConfigUnreadable",
        )


def directory_of(place: str) -> Path | None:
    """The directory that a place is, by a path or a file URL; None: it is none."""
    if place.startswith("/"):
        return Path(place)
    parts = urlsplit(place)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path[:1] == "/":
        return Path(unquote(parts.path))
    return None


def file_url(path: Path) -> str:
    return f"file://{quote(str(path))}"


def quoted_key(key: str) -> str:
    """A key as part of a URL."""
    return quote(key, safe="/~")
