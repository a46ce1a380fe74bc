"""The operator's hand on the agent: a socket while it runs, a small file for when it does not.

Works with the broker gone. The socket lies in the state directory, for its owner only, and
speaks one line of JSON each way. The mode stands in a file, which is the only truth about it.
Knows nothing of what the commands mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.supervisor.values import Mode
from suan.errors import InternalError, InvalidRequest, SuanError, Unavailable, from_status
from suan.identity.files import write_file

SOCKET_FILE = "agent.sock"
MODE_FILE = "mode.json"
LINE_BYTES_MAX = 8 * 1024 * 1024
ANSWER_SECONDS = 10.0

Answer = dict[str, Any]
Handler = Callable[[Answer], Awaitable[Answer]]


# --- the mode -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """What the operator said last; with `stop_jobs` also what runs is to end."""

    mode: Mode = Mode.OPEN
    stop_jobs: bool = False
    tenants: tuple[str, ...] = ()  # whose jobs a canary takes

    def admitted(self, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Whose jobs may come, of those that the site's rules allow; empty: all."""
        return self.tenants if self.mode is Mode.CANARY else allowed


def read_mode(state_dir: Path) -> StandingOrder:
    """The mode that stands. An unreadable file counts as paused: its writer wanted something."""
    try:
        said = json.loads((state_dir / MODE_FILE).read_bytes())
        mode, stop_jobs = Mode(said["mode"]), bool(said.get("stop_jobs", False))
        return StandingOrder(mode, stop_jobs, tuple(map(str, said.get("tenants", ()))))
    except FileNotFoundError:
        return StandingOrder()
    except (OSError, ValueError, KeyError, TypeError):
        return StandingOrder(Mode.PAUSED)


def write_mode(state_dir: Path, order: StandingOrder) -> None:
    """Make the mode stand, also over restarts. Raises InvalidRequest (FileUnwritable)."""
    said = json.dumps(
        {"mode": order.mode.value, "stop_jobs": order.stop_jobs, "tenants": order.tenants}
    )
    write_file(state_dir / MODE_FILE, said.encode(), force=True)


# --- the socket -----------------------------------------------------------------


async def serve(state_dir: Path, handle: Handler) -> asyncio.Server:
    """Answer requests until the server is closed; an agent that died leaves no obstacle."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            request = json.loads(await reader.readuntil(b"\n"))
            writer.write(json.dumps(await _handled(handle, request)).encode() + b"\n")
            await writer.drain()
        writer.close()

    (state_dir / SOCKET_FILE).unlink(missing_ok=True)
    with _short_path(state_dir) as path:
        before = os.umask(0o177)  # the socket is never open to others
        try:
            return await asyncio.start_unix_server(answer, path, limit=LINE_BYTES_MAX)
        finally:
            os.umask(before)


async def _handled(handle: Handler, request: Answer) -> Answer:
    try:
        return await handle(request)
    except SuanError as error:
        said = {"code": error.code, "message": error.message, "hint": error.hint}
        return {"error": said | {"status": error.grpc_status}}


async def ask(state_dir: Path, request: Answer) -> Answer:
    """The running agent's answer.

    Raises Unavailable (AgentNotRunning), InvalidRequest (NotPermitted), InternalError, and
    whatever the agent answers with.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            with _short_path(state_dir) as path:
                reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
            writer.write(json.dumps(request).encode() + b"\n")
            answer: Answer = json.loads(await reader.readuntil(b"\n"))
            writer.close()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(
            f"no agent runs with the state directory {state_dir}",
            "start it with `suan-agent run`",
            "AgentNotRunning",
        ) from error
    except PermissionError as error:
        raise InvalidRequest(
            f"the agent in {state_dir} belongs to another user",
            "run this as the user of the agent, or with sudo",
            "NotPermitted",
        ) from error
    except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise InternalError(
            f"the agent in {state_dir} gave no answer: {error}",
            "look at its log; it may be stopping",
            "AgentSilent",
        ) from error
    if "error" in answer:
        said = answer["error"]
        raise from_status(said["status"], said["message"], said["hint"], said["code"])
    return answer


@contextlib.contextmanager
def _short_path(state_dir: Path) -> Iterator[str]:
    """The socket's path through a descriptor: a socket's own path may have 107 bytes only."""
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_FILE}"
    finally:
        os.close(descriptor)
