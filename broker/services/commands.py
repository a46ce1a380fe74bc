"""Commands beside jobs: noted in the audit log, then asked for at the site, look by look.

A command lives only as long as somebody asks for it, so it ends with its reader, whatever dies
between the two. A reader whose stream broke asks again with the same id and goes on with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

from broker.asks import CommandAsk, CommandPart
from broker.core.command_messages import BeginCommand
from broker.core.messages import Done
from broker.core.rows import Attempt, Failure, Job
from broker.leader import Port
from broker.services.answers import granted
from suan.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    SuanError,
    Unavailable,
    Unsupported,
)
from suan.identity.principal import Principal, Role
from suan.v1 import jobs_service_pb2

ARGV_BYTES_MAX = 64 << 10
INPUT_BYTES_MAX = 64 << 10  # of one request
PART_BYTES = 128 << 10  # of each stream
LOOK_SECONDS = 5.0  # that the site waits for output
AWAY_SECONDS_MAX = 60.0  # of a site, before its reader is told
AWAY_PAUSE_SECONDS = 0.5
GONE_SECONDS = 5.0  # after a reader left: then the command ends, unless he is back
TIMEOUT_SECONDS_MAX = 86_400.0
OFFSET_MAX = 1 << 62
PROGRAM_LENGTH_MAX = 100  # characters of it in the audit log
_ID = re.compile(r"[0-9a-f]{32}")
_ERRORS: dict[str, type[SuanError]] = {
    "ExecDenied": PermissionDenied,
    "ExecUnsupported": Unsupported,
    "BadCommand": InvalidRequest,
    "InputTooLarge": InvalidRequest,
    "NoSuchRank": NotFound,
    "NoSuchCommand": NotFound,
    "TooManyCommands": ResourceExhausted,
}
_HINTS = {
    "ExecDenied": "its operator may write `exec: allowed` into agent.yaml",
    "NotRunning": "a command runs only beside a job that runs: see `suan get`",
    "TooManyCommands": "try again when another one has ended",
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A command at the site of an attempt."""

    site: str
    ask: CommandAsk


class Commands:
    """What one gateway asks of all sites."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._readers: Counter[str] = Counter()  # by the command's id
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self, job: Job, request: Any, caller: Principal) -> AsyncGenerator[Any, None]:
        """Responses until the command has ended. Raises SuanError."""
        _check(request)
        wanted = await self._begin(job, request, caller)
        self._readers[request.command_id] += 1
        is_over = False
        try:
            yield jobs_service_pb2.ExecResponse(
                epoch=wanted.ask.epoch,
                stdout_offset=wanted.ask.stdout_offset,
                stderr_offset=wanted.ask.stderr_offset,
            )
            ask = wanted.ask
            while not is_over:
                part = await self._look(wanted.site, ask)
                is_over = part.has_ended
                if part.stdout or part.stderr or is_over:
                    yield _response(ask, part)
                ask = replace(
                    ask,
                    argv=(),  # it has begun, and is never begun again
                    stdout_offset=ask.stdout_offset + len(part.stdout),
                    stderr_offset=ask.stderr_offset + len(part.stderr),
                )
        finally:
            self._readers[request.command_id] -= 1
            task = asyncio.create_task(self._leave(wanted))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def send_input(self, job: Job, request: Any, caller: Principal) -> Any:
        """Hand a part of its input to a command. Raises SuanError."""
        _check_id(request.command_id)
        if len(request.data) > INPUT_BYTES_MAX or request.offset > OFFSET_MAX:
            raise InvalidRequest(f"at most {INPUT_BYTES_MAX >> 10} KiB of input at a time")
        attempt = _live(job, request.epoch)
        ask = CommandAsk(
            job.id,
            attempt.epoch,
            request.command_id,
            request.rank,
            actor=caller.uri,
            input=request.data,
            input_offset=request.offset,
            input_ends=request.end,
        )
        part = await self._ask(attempt.site, ask)
        return jobs_service_pb2.SendInputResponse(taken=part.input_taken, ended=part.has_ended)

    # --- inside -------------------------------------------------------------

    async def _begin(self, job: Job, request: Any, caller: Principal) -> _Wanted:
        """Note it, if it is new, and what to ask then."""
        attempt = _live(job, request.epoch)
        is_new = not request.epoch
        ask = CommandAsk(
            job.id,
            attempt.epoch,
            request.command_id,
            request.rank,
            argv=tuple(request.argv) if is_new else (),
            timeout_seconds=request.timeout_seconds,
            takes_input=request.takes_input,
            stdout_offset=request.stdout_offset,
            stderr_offset=request.stderr_offset,
            limit_bytes=PART_BYTES,
            wait_seconds=LOOK_SECONDS,
            actor=caller.uri,
        )
        if is_new:
            note = BeginCommand(job.id, attempt.epoch, ask.rank, _told(ask.argv), caller.uri)
            granted(await self._port.post(note), Done)
        return _Wanted(attempt.site, ask)

    async def _look(self, site: str, ask: CommandAsk) -> CommandPart:
        """A part; a site that is away for a moment is waited for, unless it is the first look."""
        loop = asyncio.get_running_loop()
        end = loop.time() + AWAY_SECONDS_MAX
        while True:
            try:
                return await self._ask(site, ask)
            except Unavailable:
                if ask.argv or loop.time() >= end:
                    raise
            await asyncio.sleep(AWAY_PAUSE_SECONDS)

    async def _ask(self, site: str, ask: CommandAsk) -> CommandPart:
        part = await self._port.ask(site, ask)
        if part.failure is not None:
            raise _error(site, part.failure)
        return part

    async def _leave(self, wanted: _Wanted) -> None:
        """Tell the site that nobody reads any more, unless somebody does again."""
        await asyncio.sleep(GONE_SECONDS)
        command_id = wanted.ask.command_id
        if self._readers[command_id] > 0:
            return
        del self._readers[command_id]
        ask = replace(wanted.ask, argv=(), is_unwanted=True, wait_seconds=0.0)
        await self._port.ask(wanted.site, ask)  # if it gets lost, the site ends it all the same


def require_command_right(caller: Principal, job: Job) -> None:
    """Raises PermissionDenied: a user's commands run beside his own jobs."""
    if caller.role is Role.USER and caller.name != job.user:
        raise PermissionDenied(
            f"job {job.id} is {job.user}'s: only he and administrators of {job.tenant} run "
            "commands beside it",
            "ask one of them",
            "NotYourJob",
        )


def _live(job: Job, epoch: int) -> Attempt:
    """The attempt that runs. Raises Conflict (NotRunning)."""
    attempt = job.live_attempt
    if attempt is None or not attempt.started_at or epoch not in (0, attempt.epoch):
        message = f"job {job.id} does not run now"
        raise Conflict(message, _HINTS["NotRunning"], "NotRunning")
    return attempt


def _check(request: Any) -> None:
    _check_id(request.command_id)
    if not request.argv or not request.argv[0]:
        raise InvalidRequest("there is no command", "write it after --", "BadCommand")
    if sum(len(word) + 1 for word in request.argv) > ARGV_BYTES_MAX:
        message = f"the command has more than {ARGV_BYTES_MAX >> 10} KiB"
        raise InvalidRequest(message, "put it into a file", "BadCommand")
    seconds = request.timeout_seconds
    if not math.isfinite(seconds) or not 0 <= seconds <= TIMEOUT_SECONDS_MAX:
        raise InvalidRequest("a command runs for at most a day", "", "BadCommand")
    if max(request.stdout_offset, request.stderr_offset) > OFFSET_MAX:
        raise InvalidRequest("no output is so long as the request says")


def _check_id(command_id: str) -> None:
    if not _ID.fullmatch(command_id):
        raise InvalidRequest("a command's id is 32 hexadecimal digits", "", "BadCommand")


def _told(argv: tuple[str, ...]) -> str:
    """Its program and a hash of all its words, which may hold secrets."""
    digest = hashlib.sha256("\0".join(argv).encode()).hexdigest()
    return f"{argv[0][:PROGRAM_LENGTH_MAX]!r}, {len(argv)} words sha256:{digest}"


def _response(ask: CommandAsk, part: CommandPart) -> Any:
    return jobs_service_pb2.ExecResponse(
        epoch=ask.epoch,
        stdout=part.stdout,
        stdout_offset=ask.stdout_offset,
        stderr=part.stderr,
        stderr_offset=ask.stderr_offset,
        ended=part.has_ended,
        exit_code=part.exit_code,
    )


def _error(site: str, failure: Failure) -> SuanError:
    message = f"{site}: {failure.message}"
    if failure.category in ("network", "broker"):
        return Unavailable(message, "the job goes on; try again shortly", failure.code)
    return _ERRORS.get(failure.code, Conflict)(message, _HINTS.get(failure.code, ""), failure.code)
