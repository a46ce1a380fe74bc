"""Runs commands beside runs for the broker's users, where the site's operator allows it.

Each answer is one look at a command; the same question again goes on with it and never begins it
twice. A command lives only as long as it is asked for. Knows the backend and the commands'
directories; nothing of streams.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time

from agent.backends import Backend, BackendRefused
from agent.backends.command import CommandDirectory, CommandOrder
from agent.reach.command_messages import CommandAnswer, CommandRequest
from agent.supervisor.values import Failure

COMMANDS_MAX = 16  # at a time, at this site
COMMANDS_REMEMBERED_MAX = 4096
ARGV_BYTES_MAX = 64 << 10
INPUT_BYTES_MAX = 64 << 20  # of one command
PART_BYTES_MAX = 128 << 10  # of each stream in one answer
TIMEOUT_SECONDS, TIMEOUT_SECONDS_MAX = 3600.0, 86_400.0
ATTEND_SECONDS = 60.0  # without a question, then the command ends
BEGIN_SECONDS_MAX = 30.0  # for the fence to take it
WAIT_SECONDS_MAX = 30.0
POLL_SECONDS = 0.1
DENIED = "this site does not allow commands beside jobs"
_ID = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger(__name__)


class Commands:
    """The commands beside this site's runs."""

    def __init__(self, backend: Backend, allowed: bool) -> None:
        self._backend = backend
        self._allowed = allowed
        self._known: dict[str, CommandDirectory] = {}  # by the run's name and the command's id
        self._asked_at: dict[str, float] = {}  # of those that have not ended
        self._begun_at: dict[str, float] = {}

    async def answer(self, request: CommandRequest) -> CommandAnswer:
        """What it wrote and how it ended, or a failure: ExecDenied, NotRunning and the like."""
        if not self._allowed:
            return _no(request, "policy", "ExecDenied", DENIED)
        if not _ID.fullmatch(request.command_id):
            return _no(request, "user", "BadCommand", "a command's id is 32 hexadecimal digits")
        try:
            return await self._answer(request)
        except KeyError:
            return _no(request, "user", "NotRunning", "the job does not run here now")
        except BackendRefused as refusal:
            return _no(request, "site", refusal.code, refusal.message)
        except OSError as error:
            return _no(request, "site", "ExecFailed", f"it cannot be started: {error.strerror}")

    async def _answer(self, request: CommandRequest) -> CommandAnswer:
        command = self._known.get(_key(request)) or await self._find(request)
        if isinstance(command, CommandAnswer):
            return command
        self._asked_at[_key(request)] = time.monotonic()
        if request.is_unwanted:
            await asyncio.to_thread(self._end, command, request)
            return CommandAnswer(request.request_id, has_ended=True)
        if request.input or request.input_ends:
            return await asyncio.to_thread(_add_input, command, request)
        await asyncio.to_thread(command.attend, request.stdout_offset, request.stderr_offset)
        deadline = time.monotonic() + min(request.wait_seconds, WAIT_SECONDS_MAX)
        while True:
            answer = await asyncio.to_thread(self._look, command, request)
            if answer is not None:
                return answer
            if time.monotonic() >= deadline:
                return CommandAnswer(request.request_id)
            await asyncio.sleep(POLL_SECONDS)

    # --- beginning ----------------------------------------------------------------------

    async def _find(self, request: CommandRequest) -> CommandDirectory | CommandAnswer:
        """The command, begun if it is new. Raises KeyError, BackendRefused, OSError."""
        place = await self._backend.beside(request.name, request.rank)
        command = CommandDirectory(place, request.command_id)
        if not await asyncio.to_thread(command.exists):
            if refused := self._refusal(request):
                return refused
            await asyncio.to_thread(command.make, _order(request))
            words = "\0".join(request.argv).encode()
            log.info(
                "%s runs a command beside %s rank %d: %r sha256:%s",
                request.actor,
                request.name,
                request.rank,
                request.argv[0],
                hashlib.sha256(words).hexdigest(),
            )
        if len(self._known) >= COMMANDS_REMEMBERED_MAX:
            self._forget(next(iter(self._known)))
        self._known[_key(request)] = command
        self._begun_at[_key(request)] = time.monotonic()
        return command

    def _refusal(self, request: CommandRequest) -> CommandAnswer | None:
        """Why it is not begun, if so."""
        if not request.argv or request.is_unwanted:
            return _no(request, "user", "NoSuchCommand", "this command is not known here")
        if "" in request.argv[:1] or any("\0" in word for word in request.argv):
            return _no(request, "user", "BadCommand", "the command has no name, or a NUL in it")
        if sum(len(word.encode()) + 1 for word in request.argv) > ARGV_BYTES_MAX:
            message = f"the command has more than {ARGV_BYTES_MAX >> 10} KiB"
            return _no(request, "user", "BadCommand", message)
        late = time.monotonic() - ATTEND_SECONDS
        live = sum(asked_at >= late for asked_at in self._asked_at.values())
        if live >= COMMANDS_MAX:
            message = f"{live} commands run beside jobs here; more are not allowed at a time"
            return _no(request, "site", "TooManyCommands", message)
        return None

    # --- looking ------------------------------------------------------------------------

    def _look(self, command: CommandDirectory, request: CommandRequest) -> CommandAnswer | None:
        """What is new; None when nothing is."""
        run_has_ended = command.run_has_ended()  # looked at first: nothing is written after
        exit_code = command.exit_code()
        limit_bytes = min(request.limit_bytes, PART_BYTES_MAX)
        out = command.read("out", request.stdout_offset, limit_bytes)
        err = command.read("err", request.stderr_offset, limit_bytes)
        if out or err:
            return CommandAnswer(request.request_id, out, err)
        if exit_code is not None:
            self._asked_at.pop(_key(request), None)
            return CommandAnswer(request.request_id, has_ended=True, exit_code=exit_code)
        if run_has_ended:
            self._asked_at.pop(_key(request), None)
            return _no(request, "user", "RunEnded", "the job's run ended, and the command with it")
        waited = time.monotonic() - self._begun_at.get(_key(request), 0.0)
        if waited > BEGIN_SECONDS_MAX and not command.begun():
            self._asked_at.pop(_key(request), None)
            command.stop()
            message = "the run did not take the command: it waits, or an older agent started it"
            return _no(request, "site", "NotRunning", message)
        return None

    def _end(self, command: CommandDirectory, request: CommandRequest) -> None:
        if command.exit_code() is None:
            command.stop()
        else:
            command.drop_output()
        self._asked_at.pop(_key(request), None)

    def _forget(self, key: str) -> None:
        for table in (self._known, self._asked_at, self._begun_at):
            table.pop(key, None)


def _add_input(command: CommandDirectory, request: CommandRequest) -> CommandAnswer:
    if request.input_offset + len(request.input) > INPUT_BYTES_MAX:
        message = f"a command takes at most {INPUT_BYTES_MAX >> 20} MiB of input"
        return _no(request, "user", "InputTooLarge", message)
    if command.exit_code() is not None:
        return CommandAnswer(request.request_id, has_ended=True)
    taken = command.add_input(request.input_offset, request.input, request.input_ends)
    return CommandAnswer(request.request_id, input_taken=taken)


def _order(request: CommandRequest) -> CommandOrder:
    seconds = min(request.timeout_seconds or TIMEOUT_SECONDS, TIMEOUT_SECONDS_MAX)
    return CommandOrder(request.argv, seconds, ATTEND_SECONDS, request.takes_input)


def _key(request: CommandRequest) -> str:
    return f"{request.name} {request.command_id}"


def _no(request: CommandRequest, category: str, code: str, message: str) -> CommandAnswer:
    return CommandAnswer(request.request_id, failure=Failure(category, code, message))
