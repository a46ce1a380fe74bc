"""The file system under a path, as the kernel lists mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from suan import disks
from suan.disks import SHARED_FILE_SYSTEMS, file_system

MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
tmpfs /srv tmpfs rw 0 0
server:/home /srv/our\040home nfs4 rw 0 0
/dev/sdb1 /srv/data ext4 rw 0 0
pool /srv/data beegfs rw 0 0
short line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc", "ext4"),
        ("/srv", "tmpfs"),
        ("/srv/our home/li", "nfs4"),
        ("/srv/our homes", "tmpfs"),
        ("/srv/data/broker", "beegfs"),  # mounted over the disk below
    ],
)
def test_the_innermost_and_latest_mount_counts(
    path: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "mounts"
    listed.write_text(MOUNTS)
    monkeypatch.setattr(disks, "_MOUNTS", listed)
    assert file_system(Path(path)) == kind
    assert (kind in SHARED_FILE_SYSTEMS) == (kind in ("nfs4", "beegfs"))


def test_where_the_kernel_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "_MOUNTS", Path("/no/such/file"))
    assert file_system(Path("/")) == "?"
