"""`suan logs`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected

if TYPE_CHECKING:
    from suan.sync import Client


@click.command()
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Stay until the job ends; exit with its code.")
@click.option("--tail", type=click.IntRange(1), metavar="N", help="Only the last N lines so far.")
@click.option("--since", metavar="WHEN", help="From then on: 10m (ago), or an ISO time with zone.")
@click.option("--rank", type=click.IntRange(0), metavar="R", help="Only this rank.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Default: the last one.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Default: both.")
@click.option("--raw", is_flag=True, help="In a pipe too, all that a progress bar overwrote.")
@connected
def logs(
    client: Client,
    job: str,
    follow: bool,
    tail: int | None,
    since: str | None,
    rank: int | None,
    attempt: int | None,
    stream: str | None,
    raw: bool,
) -> int:
    """Print what a job wrote.

    What it wrote to standard error goes to standard error. Lines of a job with several ranks
    begin with [rank]. With --since and --tail, the last N lines of those since. In a pipe or a
    file a progress bar is its last state. Of a site that cannot be asked, what it had sent to
    the broker is printed. Ctrl-C ends the printing, never the job.
    """
    from suan.cli.attach import STAY_SECONDS, print_logs, told_how_to_return
    from suan.cli.jobs import exit_code, outcome_line
    from suan.cli.output import note
    from suan.cli.times import parse_since
    from suan.errors import ExitCode

    since_at = parse_since(since, time.time()) if since is not None else 0.0
    found = client.get(job)
    if follow:
        client.deadline_seconds = STAY_SECONDS
    with told_how_to_return(found.id):
        print_logs(
            client,
            found,
            follow=follow,
            tail_lines=tail or 0,
            since=since_at,
            rank=rank,
            epoch=attempt or 0,
            stream=stream or "",
            raw=raw,
        )
        if not follow or attempt:
            return ExitCode.OK
        (ended,) = client.wait([found.id])
    note(outcome_line(ended))
    return exit_code(ended)
