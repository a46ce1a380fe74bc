"""`suan explain`: why a job is where it is, or what a code means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from suan.cli.options import connect, formatted

if TYPE_CHECKING:
    from suan.cli.output import Output
    from suan.sync import Client
    from suan.views import Explained


@click.command()
@click.argument("job", required=False)
@click.option("--code", metavar="CODE", help="Say what a code means; needs no job.")
@click.option("--context", "context_name", metavar="NAME", help="Use this context.")
@click.option("--address", metavar="HOST:PORT", help="Use this broker.")
@formatted
def explain(
    output: Output,
    job: str | None,
    code: str | None,
    context_name: str | None,
    address: str | None,
) -> int:
    """Say why a job is where it is.

    Exit code for a queued job: 20 it cannot be placed now, 21 it never can. For the keys of
    the job file see `suan schema`.
    """
    if code and not job:
        return _explain_code(output, code)
    if not job:
        raise click.UsageError("name a JOB, or a --code")
    with connect(context_name, address) as client:
        return _explain_job(client, output, job)


def _explain_job(client: Client, output: Output, wanted: str) -> int:
    from suan.cli.explanation import EXIT_CODES
    from suan.models import JobState

    explained = client.explain(wanted)
    if output.for_people:
        _print(client, explained)
    else:
        output.dump(explained)
    queued = explained.job.state is JobState.QUEUED
    return EXIT_CODES[explained.explanation.verdict] if queued else 0


def _print(client: Client, explained: Explained) -> None:
    from scheduler.model import Verdict
    from suan.cli.explanation import print_explanation, shapes
    from suan.cli.jobs import last_attempt, name_cell, outcome_line, site_cell
    from suan.cli.output import note
    from suan.errors import NotFound
    from suan.ids import short_id
    from suan.models import JobState

    job = explained.job
    try:
        variants = client.spec(job.id).variants
    except NotFound:  # not ours to see
        variants = ()
    words = ["job", short_id(job.id), name_cell(job), job.state, job.tenant, shapes(variants)]
    click.echo("  ".join(word for word in words if word))
    if job.state.terminal:
        click.echo(f"END    {outcome_line(job)}")
    elif job.state is not JobState.QUEUED and last_attempt(job):
        click.echo(f"WHERE  {site_cell(job)}, attempt {len(job.attempts)}")
    stopped = [attempt for attempt in job.attempts if attempt.outcome == "preempted"]
    if stopped and (failure := stopped[-1].failure):
        click.echo(
            f"BEFORE attempt {stopped[-1].epoch} at {stopped[-1].site} was {failure.message}"
        )
    if condition := explained.condition:
        click.echo(f"NOW    {condition.message} [{condition.code}]")
        click.echo(f"       {condition.hint}")
    queued = job.state is JobState.QUEUED
    if queued or explained.explanation.verdict is Verdict.PLACED:
        print_explanation(explained.explanation, variants, queued=queued)
    else:
        note("the round that placed it is no longer kept")


def _explain_code(output: Output, code: str) -> int:
    import difflib

    from suan.codes import MEANINGS
    from suan.errors import NotFound

    by_name = {name.lower(): name for name in MEANINGS}
    name = by_name.get(code.lower())
    if name is None:
        near = difflib.get_close_matches(code.lower(), by_name, n=1)
        hint = f"did you mean {by_name[near[0]]}?" if near else "codes look like NotFreeNow"
        raise NotFound(f"no code {code!r} is known", hint, "CodeUnknown")
    meaning = MEANINGS[name]
    if output.for_people:
        click.echo(f"{name}\n  {meaning.text}\n  {meaning.advice}")
    else:
        output.dump({"code": name, "text": meaning.text, "advice": meaning.advice})
    return 0
