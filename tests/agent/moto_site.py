"""A server that speaks S3 for tests, where `moto_server` is installed, and a road to it that can
be cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import until

from bench.ports import free_ports

HERE = Path(__file__).resolve().parents[2] / ".s3" / "bin" / "moto_server"  # see deploy/s3.sh
SERVER = os.environ.get("SUAN_TEST_MOTO_SERVER") or (
    str(HERE) if HERE.exists() else shutil.which("moto_server") or ""
)
needs_server = pytest.mark.skipif(not SERVER, reason="needs moto_server; `make servers` brings it")


@contextlib.contextmanager
def moto_serving(*buckets: str) -> Iterator[str]:
    """An empty store with these buckets; its endpoint."""
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    command = [SERVER, "-H", "127.0.0.1", "-p", str(port)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(endpoint))
        for bucket in buckets:
            put_object(endpoint, f"/{bucket}")
        yield endpoint
    finally:
        running.terminate()
        running.wait(30)


def put_object(endpoint: str, path: str, body: bytes = b"") -> None:
    kind = {"Content-Type": "application/octet-stream"}  # else it is taken for a form
    put = urllib.request.Request(endpoint + path, body, kind, method="PUT")
    urllib.request.urlopen(put, timeout=30).close()


def answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


class Road:
    """Carries connections to a server, and breaks one when it has carried so many bytes."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.carried = self.carried_back = 0  # bytes to the server, and from it
        # The connection that comes so far is cut; the next ones are whole.
        self.cut_at: int | None = None
        self.cut_back_at: int | None = None
        self.closed = False  # nobody is let through
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.closed:
                    client.close()
                    continue
                server = socket.create_connection(self._target)
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _is_cut(self, size: int, up: bool) -> bool:
        if up:
            self.carried += size
            cut = self.cut_at is not None and self.carried > self.cut_at
            self.cut_at = None if cut else self.cut_at
            return cut
        self.carried_back += size
        cut = self.cut_back_at is not None and self.carried_back > self.cut_back_at
        self.cut_back_at = None if cut else self.cut_back_at
        return cut

    def _carry(self, origin: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := origin.recv(65_536):
                if self._is_cut(len(data), up):
                    break
                target.sendall(data)
        for one in (origin, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # whoever waits on it, here too, goes on
            one.close()


@contextlib.contextmanager
def road_to(endpoint: str) -> Iterator[Road]:
    road = Road(endpoint)
    try:
        yield road
    finally:
        road.close()
