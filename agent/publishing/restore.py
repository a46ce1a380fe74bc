"""The last committed checkpoint of a job, brought to where its next attempt finds it.

Built beside its place and moved there when all of it is whole and checked, so that no run
ever begins from half of one. Files go through the site's cache, as inputs do.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from agent.publishing.snapshots import COMMITS
from agent.staging import Staging, StagingRefused
from agent.staging.manifest import Manifest, ManifestUnreadable, quoted_key
from agent.staging.trees import base_of, bring_files, make_links, read_manifest
from agent.staging.values import Progress
from agent.supervisor.values import Commit


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
        base = base_of(manifest, commit.url)
        await bring_files(manifest, base, building, staging.fetch, progress)
        await asyncio.to_thread(_put_in_place, manifest, building, directory)
    except ManifestUnreadable as error:
        message = f"the checkpoint at {commit.url} cannot be used: {error}"
        hint = "see what lies there, and who can write to it"
        raise StagingRefused("DataCorrupt", message, hint) from error
    finally:
        await asyncio.to_thread(_remove, building, listing)


async def _manifest(staging: Staging, job_id: str, commit: Commit, place: Path) -> Manifest:
    named = Manifest(job_id, commit.epoch, "checkpoint", commit.number, ())
    if not commit.url.endswith(f"/{quoted_key(named.key)}") or "/../" in commit.url:
        raise ManifestUnreadable("it lies where no checkpoint of this job does")
    await staging.fetch(commit.url, commit.sha256, place)
    found = await read_manifest(place)
    if found.key != named.key:
        raise ManifestUnreadable("it is of another job or attempt")
    return found


def _clear(building: Path) -> None:
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700, parents=True)


def _put_in_place(manifest: Manifest, building: Path, directory: Path) -> None:
    make_links(manifest, building)
    if manifest.by_job:  # so that nothing but what it commits itself is published again
        (building / COMMITS).mkdir(mode=0o700, parents=True)
    if directory.exists():
        shutil.rmtree(directory)
    building.rename(directory)


def _remove(building: Path, listing: Path) -> None:
    shutil.rmtree(building, ignore_errors=True)
    listing.unlink(missing_ok=True)
