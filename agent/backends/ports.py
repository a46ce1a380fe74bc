"""Picks the rendezvous port of a gang: the same for all ranks, free when it was looked at.

Below the range that the kernel hands to outgoing connections, so that it stays free until
rank 0 binds it. Where to look first comes from the run's name: gangs that start together
look at different places.
"""

from __future__ import annotations

import errno
import socket
import zlib
from collections.abc import Collection

PORTS = range(20_000, 30_000)


def pick_port(name: str, address: str, taken: Collection[int]) -> int:
    """A port on `address` that nobody listens on and that is not in `taken`.

    Raises OSError(EADDRINUSE) when there is none.
    """
    first = zlib.crc32(name.encode()) % len(PORTS)
    for step in range(len(PORTS)):
        port = PORTS[(first + step) % len(PORTS)]
        if port not in taken and _is_free(address, port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port between {PORTS.start} and {PORTS.stop - 1}")


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            # An address of another machine cannot be tried from here.
            return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True
