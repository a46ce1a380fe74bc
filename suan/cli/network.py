"""`suan network`: the national network model, as a table, as a schematic, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from suan.cli.options import connect, formatted

if TYPE_CHECKING:
    from suan.cli.output import Output
    from suan.network.file import NetworkFile


@click.group()
def network() -> None:
    """Show or replace the network model."""


@network.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--svg", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
              help="Draw a schematic into FILE (-: standard output).")  # fmt: skip
@click.option("--sources", is_flag=True, help="Also say where each figure is from.")
@click.option("--context", "context_name", metavar="NAME", help="Use this context.")
@click.option("--address", metavar="HOST:PORT", help="Use this broker.")
@formatted
def show(
    output: Output,
    file: Path | None,
    svg: Path | None,
    sources: bool,
    context_name: str | None,
    address: str | None,
) -> None:
    """Show the model in force, or the one in a FILE.

    The schematic is no map: it has no boundary and no coastline.
    """
    if file:
        found = _load(file)
        sites: list[tuple[str, str]] = []
    else:
        with connect(context_name, address) as client:
            found = client.network()
            sites = [(each.name, each.facts.city) for each in client.sites() if each.facts.city]
    if svg:
        _draw(found, sites, svg)
    elif output.form.value == "name":
        for node in found.network.nodes:
            click.echo(node.name)
    elif output.for_people:
        _print(output, found, sources)
    else:
        output.dump(found)


@network.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", type=click.Choice(["client", "server"]),
              help="client: only check the file. server: also ask what would change.")  # fmt: skip
@click.option("--context", "context_name", metavar="NAME", help="Use this context.")
@click.option("--address", metavar="HOST:PORT", help="Use this broker.")
def apply(file: Path, dry_run: str | None, context_name: str | None, address: str | None) -> None:
    """Replace the network model as a whole (administrators)."""
    found = _load(file)
    nodes, links = len(found.network.nodes), len(found.network.links)
    if dry_run == "client":
        click.echo(f"✔ the file is sound: {nodes} nodes, {links} links", err=True)
        return
    with connect(context_name, address) as client:
        change = client.apply_network(found, dry_run=dry_run == "server")
    done = "would change" if dry_run else "changed"
    words = done if change.changed else "is so already"
    click.echo(f"✔ the network {words}: {change.nodes} nodes, {change.links} links", err=True)


def _load(file: Path) -> NetworkFile:
    from suan.jobfile import read_bytes
    from suan.network import load

    found = load(read_bytes(file))
    for warning in found.warnings:
        click.echo(f"note: {warning}", err=True)
    return found


def _draw(found: NetworkFile, sites: list[tuple[str, str]], target: Path) -> None:
    from suan.identity.files import PUBLIC, write_file
    from suan.network.svg import svg as drawn

    text = drawn(found, sites)
    if str(target) == "-":
        click.echo(text)
        return
    write_file(target, text.encode(), mode=PUBLIC, force=True)
    click.echo(f"✔ drawn into {target}", err=True)


def _print(output: Output, found: NetworkFile, sources: bool) -> None:
    from suan.cli.output import print_table
    from suan.network.table import (
        LINK_COLUMNS,
        NODE_COLUMNS,
        SOURCE_COLUMN,
        link_rows,
        node_rows,
    )

    print_table(NODE_COLUMNS, [list(row) for row in node_rows(found)], headers=output.headers)
    click.echo()
    columns = (*LINK_COLUMNS, SOURCE_COLUMN) if sources else LINK_COLUMNS
    rows = [list(row[: len(columns)]) for row in link_rows(found)]
    print_table(columns, rows, headers=output.headers)
