"""Options that many commands share, as decorators.

They import nothing heavy before a command runs: asking for help must stay quick.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from suan.cli.output import Format, Output, note

if TYPE_CHECKING:
    from suan.errors import SuanError
    from suan.sync import Client

Command = Callable[..., Any]
DEADLINE_SECONDS = 10.0  # for a broker to answer or to come back: a person waits


def connected(command: Command) -> Command:
    """Adds --context and --address, and passes `client`, open while the command runs."""

    @click.option("--context", "context_name", metavar="NAME", help="Use this context.")
    @click.option("--address", metavar="HOST:PORT", help="Use this broker.")
    @functools.wraps(command)
    def wrapped(context_name: str | None, address: str | None, **options: Any) -> Any:
        with connect(context_name, address) as client:
            return command(client=client, **options)

    return wrapped


def connect(context_name: str | None, address: str | None) -> Client:
    """A client for the options of the command, or else those before it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it logs, we say ourselves
    from suan.sync import Client

    def tell(error: SuanError) -> None:
        note(f"suan: {error.message}; trying for {client.deadline_seconds:.0f} s")

    above = click.get_current_context().find_root().params
    client = Client.connect(
        context_name or above.get("context"),
        address or above.get("address"),
        deadline_seconds=DEADLINE_SECONDS,
        on_wait=tell,
    )
    return client


def formatted(command: Command) -> Command:
    """Adds -o and --no-headers, and passes `output`."""

    @click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([form.value for form in Format]),
        default=Format.TABLE.value,
        help="How to print: default table.",
    )
    @click.option("--no-headers", is_flag=True, help="Leave out the titles of columns.")
    @functools.wraps(command)
    def wrapped(form: str, no_headers: bool, **options: Any) -> Any:
        return command(output=Output(Format(form), not no_headers), **options)

    return wrapped


def given(command: Command) -> Command:
    """Adds --env, and passes `environment`: the process's own, and what the options say."""

    @click.option("-e", "--env", "pairs", multiple=True, metavar="NAME=VALUE",
                  help="A variable that the job file leaves open; may be repeated.")  # fmt: skip
    @functools.wraps(command)
    def wrapped(pairs: tuple[str, ...], **options: Any) -> Any:
        return command(environment=_pairs(pairs), **options)

    return wrapped


def _pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--env")
        values[name] = value
    return values
