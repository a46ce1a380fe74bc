"""`suan cancel`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected

if TYPE_CHECKING:
    from suan.sync import Client


@click.command()
@click.argument("jobs", nargs=-1, required=True)
@click.option("--reason", default="", help="Why; it appears with the job.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before cancelling several jobs.")
@click.option("--wait", is_flag=True, help="Return only when it is true: all have ended.")
@connected
def cancel(client: Client, jobs: tuple[str, ...], reason: str, yes: bool, wait: bool) -> int:
    """Cancel jobs or whole arrays.

    A running job is asked to stop (SIGTERM) and killed after its grace time.
    """
    from suan.cli.jobs import jobs_named
    from suan.cli.output import note
    from suan.errors import ExitCode
    from suan.ids import short_id

    found = {job.id: job for wanted in jobs for job in jobs_named(client, wanted)}
    live = [job.id for job in found.values() if not job.state.terminal]
    for job in found.values():
        if job.state.terminal:
            note(f"job {short_id(job.id)} has already {job.state.lower()}")
    if len(live) > 1 and not yes and sys.stdin.isatty():
        click.confirm(f"Cancel {len(live)} jobs?", abort=True, err=True)
    refused = 0
    for answer in client.cancel(live, reason) if live else ():
        if answer.accepted:
            click.echo(answer.id)
        elif answer.failure and answer.failure.code == "AlreadyEnded":
            note(answer.failure.message)
        else:
            refused += 1
            note(f"{answer.id}: {answer.failure.message if answer.failure else 'refused'}")
    if wait:
        client.wait(live)
    elif any(found[job_id].attempts for job_id in live):
        note("asked to stop; `suan get` says when it has ended, --wait waits for it")
    return ExitCode.ERROR if refused else ExitCode.OK
