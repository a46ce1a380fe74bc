"""Data that lies at the site: shown to a run by a symbolic link, and only from allowed roots.

The link points at the resolved path. Reads no data. Blocking: a network file system may take
its time.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from agent.staging.interrupt import Interrupt
from agent.staging.refusals import StagingRefused, unreachable
from agent.staging.values import PathSource
from suan.errors import Category

COPY_BYTES = 4 * 1024 * 1024


def link_path(source: PathSource, roots: Sequence[Path], directory: Path) -> None:
    """Make `directory/<name>` a link to the data. Done already: nothing happens.

    Raises StagingRefused: "DataRefused", "DataMissing"; OSError of `directory` as it comes.
    """
    target = allowed_path(source, roots)
    place = directory / source.name
    try:
        place.symlink_to(target)
    except FileExistsError:
        if place.is_symlink() and place.readlink() == target:
            return
        place.unlink()
        place.symlink_to(target)


def copy_path(
    source: PathSource, roots: Sequence[Path], place: Path, sha256: str, end: Interrupt
) -> None:
    """Make `place` a copy of a file of this site. Raises StagingRefused, OSError."""
    copy_checked(allowed_path(source, roots), place, sha256, end)


def copy_checked(origin: Path, place: Path, sha256: str, end: Interrupt) -> None:
    """Copy a file, durably. Raises StagingRefused("DataCorrupt", "DataUnreachable")."""
    digest = hashlib.sha256()
    with origin.open("rb") as source, place.open("wb") as target:
        while chunk := source.read(COPY_BYTES):
            if end.is_set():
                raise unreachable(str(origin), end.why)
            digest.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() != sha256:
        raise StagingRefused(
            "DataCorrupt",
            f"{origin} has the SHA-256 {digest.hexdigest()}, not {sha256}",
            "see who can write to it",
        )


def allowed_path(source: PathSource, roots: Sequence[Path]) -> Path:
    """The resolved path. What lies outside the roots is refused whether it exists or not.

    Raises StagingRefused.
    """
    target = Path(os.path.realpath(source.path))
    if not any(target.is_relative_to(os.path.realpath(root)) for root in roots):
        raise StagingRefused(
            "DataRefused",
            f"dataset {source.name!r} is said to lie at {source.path}, "
            "which this site does not open to jobs",
            "the site's operator can add its directory to data_roots in agent.yaml",
            Category.SITE,
        )
    try:
        mode = target.stat().st_mode
    except OSError as error:
        raise StagingRefused(
            "DataMissing",
            f"dataset {source.name!r} is said to lie at {source.path} of this site: "
            f"{error.strerror}",
            "correct the path with `suan dataset put`",
            Category.SITE,
        ) from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise StagingRefused(
            "DataRefused",
            f"dataset {source.name!r} at {source.path} is neither a file nor a directory",
            "correct the path with `suan dataset put`",
            Category.SITE,
        )
    return target
