"""`suan get`: one job, or the jobs of an array, with every attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from suan.cli.options import connected, formatted

if TYPE_CHECKING:
    from suan.cli.output import Output
    from suan.models import Attempt, Job
    from suan.sync import Client


@click.command()
@click.argument("job")
@formatted
@connected
def get(client: Client, output: Output, job: str) -> int | None:
    """Show one job with its attempts.

    JOB is an id, the end of one, or the id of an array.
    """
    from suan.cli.jobs import jobs_named

    found = jobs_named(client, job)
    if output.for_people and len(found) == 1:
        _print_job(found[0])
    elif output.for_people or len(found) > 1:
        from suan.cli.jobs import columns

        output.show(found, columns({}), lambda item: item.id)
    elif output.form.value == "name":
        click.echo(found[0].id)
    else:
        output.dump(found[0])
    return None


def _print_job(job: Job) -> None:
    from suan.cli.jobs import own_reason
    from suan.cli.output import print_table
    from suan.cli.staged import committed, publishing, staged

    facts: list[tuple[str, Any]] = [
        ("job", job.id),
        ("name", job.name),
        ("state", job.state),
        ("reason", job.failure.message if job.failure else own_reason(job).replace("–", "")),
        ("who", f"{job.tenant}/{job.user}"),
        ("inputs", staged(job)),
        ("publishing", publishing(job)),
        *[("output", f"{each.path}: {committed(each)}") for each in job.outputs],
        ("checkpoint", committed(job.checkpoint) if job.checkpoint else ""),
        ("project", job.project),
        ("array", f"{job.array_id} [{job.array_index}]" if job.array_id else ""),
        ("priority", job.priority or ""),
        ("submitted", _moment(job.submitted_at)),
        ("finished", _moment(job.finished_at)),
        ("exit code", job.exit_code if job.state.terminal else ""),
    ]
    for title, value in facts:
        if value != "":
            click.echo(f"{title:<10} {value}")
    if job.attempts:
        click.echo()
        titles = ("TRY", "STATE", "POOL", "CARDS", "PLACED", "RAN", "OUTCOME", "REASON")
        print_table(titles, [_attempt_row(attempt) for attempt in job.attempts])


def _attempt_row(attempt: Attempt) -> list[str]:
    from suan.cli.times import length

    ran = attempt.ended_at - attempt.started_at if attempt.started_at and attempt.ended_at else 0.0
    failure = attempt.failure
    return [
        str(attempt.epoch),
        attempt.state,
        attempt.pool,
        f"{attempt.cards} {attempt.accelerator}",
        _moment(attempt.placed_at),
        length(ran) if ran else "–",
        attempt.outcome or "–",
        f"{failure.code}: {failure.message}" if failure else "–",
    ]


def _moment(at: float) -> str:
    from suan.cli.times import moment

    return moment(at) or ""
