"""Small files that are whole or absent, and private ones that stay private.

Knows paths and bytes only. Writes go to a new file beside the target, which takes its place
once it is on the disk.
"""

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from suan.errors import Conflict, InvalidRequest, Unauthenticated

FILE_BYTES_MAX: Final = 1024 * 1024  # of a certificate, key, join file or context file
PRIVATE: Final = 0o600
PUBLIC: Final = 0o644
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def write_file(path: Path, data: bytes, *, mode: int = PRIVATE, force: bool = False) -> None:
    """Puts a file in place at once, with its permissions, on the disk when this returns.

    Raises Conflict (FileExists) when it is there and not `force`, InvalidRequest (FileUnwritable).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        _put_in_place(temporary, path, force)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_file(path: Path, *, private: bool = False) -> bytes:
    """The bytes of a small file.

    Raises Unauthenticated (KeyExposed) when it is `private` and somebody else may read or
    write it, InvalidRequest (FileUnreadable, FileTooLarge).
    """
    try:
        with path.open("rb") as file:
            exposed = os.fstat(file.fileno()).st_mode & _OTHERS
            data = b"" if private and exposed else file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidRequest(
            f"cannot read {path}: {error.strerror}",
            "check the path and who may read it",
            "FileUnreadable",
        ) from error
    if private and exposed:
        raise Unauthenticated(
            f"{path} is a secret, and others than its owner may open it (mode {exposed:03o})",
            f"chmod 600 {path}; if others had access to the machine, ask for a new one",
            "KeyExposed",
        )
    if len(data) > FILE_BYTES_MAX:
        raise InvalidRequest(
            f"{path} is larger than {FILE_BYTES_MAX} bytes", "is it the right file?", "FileTooLarge"
        )
    return data


def _put_in_place(temporary: Path, path: Path, force: bool) -> None:
    if force:
        temporary.replace(path)
    else:
        try:
            path.hardlink_to(temporary)  # unlike a rename, fails when the target exists
        except FileExistsError:
            raise Conflict(
                f"{path} exists already", "name another place, or use --force", "FileExists"
            ) from None
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _unwritable(path: Path, error: OSError) -> InvalidRequest:
    return InvalidRequest(
        f"cannot write {path}: {error.strerror}",
        "check the path, its permissions and the free space of the disk",
        "FileUnwritable",
    )
