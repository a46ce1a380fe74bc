"""`suan exec`: a command beside a running job."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected

if TYPE_CHECKING:
    from suan.sync import Client

INPUT_BYTES = 64 << 10  # read at a time


@click.command("exec")
@click.argument("job")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")
@click.option("--rank", type=click.IntRange(0), default=0, help="Beside this rank; default 0.")
@click.option("--timeout", metavar="LENGTH", help="End it after this, e.g. 10m; default 1h.")
@click.option("-i", "--stdin", "with_input", is_flag=True, help="Hand our input to it.")
@connected
def exec_(
    client: Client,
    job: str,
    command: tuple[str, ...],
    rank: int,
    timeout: str | None,
    with_input: bool,
) -> int:
    """Run a command beside a running job.

    Write the command after --, as in: suan exec JOB -- nvidia-smi

    It runs at the job's site with the environment and in the directory of its rank, where that
    site allows it. The exit code is the command's own. Ctrl-C ends the command, never the job.
    """
    from suan.cli.attach import STAY_SECONDS
    from suan.cli.times import parse_length

    seconds = parse_length(timeout) if timeout else 0.0
    job_id = client.get(job).id
    client.deadline_seconds = STAY_SECONDS
    code = 0
    read_input = _read_input if with_input else None
    with closing(
        client.execute(job_id, command, rank=rank, timeout_seconds=seconds, read_input=read_input)
    ) as outputs:
        for output in outputs:
            for data, stream in ((output.stdout, sys.stdout), (output.stderr, sys.stderr)):
                if data:
                    stream.buffer.write(data)
                    stream.buffer.flush()
            code = output.exit_code or 0
    return code


def _read_input() -> bytes:
    return os.read(0, INPUT_BYTES)
