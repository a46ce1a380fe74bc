"""Files in directories that a job may write: read and written so that no name in them misleads us.

A name there may be a link to a file of root's, or a pipe that nobody ends. So no link is ever
followed, nothing is waited for, and what is new is made under a name that was not there.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

BYTES_MAX = 16 * 1024 * 1024  # of one file
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_PLAIN = (errno.ELOOP, errno.ENXIO, errno.ENODEV)


def read_plain(path: Path) -> str:
    """The text of a file. Raises OSError, and ValueError for anything but a file of that size."""
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        if error.errno in _NOT_PLAIN:
            raise ValueError(f"{path.name} is not a file") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path.name} is not a file")
        data = file.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise ValueError(f"{path.name} is larger than {BYTES_MAX} bytes")
    return data.decode("utf-8", "replace")


def replace_plain(path: Path, text: str, durable: bool = False, mode: int = 0o644) -> None:
    """Put a file in the place of what is there, in one step. Raises OSError."""
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(new, _MAKE, mode), "wb") as file:
        try:
            os.fchmod(file.fileno(), mode)  # whatever our own umask is
            file.write(text.encode())
            if durable:
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            new.unlink(missing_ok=True)
            raise
    new.replace(path)
