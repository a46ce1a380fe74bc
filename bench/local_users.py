"""Users of this machine that live as long as a test: what jobs of tenants run as."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WHY_NOT = "needs root and useradd, to make users of the machine"


def can_make_users() -> bool:
    return os.geteuid() == 0 and shutil.which("useradd") is not None


@contextmanager
def local_users(*names: str) -> Iterator[tuple[pwd.struct_passwd, ...]]:
    """Users whose names begin so, with groups of their own; gone after the block."""
    made: list[str] = []
    try:
        for name in names:
            user = f"{name}-{os.getpid()}"
            command = ("useradd", "--system", "--user-group", "--no-create-home", user)
            subprocess.run(command, check=True, capture_output=True, timeout=30)
            made.append(user)
        yield tuple(pwd.getpwnam(user) for user in made)
    finally:
        for user in made:
            subprocess.run(
                ("userdel", "--force", user), check=False, capture_output=True, timeout=30
            )


@contextmanager
def crossable_place() -> Iterator[Path]:
    """A directory that other users reach, which those of pytest are not; nor is it below /tmp,
    which containers have of the host anyway."""
    with tempfile.TemporaryDirectory(prefix="suan-test-", dir="/var/tmp") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


def as_user(user: pwd.struct_passwd, script: str) -> str:
    """What a shell of that user prints, errors too."""
    command = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    done = subprocess.run(
        (*command, "sh", "-c", script), capture_output=True, text=True, timeout=30, cwd="/"
    )
    return done.stdout + done.stderr
