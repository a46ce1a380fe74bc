"""`suan admin tenant`: who gets how much of the federation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected, formatted

if TYPE_CHECKING:
    from scheduler.model import Quota
    from suan.cli.output import Output
    from suan.sync import Client
    from suan.views import Project, Tenant

_QUOTA = re.compile(r"(npu|dcu|gpu|all)=([0-9.]{1,12})(?:\+([0-9.]{1,12}))?(?::(cards|compute))?")
_QUOTA_HINT = "write npu=64, npu=64+32 to borrow at most 32 more, or all=100+0:compute"


@click.group()
def tenant() -> None:
    """List tenants, set their weights and quotas."""


@tenant.command("list")
@formatted
@connected
def list_tenants(client: Client, output: Output) -> None:
    """List the tenants that have a row of their own."""
    from suan.cli.output import Column

    columns: list[Column[Tenant]] = [
        Column("TENANT", lambda each: each.name),
        Column("WEIGHT", lambda each: f"{each.weight or 1.0:g}", right=True),
        Column("QUEUED MAX", lambda each: str(each.queued_jobs_max or "–"), right=True),
        Column("QUOTAS", lambda each: ", ".join(map(_told, each.quotas)) or "–"),
        Column("PROJECTS", lambda each: "; ".join(map(_project_told, each.projects)) or "–"),
        Column("STATE", lambda each: "suspended" if each.suspended else "open"),
    ]
    output.show(client.tenants(), columns, lambda each: each.name)


@tenant.command("set")
@click.argument("name")
@click.option("--weight", type=click.FloatRange(0, min_open=True), help="Fair share; 1 at first.")
@click.option("--queued-max", type=click.IntRange(0), help="Jobs that may wait; 0: the default.")
@click.option("--suspend/--resume", "suspended", default=None, help="Take no jobs, or again.")
@click.option("--quota", "quotas", multiple=True, metavar="KIND=N[+N][:UNIT]",
              help="Guaranteed cards of npu, dcu, gpu or all, and how many it may borrow "
              "beyond (default: no limit), in cards or in reference cards (compute).")  # fmt: skip
@click.option("--no-quotas", is_flag=True, help="Drop its quotas.")
@click.option("--project", "projects", multiple=True, metavar="NAME=WEIGHT",
              help="Weight of a project among those of the tenant.")  # fmt: skip
@click.option("--project-quota", "project_quotas", multiple=True, metavar="NAME:KIND=N[+N][:UNIT]",
              help="Quota of a project within the tenant.")  # fmt: skip
@click.option("--drop-project", "dropped", multiple=True, metavar="NAME",
              help="Drop weight and quotas of a project.")  # fmt: skip
@connected
def set_tenant(
    client: Client,
    name: str,
    weight: float | None,
    queued_max: int | None,
    suspended: bool | None,
    quotas: tuple[str, ...],
    no_quotas: bool,
    projects: tuple[str, ...],
    project_quotas: tuple[str, ...],
    dropped: tuple[str, ...],
) -> None:
    """Change what is said of a tenant, or register it; the rest stays (administrators)."""
    from suan.views import Tenant

    known = next((each for each in client.tenants() if each.name == name), Tenant(name))
    changed = replace(
        known,
        weight=known.weight if weight is None else weight,
        queued_jobs_max=known.queued_jobs_max if queued_max is None else queued_max,
        suspended=known.suspended if suspended is None else suspended,
        quotas=_merged(() if no_quotas else known.quotas, map(read_quota, quotas)),
        projects=_with_projects(known, projects, project_quotas, dropped),
    )
    client.put_tenant(changed)
    click.echo(f"✔ tenant {name} is set", err=True)


def _with_projects(
    known: Tenant, weights: tuple[str, ...], quotas: tuple[str, ...], dropped: tuple[str, ...]
) -> tuple[Project, ...]:
    from suan.views import Project

    found = {each.name: each for each in known.projects if each.name not in dropped}
    for text in weights:
        name, _, weight = text.rpartition("=")
        try:
            number = float(weight)
        except ValueError:
            number = 0.0
        if not name or not 0 < number < float("inf"):
            raise click.BadParameter(f"{text!r} is not NAME=WEIGHT", param_hint="--project")
        found[name] = replace(found.get(name, Project(name)), weight=number)
    for text in quotas:
        name, _, quota = text.partition(":")
        row = found.get(name, Project(name))
        found[name] = replace(row, quotas=_merged(row.quotas, [read_quota(quota)]))
    return tuple(found.values())


def _merged(known: Iterable[Quota], changed: Iterable[Quota]) -> tuple[Quota, ...]:
    """One quota for each kind and unit, the later one."""
    found: dict[tuple[str, str], Quota] = {}
    for quota in (*known, *changed):
        found[quota.kind, quota.unit] = quota
    return tuple(found.values())


def read_quota(text: str) -> Quota:
    """ "npu=64+32:cards". Raises BadParameter."""
    from scheduler.model import Quota

    found = _QUOTA.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no quota; {_QUOTA_HINT}", param_hint="--quota")
    kind, guaranteed, borrowed, unit = found.groups()
    try:
        figures = float(guaranteed), None if borrowed is None else float(borrowed)
    except ValueError:
        raise click.BadParameter(f"{text!r} has no number", param_hint="--quota") from None
    return Quota("" if kind == "all" else kind, *figures, unit or "cards")


def _told(quota: Quota) -> str:
    limit = "" if quota.borrow_max is None else f"+{quota.borrow_max:g}"
    unit = "" if quota.unit == "cards" else f":{quota.unit}"
    return f"{quota.kind or 'all'}={quota.guaranteed:g}{limit}{unit}"


def _project_told(project: Project) -> str:
    return " ".join((f"{project.name}={project.weight or 1.0:g}", *map(_told, project.quotas)))
