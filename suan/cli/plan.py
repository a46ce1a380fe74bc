"""`suan plan`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected, formatted, given

if TYPE_CHECKING:
    from suan.cli.output import Output
    from suan.sync import Client


@click.command()
@click.argument("file")
@given
@formatted
@connected
def plan(client: Client, output: Output, file: str, environment: Mapping[str, str]) -> int:
    """Say where a job would go; submit nothing.

    FILE is a path, or - for standard input. Exit code: 0 it would start now, 20 it would have
    to wait, 21 no site could ever run it.
    """
    from suan.cli.explanation import show_plan
    from suan.cli.jobs import read_spec

    spec = read_spec(file, environment)
    return show_plan(output, spec, client.plan(spec))
