"""What every kind of store promises, and how places are spelt.

What is written under a key is there whole or not at all. All methods block; `Interrupt` ends
them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from agent.staging.interrupt import Interrupt
from suan.errors import Category

CHUNK_BYTES = 4 * 1024 * 1024  # read at a time, and looked up from


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


def check(end: Interrupt) -> None:
    if end.is_set():
        raise StoreFailed(end.why, passing=True)
