"""Directories that a manifest lists, brought file by file, some at a time.

What a job goes on from and what it reads are brought alike; how one file comes to its place is
the caller's. Nothing is there under its own name before all of it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from agent.staging.manifest import (
    MANIFEST_BYTES_MAX,
    Entry,
    Manifest,
    ManifestUnreadable,
    decode,
    quoted_key,
)
from agent.staging.together import together
from agent.staging.values import Progress

FETCHES_MAX = 4  # files of one directory at a time

# Makes a place the file that a URL names and that has this SHA-256.
Bring = Callable[[str, str, Path, Progress], Awaitable[None]]


async def read_manifest(place: Path) -> Manifest:
    """What lies there. Raises ManifestUnreadable, OSError."""
    return await asyncio.to_thread(_read, place)


def base_of(manifest: Manifest, url: str) -> str:
    """Of which URL the places of its files are parts, if it lies at `url`.

    Raises ManifestUnreadable where no such manifest can lie.
    """
    key = quoted_key(manifest.key)
    if not url.endswith(f"/{key}") or "/../" in url:
        raise ManifestUnreadable("it lies where no such commit does")
    return url.removesuffix(key) + quoted_key(manifest.prefix)


async def bring_files(
    manifest: Manifest, base: str, building: Path, bring: Bring, progress: Progress
) -> None:
    """Bring all files to `building`, which is there; whatever `bring` raises ends the rest."""
    tally = _Tally(manifest.size_bytes, progress)
    left = iter(manifest.files)
    workers = min(FETCHES_MAX, len(manifest.files))
    await together(_bring_some(left, base, building, bring, tally) for _ in range(workers))


def make_links(manifest: Manifest, building: Path) -> None:
    """The symbolic links between the files. Again: nothing happens."""
    for link in manifest.links:
        place = building / link.path
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(link.target)


async def _bring_some(
    left: Iterator[Entry], base: str, building: Path, bring: Bring, tally: _Tally
) -> None:
    for entry in left:
        place = building / entry.path
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        await bring(f"{base}/{quoted_key(entry.at)}", entry.sha256, place, tally.of(entry))
        tally.finish(entry)


class _Tally:
    """Progress of many files as one: those that are whole, and those on their way."""

    def __init__(self, total_bytes: int, tell: Progress) -> None:
        self._total_bytes = total_bytes
        self._tell = tell
        self._whole_bytes = 0
        self._coming: dict[str, int] = {}
        self._say()

    def of(self, entry: Entry) -> Progress:
        def tell(done: int, _total: int) -> None:
            self._coming[entry.path] = done
            self._say()

        return tell

    def finish(self, entry: Entry) -> None:
        self._coming.pop(entry.path, None)
        self._whole_bytes += entry.size_bytes
        self._say()

    def _say(self) -> None:
        self._tell(self._whole_bytes + sum(self._coming.values()), self._total_bytes)


def _read(place: Path) -> Manifest:
    if place.stat().st_size > MANIFEST_BYTES_MAX:
        raise ManifestUnreadable("it is too long")
    return decode(place.read_bytes())
