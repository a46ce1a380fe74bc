"""The states that a job has committed with `suan.context().commit_checkpoint()`.

    <checkpoints of the job>/.suan/commits/<epoch>-<number>         committed by the job
    <checkpoints of the job>/.suan/commits/<epoch>-<number>.taken   being published, or published

The job removes those that it has replaced and we have not taken; we remove those that are
older than one that is published. All of it belongs to the job, which may put anything there:
nothing is reached but through descriptors that stay inside.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from agent.reach.inside import NotReadable, Outside, open_inside

COMMITS = ".suan/commits"
TAKEN = ".taken"
NAMES_MAX = 10_000  # that are looked at
_NAME = re.compile(r"([0-9]{1,18})-([0-9]{1,18})(\.taken)?")


@dataclass(frozen=True, slots=True)
class Snapshot:
    epoch: int
    number: int
    taken: bool

    @property
    def order(self) -> tuple[int, int]:
        return self.epoch, self.number

    @property
    def name(self) -> str:
        return f"{self.epoch}-{self.number}{TAKEN if self.taken else ''}"

    @property
    def below(self) -> str:
        """Where it lies in the job's checkpoint directory."""
        return f"{COMMITS}/{self.name}"


def are_used(directory: str) -> bool:
    """Whether the job commits its states itself, here or where it came from."""
    with _commits(directory) as commits:
        return commits >= 0


def newest(directory: str, epoch: int) -> Snapshot | None:
    """The last state that this attempt has committed."""
    with _commits(directory) as commits:
        own = [each for each in _all(commits) if each.epoch == epoch]
        return max(own, key=lambda each: each.order, default=None)


def take(directory: str, snapshot: Snapshot) -> Snapshot | None:
    """From now on the job leaves it alone; None: the job was faster, there is a later one."""
    if snapshot.taken:
        return snapshot
    taken = Snapshot(snapshot.epoch, snapshot.number, taken=True)
    with _commits(directory) as commits:
        with contextlib.suppress(FileNotFoundError):
            os.rename(snapshot.name, taken.name, src_dir_fd=commits, dst_dir_fd=commits)
            return taken
    return None


def drop_before(directory: str, snapshot: Snapshot) -> None:
    """Remove what is older than this one, which is published."""
    with _commits(directory) as commits:
        for each in _all(commits):
            if each.order < snapshot.order:
                shutil.rmtree(each.name, ignore_errors=True, dir_fd=commits)


@contextlib.contextmanager
def _commits(directory: str) -> Iterator[int]:
    """A descriptor of the directory of commits; -1: there is none."""
    try:
        descriptor = open_inside(directory, COMMITS)
    except (OSError, Outside, NotReadable):
        yield -1
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _all(commits: int) -> list[Snapshot]:
    if commits < 0:
        return []
    found: list[Snapshot] = []
    with os.scandir(commits) as entries:
        for count, entry in enumerate(entries):
            if count >= NAMES_MAX:
                break
            known = _NAME.fullmatch(entry.name)
            if known and entry.is_dir(follow_symlinks=False):
                found.append(Snapshot(int(known[1]), int(known[2]), taken=bool(known[3])))
    return found
