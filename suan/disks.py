"""Which file system holds a path, and on which kinds a machine's locks and syncs do not hold."""

from __future__ import annotations

import re
from pathlib import Path

# File systems on which a lock or a rename of one machine is not one of another.
SHARED_FILE_SYSTEMS = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "gpfs", "beegfs"),
        *("fuse.ceph", "fuse.glusterfs", "fuse.sshfs"),
    )
)
_MOUNTS = Path("/proc/self/mounts")
_OCTAL = re.compile(r"\\([0-7]{3})")  # as the kernel writes blanks in names


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`; "?" where the kernel does not tell."""
    try:
        mounts = _MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "?"
    real, found, longest = path.resolve(), "?", 0
    for _, place, kind, *_ in (line.split() for line in mounts if line.count(" ") > 2):
        place = _OCTAL.sub(lambda match: chr(int(match[1], 8)), place)
        if len(place) >= longest and real.is_relative_to(place):  # of several on one, the last
            found, longest = kind, len(place)
    return found
