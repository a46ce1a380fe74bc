"""A container image of this machine's own programs, and whether one can be run here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PROGRAMS = ("bash", "sh", "cat", "id", "env", "sleep", "mkdir", "ls")


NO_CHARLIECLOUD = "needs Charliecloud (deploy/servers.sh) and user namespaces"


def charliecloud_runs() -> bool:
    """Whether it is there and the kernel lets it make its namespaces."""
    if shutil.which("ch-run") is None:
        return False
    command = ("unshare", "--user", "--mount", "true")
    return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


def make_image(image: Path, *mount_points: Path) -> None:
    """A root file system: some of this machine's programs with their libraries, and a mark."""
    for name in ("dev", "proc", "sys", "tmp", "etc", "usr/bin", "home", "lib64"):
        (image / name).mkdir(parents=True)
    (image / "bin").symlink_to("usr/bin")
    for program in PROGRAMS:
        found = shutil.which(program, path="/usr/bin:/bin")
        assert found is not None, program
        shutil.copy(found, image / "usr" / "bin" / program)
        said = subprocess.run(("ldd", found), capture_output=True, text=True, timeout=30).stdout
        for library in (word for word in said.split() if word.startswith("/")):
            place = image / library.lstrip("/")
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, place)
    for name in ("passwd", "group"):
        (image / "etc" / name).touch()
    (image / "etc" / "mark").write_text(image.name)
    for place in mount_points:
        (image / str(place).lstrip("/")).mkdir(parents=True)
