"""How one thread tells another to end, also when that one waits for a server."""

from __future__ import annotations

import contextlib
import socket
import threading


class Interrupt:
    """Set once, for good."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.why = ""

    def set(self, why: str) -> None:
        """End; the first reason stands."""
        with self._lock:
            self.why = self.why or why
            self._event.set()
            self._cut()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Pause, or less when told to end."""
        self._event.wait(seconds)

    def watch(self, connected: socket.socket) -> None:
        """The connection to break, in place of any before."""
        with self._lock:
            self._socket = connected
            if self._event.is_set():
                self._cut()

    def _cut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not the method of an SSL socket, which is not made for another thread.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
