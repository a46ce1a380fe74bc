"""Limits of runs on the agent's own machine, by cgroup v2, where that was given into its hands.

The agent may use the cgroup above its own if it was delegated: systemd says so by an attribute
(`Delegate=yes` with `DelegateSubgroup=agent`, so that the agent itself lies one below, as the
kernel demands), or its owner is the agent's user, or it is the root of all it can see. Nothing
else of the machine is touched. Each run gets one cgroup below the agent's own `suan-…`; its
fence puts the ranks into it and reads there whether they took too much memory. Files only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from agent.backends import RunOrder

CONTROLLERS = ("cpu", "memory", "pids")
PIDS_MAX = 32_768  # processes and threads of one run
CPU_PERIOD_MICROSECONDS = 100_000
_OURS = ("user.delegate", "trusted.delegate")  # attributes by which systemd says so


class NotAllowed(Exception):
    """The agent may not limit runs here; its text says why, for people."""


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The cgroups of the runs of one agent, by run name."""

    home: Path

    def make(self, order: RunOrder) -> Path:
        """A cgroup with the limits that a run's order names. Raises OSError."""
        place = self.home / order.name
        place.mkdir(mode=0o755, exist_ok=True)
        _write(place / "pids.max", PIDS_MAX)
        if order.memory_gib_per_node:
            wanted = round(order.memory_gib_per_node * len(order.nodes) * 2**30)
            _write(place / "memory.max", wanted)
            _write(place / "memory.oom.group", 1)  # a gang ends whole
            with contextlib.suppress(OSError):  # a machine without swap has no such file
                _write(place / "memory.swap.max", 0)
        if order.cpus_per_node:
            quota = order.cpus_per_node * len(order.nodes) * CPU_PERIOD_MICROSECONDS
            _write(place / "cpu.max", f"{quota} {CPU_PERIOD_MICROSECONDS}")
        return place

    def remove(self, name: str) -> None:
        """After its last process; one that lives yet is removed by the next `sweep`."""
        with contextlib.suppress(OSError):
            (self.home / name).rmdir()

    def sweep(self, kept: Collection[str]) -> None:
        """Remove what earlier agents left of runs that are not `kept`."""
        for place in self.home.iterdir():
            if place.is_dir() and place.name not in kept:
                self.remove(place.name)


def kill_cgroup(cgroup: str) -> None:
    """SIGKILL to all that is in a run's cgroup, in one step (Linux 5.14); "": to nobody."""
    if cgroup:
        with contextlib.suppress(OSError):
            _write(Path(cgroup) / "cgroup.kill", 1)


def find_cgroups(state_directory: Path) -> Cgroups:
    """Those of the agent of a state directory, ready for runs. Raises NotAllowed."""
    mount = _mount(Path("/proc/self/mountinfo").read_text("utf-8"))
    own = _own(Path("/proc/self/cgroup").read_text("utf-8"))
    place = _delegated(mount, own)
    try:
        return prepare(place, f"suan-{crc32(os.fsencode(state_directory)):08x}")
    except OSError as error:
        raise NotAllowed(f"{place} cannot be divided: {error.strerror}") from error


def prepare(place: Path, name: str) -> Cgroups:
    """Let the cgroups below that of `name` in `place` have limits. Raises NotAllowed, OSError."""
    there = (place / "cgroup.controllers").read_text("ascii").split()
    if missing := [name for name in CONTROLLERS if name not in there]:
        raise NotAllowed(f"{place} has no controller {', '.join(missing)} of cgroup v2")
    home = place / name
    for cgroup in (place, home):
        cgroup.mkdir(mode=0o755, exist_ok=True)
        switched = (cgroup / "cgroup.subtree_control").read_text("ascii").split()
        if not set(CONTROLLERS) <= set(switched):
            wish = " ".join(f"+{name}" for name in CONTROLLERS)
            _write(cgroup / "cgroup.subtree_control", wish)
    return Cgroups(home)


def _delegated(mount: Path, own: str) -> Path:
    """The cgroup that is the agent's to divide."""
    if own == "/":
        return mount  # the root of what we can see; the kernel says whether we may
    place = mount / own.lstrip("/")
    above = place.parent
    if above.suffix not in (".service", ".scope") or not _is_ours(above):
        why = f"the agent runs in {own}, and what is above it was not delegated to it"
        raise NotAllowed(why)
    return above


def _is_ours(place: Path) -> bool:
    owner = place.stat().st_uid
    if owner and owner == os.geteuid():
        return True
    for attribute in _OURS:
        with contextlib.suppress(OSError):
            if os.getxattr(place, attribute) == b"1":
                return True
    return False


def _mount(mountinfo: str) -> Path:
    """Where cgroup v2 is mounted, by the text of /proc/self/mountinfo."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4])
    raise NotAllowed("cgroup v2 is not mounted")


def _own(text: str) -> str:
    """The agent's own cgroup, by the text of /proc/self/cgroup."""
    for line in text.splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    raise NotAllowed("the agent is in no cgroup v2")


def _write(path: Path, value: int | str) -> None:
    descriptor = os.open(path, os.O_WRONLY)  # never makes a file
    try:
        os.write(descriptor, str(value).encode("ascii"))
    finally:
        os.close(descriptor)
