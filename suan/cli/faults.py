"""Where errors end: a message, a hint and an exit code, never a traceback.

What is not a SuanError is our own mistake: its traceback goes to a file that the user can
send. SUAN_DEBUG=1 prints it as well.
"""

from __future__ import annotations

import gc
import os
import platform
import sys
import tempfile
import traceback
from importlib.metadata import version

import click

from suan.errors import ExitCode, SuanError

EXTRAS = ("agent", "broker", "cryptography", "ray")  # what a bare install leaves out
PIPE_CLOSED = 141  # 128 + SIGPIPE, as a shell would say


def report(error: BaseException) -> int:
    """Tells standard error about `error`, lets go of it, and answers the exit code."""
    try:
        return _told(error)
    finally:
        _let_go(error)


def _told(error: BaseException) -> int:
    if os.environ.get("SUAN_DEBUG") == "1":
        traceback.print_exception(error)
    match error:
        case click.ClickException():
            error.show()
            return error.exit_code
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.DETACHED
        case SystemExit():
            return error.code if isinstance(error.code, int) else ExitCode.ERROR
        case SuanError():
            _tell(error)
            return error.exit_code
        case ModuleNotFoundError() if error.name in EXTRAS:
            missing = f"{error.name} is not installed: this command needs more than the client"
            _tell(SuanError(missing, "pip install 'suan[broker]'", "PackageMissing"))
            return ExitCode.ERROR
        case BrokenPipeError():
            # The interpreter flushes at exit, into a pipe that nobody reads.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED
    _tell_of_mistake(error)
    return ExitCode.ERROR


def _let_go(error: BaseException) -> None:
    """The frames of a failed call hold its connection, whose thread delays the exit by seconds."""
    held: BaseException | None = error
    while held is not None:
        held.__traceback__ = None
        held = held.__context__
    if "grpc" in sys.modules:
        gc.collect()


def _tell(error: SuanError) -> None:
    click.echo(f"suan: {error.message}  [{error.code}]", err=True)
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)


def _tell_of_mistake(error: BaseException) -> None:
    """The report leaves out the arguments: they may hold secrets."""
    descriptor, path = tempfile.mkstemp(prefix="suan-report-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"suan {version('suan')}, Python {platform.python_version()}\n")
        file.write("".join(traceback.format_exception(error)))
    click.echo(f"suan: internal error: {type(error).__name__}  [InternalError]", err=True)
    click.echo(f"  hint: please send us {path}", err=True)
