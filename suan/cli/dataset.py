"""`suan dataset`: which data lies where."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected, formatted

if TYPE_CHECKING:
    from suan.cli.output import Output
    from suan.sync import Client


@click.group()
def dataset() -> None:
    """List, register or remove datasets."""


@dataset.command("list")
@formatted
@connected
def list_datasets(client: Client, output: Output) -> None:
    """List your organisation's datasets and the federation's, and the sites that hold them.

    Those of an organisation are called TENANT/NAME and are written by its jobs.
    """
    from suan.cli.output import Column
    from suan.views import Dataset

    columns: list[Column[Dataset]] = [
        Column("DATASET", lambda each: each.name),
        Column("SIZE", lambda each: f"{each.size_bytes / 1e9:,.1f} GB", right=True),
        Column("AT", lambda each: ", ".join(copy.site for copy in each.replicas)),
        Column("REGIONS", lambda each: ", ".join(each.regions_allowed) or "anywhere"),
    ]
    output.show(client.datasets(), columns, lambda each: each.name)


@dataset.command()
@click.argument("name")
@click.option("--size", required=True, metavar="SIZE", help="Such as 200GB or 1.5TiB.")
@click.option("--at", "places", required=True, multiple=True, metavar="SITE[:PATH]",
              help="A site that holds a whole copy; may be repeated.")  # fmt: skip
@click.option("--region", "regions", multiple=True, metavar="NAME",
              help="It may not leave these regions; default: anywhere.")  # fmt: skip
@connected
def put(
    client: Client, name: str, size: str, places: tuple[str, ...], regions: tuple[str, ...]
) -> None:
    """Register a dataset, or replace what is said of it (administrators)."""
    from suan.jobspec.limits import Fault
    from suan.jobspec.units import size_bytes
    from suan.views import Dataset, Replica

    try:
        total = size_bytes(size)
    except Fault as fault:
        raise click.BadParameter(fault.message, param_hint="--size") from fault
    split = [place.partition(":") for place in places]
    replicas = tuple(Replica(site, path) for site, _, path in split)
    client.put_dataset(Dataset(name, total, replicas, regions))
    click.echo(f"✔ dataset {name} is registered", err=True)


@dataset.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@connected
def remove(client: Client, name: str, yes: bool) -> None:
    """Forget a dataset: your organisation's, or as an administrator any.

    What lies in stores and at sites is not touched; jobs that read it already go on.
    """
    if not yes and sys.stdin.isatty():
        click.confirm(f"Remove dataset {name}?", abort=True, err=True)
    client.remove_dataset(name)
    click.echo(f"✔ dataset {name} is removed", err=True)
