"""Asks the head of one Ray over HTTP, bounded in time and in what it answers.

Three questions make one view: the nodes, what of them is in use, the submissions. Each is
answered by the head from memory; none starts anything in the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from agent.probes.tools import ProbeFailed
from agent.ray import read
from agent.ray.read import RayUnreadable, RayView

SECONDS_MAX = 60.0  # of one call: a head under load takes tens of seconds
BYTES_MAX = 256 * 1024 * 1024  # of one answer
CHUNK_BYTES = 1024 * 1024
NODES_MAX = 10_000  # which Ray's API answers at most
VERSION_MIN = (2, 49)  # label selectors: before it, nodes cannot be named
NODES_PATH = f"/api/v0/nodes?detail=1&limit={NODES_MAX}"
STATUS_PATH = "/api/cluster_status"
SUMMARY_PATH = "/nodes?view=summary"
HINT = "see that `ray.address` leads to the dashboard of the head, e.g. http://10.0.0.1:8265"


class RayClient:
    """The way to one Ray. `token` is asked for at each call; "" where Ray wants none."""

    def __init__(
        self,
        address: str,
        token_file: str = "",
        environment: Mapping[str, str] | None = None,
        seconds_max: float = SECONDS_MAX,
    ) -> None:
        """`environment`: the agent's own, in which Ray's token may be named as Ray does."""
        self.address = address.rstrip("/")
        parts = urlsplit(self.address)
        self._secure = parts.scheme == "https"
        self._host, self._port, self._base = parts.hostname or "", parts.port, parts.path
        self._token_file = token_file
        self._environment = environment or {}
        self._seconds_max = seconds_max

    async def view(self) -> RayView:
        """Raises ProbeFailed."""
        try:
            version = read.parse_version(await self.call("GET", "/api/version"))
            if version.number < VERSION_MIN:
                wanted = ".".join(map(str, VERSION_MIN))
                message = f"Ray {version.text} cannot be used: its nodes cannot be named"
                raise ProbeFailed("ToolFailed", message, f"use Ray {wanted} or later")
            nodes = read.parse_nodes(await self.call("GET", NODES_PATH))
            usage = read.parse_status(await self.call("GET", STATUS_PATH), nodes)
            if usage is None:
                usage = read.parse_summary(await self.call("GET", SUMMARY_PATH), nodes)
            jobs = read.parse_jobs(await self.call("GET", "/api/jobs/"))
        except RayUnreadable as error:
            hint = "see what `ray status` and the dashboard say; tell us with `ray --version`"
            message = f"{self.address} answered what is not understood: {error}"
            raise ProbeFailed("ToolFailed", message[:1000], hint) from error
        return RayView(version, nodes, usage, jobs)

    async def submit(self, request: Mapping[str, Any]) -> None:
        """Put a submission, once: one of that name is not put again. Raises ProbeFailed."""
        try:
            await self.call("POST", "/api/jobs/", request)
        except ProbeFailed as failed:
            if "already exists" not in failed.message:
                raise

    async def stop(self, name: str) -> None:
        """Raises ProbeFailed, also when there is no such submission."""
        await self.call("POST", f"/api/jobs/{quote(name)}/stop")

    async def delete(self, name: str) -> None:
        """Of a submission that is over. Raises ProbeFailed."""
        await self.call("DELETE", f"/api/jobs/{quote(name)}")

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that Ray answers. Raises ProbeFailed.

        `code`: "ToolMissing" when it cannot be reached, "ToolTimedOut", "ToolFailed" when it says
        no (the message is its last line) or what it says is no JSON.
        """
        way = self._connection()
        asking = asyncio.to_thread(self._exchange, way, method, path, body)
        try:
            async with asyncio.timeout(self._seconds_max):
                status, said = await asking
        except TimeoutError:
            message = f"Ray at {self.address} gave no answer within {self._seconds_max:g} s"
            raise ProbeFailed(
                "ToolTimedOut", message, "see whether the head is overloaded"
            ) from None
        except ConnectionRefusedError as error:
            raise ProbeFailed("ToolMissing", f"no Ray listens at {self.address}", HINT) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = str(error) or type(error).__name__
            message = f"Ray at {self.address} cannot be asked: {why}"
            code = "ToolMissing" if isinstance(error, socket.gaierror) else "ToolTimedOut"
            raise ProbeFailed(code, message[:1000], HINT) from error
        finally:
            _cut(way)
        return self._understood(status, said)

    def _understood(self, status: int, said: bytes) -> Any:
        text = said.decode("utf-8", "replace")
        if status in (401, 403):
            hint = "name the file with Ray's token in ray.token_file, readable by this user"
            raise ProbeFailed("ToolFailed", f"Ray refuses our token ({status})", hint)
        if not 200 <= status < 300:
            lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 1]
            why = lines[-1][:800] if lines else "no reason"
            raise ProbeFailed("ToolFailed", f"Ray answered {status}: {why}", HINT)
        try:
            return json.loads(text)
        except ValueError:
            message = f"{self.address} answered no JSON, but {text[:100]!r}"
            raise ProbeFailed("ToolFailed", message, HINT) from None

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._seconds_max)

    def _exchange(
        self,
        way: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        sent = json.dumps(body).encode() if body is not None else None
        way.request(method, self._base + path, sent, headers)
        answer, said = way.getresponse(), bytearray()
        while part := answer.read1(CHUNK_BYTES):
            said += part
            if len(said) > BYTES_MAX:
                raise ValueError(f"its answer has more than {BYTES_MAX} bytes")
        return answer.status, bytes(said)

    def _token(self) -> str:
        """As Ray's own tools find it, unless the operator named a file."""
        if not self._token_file and (token := self._environment.get("RAY_AUTH_TOKEN")):
            return token
        named = self._token_file or self._environment.get("RAY_AUTH_TOKEN_PATH", "")
        home = Path(self._environment.get("HOME", "/nonexistent"))
        with contextlib.suppress(FileNotFoundError):
            path = Path(named) if named else home / ".ray" / "auth_token"
            return path.read_text("ascii", "replace").strip()
        return ""


def _cut(way: http.client.HTTPConnection) -> None:
    """Whoever still waits for an answer in its thread need not."""
    with contextlib.suppress(OSError, AttributeError):
        way.sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        way.close()
