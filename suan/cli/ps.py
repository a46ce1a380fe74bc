"""`suan ps`: jobs in a table, each that waits with its reason."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected, formatted

if TYPE_CHECKING:
    from suan.cli.output import Output
    from suan.models import Job, JobState
    from suan.sync import Client

RECENT_SECONDS = 24 * 3600.0  # how long an ended job stays in the list
EXPLAINED_MAX = 10  # kinds of waiting jobs whose reason is asked for
STATES = ("queued", "placed", "running", "cancelling", "succeeded", "failed", "cancelled")


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also jobs that ended long ago.")
@click.option("-A", "--all-tenants", is_flag=True, help="Of all organisations (administrators).")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these.")
@click.option("--site", default="", metavar="NAME", help="Only jobs at this site.")
@click.option("--name", default="", metavar="PREFIX", help="Only names that begin so.")
@click.option("--array", default="", metavar="ID", help="Only the jobs of this array.")
@click.option("--since", default="", metavar="LENGTH", help="Only submitted since, e.g. 2h.")
@click.option("-n", "--limit", type=click.IntRange(1), default=100, help="At most; default 100.")
@click.option("-w", "--watch", is_flag=True, help="Stay, and print each job again as it changes.")
@formatted
@connected
def ps(
    client: Client,
    output: Output,
    everything: bool,
    all_tenants: bool,
    states: tuple[str, ...],
    site: str,
    name: str,
    array: str,
    since: str,
    limit: int,
    watch: bool,
) -> None:
    """List jobs: live ones and those ended lately."""
    import time

    from suan.cli.times import parse_length
    from suan.models import JobState

    after = time.time() - parse_length(since) if since else 0.0
    ended_after = 0.0 if everything or array or states else time.time() - RECENT_SECONDS

    def fits(job: Job) -> bool:
        """What the broker's filters do not know."""
        return job.submitted_at >= after and (
            not job.state.terminal or job.finished_at >= ended_after
        )

    listed = client.list(
        states=[JobState(state.upper()) for state in states],
        site=site,
        array_id=array,
        name_prefix=name,
        all_tenants=all_tenants,
    )
    jobs = list(islice(filter(fits, listed), limit + 1))
    _show(client, output, jobs[:limit])
    if len(jobs) > limit:
        click.echo(f"there are more than {limit}: suan ps -n {limit * 10}", err=True)
    if watch:
        _watch(client, output, {job.id for job in jobs}, bool(states or site or name or array))


def _show(client: Client, output: Output, jobs: list[Job]) -> None:
    from suan.cli.jobs import columns

    reasons = _reasons(client, jobs) if output.for_people else {}
    output.show(jobs, columns(reasons), lambda job: job.id)


def _watch(client: Client, output: Output, listed: set[str], only_listed: bool) -> None:
    """Prints rows as jobs change: of those listed, or of all when no filter was given."""
    from suan.cli.jobs import columns

    seen: dict[str, JobState] = {}
    for job in client.watch():
        news = seen.get(job.id) is not None or job.id not in listed
        changed = seen.get(job.id) is not job.state
        seen[job.id] = job.state
        if not changed or not news or (only_listed and job.id not in listed):
            continue
        if output.for_people:
            from dataclasses import replace

            row = replace(output, headers=False)
            row.show([job], columns({}), lambda each: each.id)
        else:
            output.stream(job)


def _reasons(client: Client, jobs: list[Job]) -> dict[str, str]:
    """Why the queued ones wait, by job id; alike jobs are asked for once."""
    from suan.cli.explanation import blocking_codes
    from suan.errors import SuanError
    from suan.models import JobState

    by_kind: dict[tuple[str, str, str, int], list[Job]] = {}
    for job in jobs:
        if job.state is JobState.QUEUED:
            kind = (job.spec_sha256, job.tenant, job.project, job.priority)
            by_kind.setdefault(kind, []).append(job)
    reasons: dict[str, str] = {}
    for alike in list(by_kind.values())[:EXPLAINED_MAX]:
        try:
            explanation = client.explain(alike[0].id).explanation
        except SuanError:
            continue  # it has just ended: the list is what was asked for
        reason = ", ".join(blocking_codes(explanation)[:2])
        reasons.update({job.id: reason for job in alike if reason})
    return reasons
