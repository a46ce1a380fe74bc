"""The site's identity on the disk, replaced as a whole: one link to one directory.

Key and certificate belong together, and two files cannot be replaced at once. So each
identity gets a directory of its own, and `identity` is a link to the newest. Knows files;
asks nobody for anything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from suan.errors import InvalidRequest
from suan.identity.directory import write_identity

_LINK_TRIES = 100


def install_identity(link: Path, *, ca_pem: bytes, certificate_pem: bytes, key_pem: bytes) -> None:
    """Make this the identity at `link`; whoever looks there finds the old or the new, whole.

    Raises InvalidRequest (FileUnwritable).
    """
    store = link.with_name(f"{link.name}.d")
    place = store / time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    while place.exists():
        place = place.with_name(f"{place.name}x")
    write_identity(place, ca_pem=ca_pem, certificate_pem=certificate_pem, key_pem=key_pem)
    try:
        if link.is_dir() and not link.is_symlink():
            link.rename(store / "given")  # as an administrator put it there
        _point(link, place)
        _forget_others(store, place)
    except OSError as error:
        raise InvalidRequest(
            f"cannot put the identity in place at {link}: {error}",
            "check the permissions of the directory and the free space of the disk",
            "FileUnwritable",
        ) from error


def recover_identity(link: Path) -> None:
    """After a crash between two steps of `install_identity`: the newest whole identity."""
    if link.exists():
        return
    store = link.with_name(f"{link.name}.d")
    whole = sorted(path.parent for path in store.glob("*/cert.pem"))
    if whole:
        _point(link, whole[-1])


def _point(link: Path, place: Path) -> None:
    for number in range(_LINK_TRIES):
        new = link.with_name(f".{link.name}.{os.getpid()}.{number}")
        with contextlib.suppress(FileExistsError):
            new.symlink_to(os.path.relpath(place, link.parent))
            new.replace(link)
            return
    raise FileExistsError(f"cannot make a link beside {link}")


def _forget_others(store: Path, kept: Path) -> None:
    """Old keys are of no use; the one before stays, for a connection that is being made."""
    others = sorted(path for path in store.iterdir() if path != kept)
    for path in others[:-1]:
        shutil.rmtree(path, ignore_errors=True)
