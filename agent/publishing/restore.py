"""The last committed checkpoint of a job, brought to where its next attempt finds it.

Built beside its place and moved there when all of it is whole and checked, so that no run
ever begins from half of one. Files go through the site's cache, as inputs do.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

from agent.publishing.manifest import (
    MANIFEST_BYTES_MAX,
    Entry,
    Manifest,
    ManifestUnreadable,
    decode,
)
from agent.publishing.snapshots import COMMITS
from agent.publishing.store import quoted_key
from agent.staging import Staging, StagingRefused
from agent.staging.values import Progress
from agent.supervisor.values import Commit

FETCHES_MAX = 4  # files at a time


def has_as_new(outputs: Path, directory: Path, commit: Commit) -> bool:
    """Whether the job's checkpoint directory at this site holds that state or a later one.

    `outputs`: where each attempt that was laid out here has a directory, called by its epoch.
    Before any was, what its grant named was brought here, unless it was here already.
    """
    if not directory.is_dir() or not outputs.is_dir():
        return False
    epochs = (int(path.name) for path in outputs.iterdir() if path.name.isdecimal())
    return max(epochs, default=0) >= commit.epoch


async def restore(
    staging: Staging, job_id: str, commit: Commit, directory: Path, progress: Progress
) -> None:
    """Put the committed state into `directory`, in place of all that is there.

    Raises StagingRefused, after which `directory` is as it was, and OSError of this disk.
    """
    building = directory.with_name(f"{directory.name}.restoring")
    listing = directory.with_name(f"{directory.name}.manifest")
    await asyncio.to_thread(_clear, building)
    try:
        manifest = await _manifest(staging, job_id, commit, listing)
        base = commit.url.removesuffix(quoted_key(manifest.key)) + quoted_key(manifest.prefix)
        await _fetch_all(staging, manifest, base, building, progress)
        await asyncio.to_thread(_put_in_place, manifest, building, directory)
    finally:
        await asyncio.to_thread(_remove, building, listing)


async def _manifest(staging: Staging, job_id: str, commit: Commit, place: Path) -> Manifest:
    named = Manifest(job_id, commit.epoch, "checkpoint", commit.number, ())
    if not commit.url.endswith(f"/{quoted_key(named.key)}") or "/../" in commit.url:
        raise _unreadable(commit, "it lies where no checkpoint of this job does")
    await staging.fetch(commit.url, commit.sha256, place)
    try:
        found = await asyncio.to_thread(_read, place)
    except ManifestUnreadable as error:
        raise _unreadable(commit, str(error)) from error
    if found.key != named.key:
        raise _unreadable(commit, "it is of another job or attempt")
    return found


def _read(place: Path) -> Manifest:
    if place.stat().st_size > MANIFEST_BYTES_MAX:
        raise ManifestUnreadable("it is too long")
    return decode(place.read_bytes())


async def _fetch_all(
    staging: Staging, manifest: Manifest, base: str, building: Path, progress: Progress
) -> None:
    tally = _Tally(manifest.size_bytes, progress)
    left = iter(manifest.files)
    workers = [
        asyncio.create_task(_fetch_some(staging, left, base, building, tally))
        for _ in range(min(FETCHES_MAX, len(manifest.files)))
    ]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _fetch_some(
    staging: Staging, left: Iterator[Entry], base: str, building: Path, tally: _Tally
) -> None:
    for entry in left:
        place = building / entry.path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        location = f"{base}/{quoted_key(entry.at)}"
        await staging.fetch(location, entry.sha256, place, tally.of(entry))
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


def _clear(building: Path) -> None:
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700, parents=True)


def _put_in_place(manifest: Manifest, building: Path, directory: Path) -> None:
    for link in manifest.links:
        place = building / link.path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.symlink_to(link.target)
    if manifest.by_job:  # so that nothing but what it commits itself is published again
        (building / COMMITS).mkdir(mode=0o700, parents=True)
    if directory.exists():
        shutil.rmtree(directory)
    building.rename(directory)


def _remove(building: Path, listing: Path) -> None:
    shutil.rmtree(building, ignore_errors=True)
    listing.unlink(missing_ok=True)


def _unreadable(commit: Commit, why: str) -> StagingRefused:
    message = f"the checkpoint at {commit.url} cannot be used: {why}"
    return StagingRefused("DataCorrupt", message, "see what lies there, and who can write to it")
