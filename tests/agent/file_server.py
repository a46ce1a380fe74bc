"""A real HTTP server on loopback that misbehaves exactly as it is told."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_SECONDS = 30.0


@dataclass
class Served:
    """What is at one path, and how it is given."""

    body: bytes = b""
    etag: str = '"1"'
    ranges: bool = True
    framing: str = "length"  # | "chunked" | "close": only the end of the connection tells
    statuses: list[int] = field(default_factory=list)  # of the first requests, in place of all
    cuts: list[int] = field(default_factory=list)  # bytes given to the first requests
    cut_always: int | None = None
    on_cut: Callable[[], None] = lambda: None  # before the connection is closed
    hold_at: int | None = None  # give so many bytes, then wait for `go` or for the end
    go: threading.Event = field(default_factory=threading.Event)
    redirect: str = ""
    gone: threading.Event = field(default_factory=threading.Event)  # who was held went away

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class Seen:
    """One request and the status of its answer."""

    target: str
    headers: dict[str, str]
    status: int


class FileServer(ThreadingHTTPServer):
    """Serves `files`, remembers `seen`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.seen: list[Seen] = []
        self.scheme = "http"

    def secure(self, certificate: str, key: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https"

    def put(self, path: str, body: bytes = b"", **how: object) -> Served:
        self.files[path] = Served(body, **how)  # type: ignore[arg-type]
        return self.files[path]

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}{path}"

    @property
    def statuses(self) -> list[int]:
        return [seen.status for seen in self.seen]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that break off are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        target = self.path if self.path.startswith("/") else "/" + self.path.split("/", 3)[3]
        served = self.server.files.get(target)
        if served is None:
            self._say(404)
        elif served.statuses:
            self._say(served.statuses.pop(0))
        elif served.redirect:
            self._say(302, Location=served.redirect)
        elif served.etag and self.headers.get("If-None-Match") == served.etag:
            self._say(304)
        else:
            self._give(served)

    def _give(self, served: Served) -> None:
        wanted = self.headers.get("Range", "")
        same = self.headers.get("If-Range", served.etag) == served.etag
        begin = int(wanted[len("bytes=") : -1]) if wanted and served.ranges and same else 0
        total = len(served.body)
        if begin and begin >= total:
            self._say(416, **{"Content-Range": f"bytes */{total}"})
            return
        headers = {"ETag": served.etag} if served.etag else {}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{total - 1}/{total}"
        if served.framing == "length":
            headers["Content-Length"] = str(total - begin)
        elif served.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        self._head(206 if begin else 200, headers)
        self._body(served, begin)

    def _body(self, served: Served, begin: int) -> None:
        cut = served.cuts.pop(0) if served.cuts else served.cut_always
        end = len(served.body) if cut is None else begin + cut
        if served.hold_at is not None:
            self._write(served, served.body[begin : served.hold_at])
            begin = served.hold_at
            if not self._may_go_on(served):
                return
        self._write(served, served.body[begin:end])
        if cut is not None:
            served.on_cut()
        elif served.framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _may_go_on(self, served: Served) -> bool:
        self.connection.settimeout(0.02)
        for _ in range(int(PATIENCE_SECONDS / 0.02)):
            if served.go.is_set():
                self.connection.settimeout(PATIENCE_SECONDS)
                return True
            with contextlib.suppress(TimeoutError):
                if not self.connection.recv(1):
                    break
        served.gone.set()
        self.close_connection = True
        return False

    def _write(self, served: Served, data: bytes) -> None:
        if served.framing == "chunked" and data:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        self.wfile.write(data)
        self.wfile.flush()

    def _say(self, status: int, **headers: str) -> None:
        body = {} if status == 304 else {"Content-Length": "0"}
        self._head(status, {**body, **headers})

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.server.seen.append(Seen(self.path, dict(self.headers), status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextlib.contextmanager
def serving(server: FileServer) -> Iterator[FileServer]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        for served in server.files.values():
            served.go.set()
        server.shutdown()
        server.server_close()
        thread.join()
