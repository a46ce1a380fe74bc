"""A real HTTP server on loopback that says what an exporter says, or misbehaves as it is told."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORDED = Path(__file__).parent / "fixtures" / "exporters"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def recorded(name: str, age_seconds: float = 0.0) -> str:
    """An exposition whose samples have times of their own, so many seconds ago."""
    second = str(int(time.time() - age_seconds))
    return (RECORDED / f"{name}.txt").read_text("utf-8").replace("@", second)


@dataclass
class Says:
    """What is answered to any path."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": TEXT})
    body: bytes | None = None  # in place of the text
    repeated: int = 1  # how often the body is sent
    is_cut: bool = False  # in its middle
    clock_behind_seconds: float = 0.0  # in its Date
    hangs_until: threading.Event | None = None  # before the body


class ExporterServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says = Says()
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://{{address}}:{self.server_address[1]}/metrics"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that break off are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: ExporterServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() - self.server.says.clock_behind_seconds)

    def do_GET(self) -> None:
        says = self.server.says
        self.server.asked.append((self.path, dict(self.headers)))
        body = says.text.encode() if says.body is None else says.body
        self.send_response(says.status)
        for name, value in says.headers.items():
            self.send_header(name, value)
        if says.repeated == 1:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if says.hangs_until is not None:
            says.hangs_until.wait(30)
        for _ in range(says.repeated):
            self.wfile.write(body[: len(body) // 2] if says.is_cut else body)


@contextlib.contextmanager
def exporter_server() -> Iterator[ExporterServer]:
    server = ExporterServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        if server.says.hangs_until is not None:
            server.says.hangs_until.set()
        server.shutdown()
        server.server_close()
        thread.join()
