"""What is asked and answered about commands beside runs."""

from __future__ import annotations

from dataclasses import dataclass

from agent.supervisor.values import Failure


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """Begin a command, or go on with it; the same id is begun once."""

    request_id: str
    name: str  # of the run
    command_id: str
    rank: int
    argv: tuple[str, ...] = ()  # none: it was begun before
    timeout_seconds: float = 0.0  # 0.0: the default
    takes_input: bool = False
    stdout_offset: int = 0  # all before it was read
    stderr_offset: int = 0
    limit_bytes: int = 0  # of each stream
    wait_seconds: float = 0.0  # for output or the end
    is_unwanted: bool = False  # it shall end
    actor: str = ""  # who wants it
    input: bytes = b""
    input_offset: int = 0
    input_ends: bool = False


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What it wrote, and how it ended, or why there is none."""

    request_id: str
    stdout: bytes = b""
    stderr: bytes = b""
    has_ended: bool = False  # and all that it wrote has been told
    exit_code: int = 0
    input_taken: int = 0
    failure: Failure | None = None
