"""How a running job commits its state: a picture of its checkpoint directory, by hard links.

    .suan/commits/<attempt>-<number>         a state that is whole
    .suan/commits/<attempt>-<number>.taken   the site's agent publishes it, or has

A picture appears with one rename, so whoever sees it sees all of it. Standard library only:
the environment of a job need not have the rest of suan.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

OWN = ".suan"
_NAME = re.compile(r"([0-9]+)-([0-9]+)(\.taken)?")


def commit(directory: Path, attempt: int) -> int:
    """Commit what lies in `directory`; the number of the commit. Raises OSError."""
    commits = directory / OWN / "commits"
    commits.mkdir(parents=True, exist_ok=True)
    known = [found for path in commits.iterdir() if (found := _NAME.fullmatch(path.name))]
    numbers = (int(found[2]) for found in known if int(found[1]) == attempt)
    number = 1 + max(numbers, default=0)
    building = commits / f".new-{attempt}-{number}"
    shutil.rmtree(building, ignore_errors=True)
    _picture(directory, building)
    building.rename(commits / f"{attempt}-{number}")
    for found in known:
        if not found[3]:  # nobody took it, and this one is later
            _drop(commits / found[0])
    return number


def _picture(directory: Path, building: Path) -> None:
    for path, directories, names in os.walk(directory):
        here = Path(path)
        if here == directory and OWN in directories:
            directories.remove(OWN)
        there = building / here.relative_to(directory)
        there.mkdir()
        for name in (*names, *(each for each in directories if (here / each).is_symlink())):
            _link(here / name, there / name)


def _link(origin: Path, place: Path) -> None:
    if origin.is_symlink():
        place.symlink_to(origin.readlink())
        return
    try:
        place.hardlink_to(origin)
    except OSError:  # not every file system can
        shutil.copy2(origin, place)


def _drop(picture: Path) -> None:
    """Remove a picture, unless the agent takes it in this moment."""
    gone = picture.with_name(f".gone-{picture.name}")
    with contextlib.suppress(OSError):
        picture.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
