"""`suan submit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from suan.cli.options import connect, formatted, given

if TYPE_CHECKING:
    from suan.cli.output import Output
    from suan.models import JobSpec
    from suan.sync import Client
    from suan.views import Submission


@click.command()
@click.argument("file")
@given
@click.option("--project", metavar="NAME", help="The project to charge; default: the context's.")
@click.option("--wait", is_flag=True, help="Return when the job has ended, with its exit code.")
@click.option(
    "--dry-run", type=click.Choice(["client", "server"]),
    help="client: only check the file. server: as `suan plan`. Neither submits.",
)  # fmt: skip
@click.option("--context", "context_name", metavar="NAME", help="Use this context.")
@click.option("--address", metavar="HOST:PORT", help="Use this broker.")
@formatted
def submit(
    output: Output,
    file: str,
    environment: Mapping[str, str],
    project: str | None,
    wait: bool,
    dry_run: str | None,
    context_name: str | None,
    address: str | None,
) -> int:
    """Submit a job file or an sbatch script.

    FILE is a path, or - for standard input. Prints the job's id; for an array, the array's.
    """
    from suan.cli.jobs import directory_of, read_spec

    spec = read_spec(file, environment)
    if dry_run == "client":
        return _show_checked(output, spec)
    with connect(context_name, address) as client:
        if dry_run == "server":
            from suan.cli.explanation import show_plan

            return show_plan(output, spec, client.plan(spec))
        submitted = client.submit(spec, project=project, directory=directory_of(file))
        show_submitted(output, submitted)
        return _wait(client, submitted) if wait else 0


def _show_checked(output: Output, spec: JobSpec) -> int:
    from suan.cli.output import note

    if not output.for_people:
        output.dump(spec)
    note(f"✔ the file is sound: {spec.name or 'a job'}, {len(spec.variants)} way(s) to run it")
    return 0


def show_submitted(output: Output, submitted: tuple[Submission, ...]) -> None:
    """The id on standard output, what to do next on standard error."""
    from suan.cli.output import note
    from suan.ids import short_id

    first = submitted[0]
    whole = first.array_id or first.id
    if not output.for_people and output.form.value != "name":
        output.dump(submitted)
    else:
        click.echo(whole)
    if first.array_id:
        note(f"✔ array {short_id(whole)} accepted: {len(submitted)} jobs")
        note(f"  Next:  suan ps --array {whole}  ·  suan cancel {short_id(whole)}")
        return
    short = short_id(whole)
    note(f"✔ job {short} accepted")
    note(f"  Next:  suan logs -f {short}  ·  suan explain {short}  ·  suan cancel {short}")


def _wait(client: Client, submitted: tuple[Submission, ...]) -> int:
    """The exit code of the first job that did not succeed, 0 when all did."""
    from suan.cli.attach import attach, told_how_to_return
    from suan.cli.jobs import exit_code, outcome_line
    from suan.cli.output import note
    from suan.ids import short_id

    if len(submitted) == 1:
        return attach(client, submitted[0].id, with_logs=False)
    with told_how_to_return(submitted[0].id):
        ended = client.wait([item.id for item in submitted])
    for job in ended:
        note(f"{short_id(job.id)} {outcome_line(job)}")
    return next((code for job in ended if (code := exit_code(job))), 0)
