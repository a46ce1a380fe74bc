"""Ports for servers that tests and benchmarks start: free when looked at, and given out once.

Below the range from which the kernel takes ports for outgoing connections, and beside that of
gangs (agent/backends/ports.py). All processes of a user share one cursor in a file, so that two
of them never get the same port before their servers listen.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
from pathlib import Path

PORTS = range(10_000, 20_000)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens at. Raises OSError(EADDRINUSE) when there are not so many."""
    place = Path(tempfile.gettempdir()) / f"suan-ports-{os.getuid()}"
    opened = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(opened, "r+") as cursor:
        fcntl.flock(cursor, fcntl.LOCK_EX)  # until it is closed
        first = int(cursor.read() or 0)
        found: list[int] = []
        for step in range(first, first + len(PORTS)):
            port = PORTS[step % len(PORTS)]
            if _is_free(port):
                found.append(port)
            if len(found) == count:
                cursor.seek(0)
                cursor.truncate()
                cursor.write(str(step + 1))
                return found
    raise OSError(errno.EADDRINUSE, f"no {count} free ports from {PORTS[0]} to {PORTS[-1]}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))  # at every address: some of the servers listen at all
        except OSError:
            return False
    return True
