"""`suan accelerators`: the catalogue that ships with the product; needs no broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from suan.cli.options import formatted

if TYPE_CHECKING:
    from suan.cli.output import Output


@click.command()
@click.argument("model", required=False)
@formatted
def accelerators(output: Output, model: str | None) -> None:
    """List accelerator models.

    With a MODEL (or any of its names), every figure and where it is from. A figure that
    ends in "?" is unverified and no decision rests on it. All figures are per physical card.
    """
    from suan import catalogue
    from suan.catalogue.view import COLUMNS, SOURCE_COLUMNS, rows, source_rows
    from suan.cli.output import Format, print_table

    known = catalogue.load()
    entries = (known.entry(model),) if model else known.entries()
    if output.form is Format.NAME:
        for entry in entries:
            click.echo(entry.model)
    elif not output.for_people:
        output.dump(entries[0] if model else entries)
    elif model:
        entry = entries[0]
        click.echo(f"{entry.model}  {entry.title}  also: {', '.join(entry.aliases) or '–'}")
        lines = [row[1:] for row in source_rows(known, entries)]
        print_table(SOURCE_COLUMNS[1:], lines, headers=output.headers)
    else:
        wide = output.form is Format.WIDE
        shown = [list(row if wide else row[:-1]) for row in rows(entries)]
        print_table(COLUMNS if wide else COLUMNS[:-1], shown, headers=output.headers)
