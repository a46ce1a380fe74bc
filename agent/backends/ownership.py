"""Who may enter, read and write what of a run whose processes are another user's.

Every directory on the way is root's and may be crossed, not listed; what the job reads and
writes is its account's alone; all else is root's alone. So no tenant reads another's, none
replaces a name that root will open, and the agent's own state stays closed. Only root can do
this. Knows files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from agent.backends.account import Account
from agent.backends.rundir import RunDirectory

CROSSED, CROSSED_BY_GROUP, OWN_DIRECTORY, OWN_FILE = 0o711, 0o710, 0o700, 0o600
_ON_THE_WAY = ("runs", "outputs", "checkpoints", "data")  # to what a job uses
_CLOSED = ("identity", "bundles", "cache", "asks")


def open_way(place: Path) -> None:
    """Let jobs of other users cross a state directory to what is theirs; close what is ours.

    Directories that are not the agent's, such as data of the site, stay as they are.
    """
    for entry in place.iterdir():
        if entry.is_symlink():
            continue
        if entry.name == "tools":  # that jobs run
            entry.chmod(0o755)
            for tool in entry.iterdir():
                tool.chmod(0o644)
        elif entry.name in _ON_THE_WAY:
            entry.chmod(CROSSED)
        elif entry.name in _CLOSED:
            entry.chmod(OWN_DIRECTORY)
        elif not entry.is_dir():
            entry.chmod(OWN_FILE)
    place.chmod(CROSSED)


def give_run(building: RunDirectory, account: Account, logs: Iterable[str]) -> None:
    """A run that was laid out and that nobody uses yet. `logs`: the names its ranks write to."""
    for entry in building.path.iterdir():
        entry.chmod(OWN_DIRECTORY if entry.is_dir() else OWN_FILE)
    for name in ("work", "scratch", "data"):
        give_tree(building.path / name, account)
    for name in ("run.sh", "setup.sh", "hostfile"):
        give(building.path / name, account)
    building.logs.chmod(CROSSED)  # the names in it stay root's, so that what is read is a log
    for name in logs:
        make_file(building.logs / name, account)
    make_file(building.fence_log, None)
    os.chown(building.path, -1, account.gid)
    building.path.chmod(CROSSED_BY_GROUP)


def give_parts(building: RunDirectory, account: Account) -> None:
    """What the nodes of a cluster manager write, where they too are the account's processes."""
    make_file(building.path / "slurm.log", account)
    give(building.path / "nodes.json", account)
    nodes = building.path / "nodes"
    nodes.chmod(CROSSED)
    for part in (*nodes.iterdir(), building.path / "asks"):
        part.chmod(OWN_DIRECTORY)
        give_tree(part, account)


def give_place(place: Path, account: Account, below: Path) -> None:
    """A directory that outlives the run, and the way to it; what is not `below` is the site's."""
    if not place.is_relative_to(below):
        return
    for parent in place.parents:
        if parent == below:
            break
        parent.chmod(CROSSED)
    if place.stat().st_uid != account.uid:  # new, or the tenant had another account
        give_tree(place, account)
        place.chmod(OWN_DIRECTORY)


def give(path: Path, account: Account) -> None:
    os.chown(path, account.uid, account.gid, follow_symlinks=False)


def give_tree(place: Path, account: Account) -> None:
    """All below, by descriptors; but no file with a second name, which may be somebody else's."""
    for _, directories, files, here in os.fwalk(place, follow_symlinks=False):
        for name in (*directories, *files):
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink == 1:
                os.chown(name, account.uid, account.gid, dir_fd=here, follow_symlinks=False)
    give(place, account)


def make_file(path: Path, account: Account | None) -> None:
    """An empty file that is the account's, or root's."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWN_FILE))
    if account is not None:
        give(path, account)
