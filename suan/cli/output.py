"""Printing values: tables for people, records for programs, always on standard output.

A table has the same columns everywhere. On a terminal rich lays it out; in a pipe it is
plain text: no colour, no boxes, every column as wide as its widest cell.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

import click

T = TypeVar("T")
GAP = "  "


class Format(Enum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column: its title and how a value is shown in it."""

    title: str
    cell: Callable[[T], str]
    wide: bool = False  # only with -o wide
    right: bool = False  # aligned right: numbers


@dataclass(frozen=True, slots=True)
class Output:
    """What -o and --no-headers asked for."""

    form: Format = Format.TABLE
    headers: bool = True

    @property
    def for_people(self) -> bool:
        return self.form in (Format.TABLE, Format.WIDE)

    def show(
        self, items: Sequence[T], columns: Sequence[Column[T]], name: Callable[[T], str]
    ) -> None:
        """Prints a list. `name` is what other commands call an item."""
        if self.form is Format.NAME:
            for item in items:
                click.echo(name(item))
        elif self.for_people:
            shown = [column for column in columns if self.form is Format.WIDE or not column.wide]
            rows = [[column.cell(item) for column in shown] for item in items]
            print_table([column.title for column in shown], rows, shown, headers=self.headers)
        else:
            self.dump(items)

    def dump(self, value: Any) -> None:
        """Prints a value as JSON or YAML."""
        from suan.cli.records import record

        plain = record(value)
        if self.form is Format.YAML:
            import yaml

            click.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)
        else:
            click.echo(json.dumps(plain, indent=2, ensure_ascii=False))

    def stream(self, item: Any) -> None:
        """Prints one of many records that come over time: a line of JSON, a YAML document."""
        if self.form is Format.YAML:
            click.echo("---")
            self.dump(item)
        else:
            from suan.cli.records import record

            click.echo(json.dumps(record(item), ensure_ascii=False))


def note(text: str) -> None:
    """Tells a person something that is not data."""
    click.echo(text, err=True)


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: Sequence[Column[Any]] = (),
    *,
    headers: bool = True,
) -> None:
    """Prints rows of text; `columns` say which are numbers."""
    right = [column.right for column in columns] or [False] * len(titles)
    if sys.stdout.isatty():
        _print_rich(titles, rows, right, headers)
    else:
        for line in plain_lines(titles, rows, right, headers=headers):
            click.echo(line)


def plain_lines(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[bool],
    *,
    headers: bool = True,
) -> Iterable[str]:
    """The table as lines without trailing blanks; wide characters count two columns."""
    lines = [list(titles), *map(list, rows)] if headers else [list(row) for row in rows]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            " " * (columns - width(cell)) + cell
            if to_right
            else cell + " " * (columns - width(cell))
            for cell, columns, to_right in zip(line, widths, right, strict=True)
        )
        yield GAP.join(cells).rstrip()


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _print_rich(
    titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], headers: bool
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    plain = "NO_COLOR" in os.environ
    table = Table(
        box=None, show_header=headers, header_style="" if plain else "bold", pad_edge=False
    )
    for title, to_right in zip(titles, right, strict=True):
        table.add_column(title, justify="right" if to_right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style="" if plain else STYLES.get(cell, "")) for cell in row))
    Console(no_color=plain, highlight=False).print(table)


# Colour only repeats what the word says.
STYLES = {
    "RUNNING": "cyan",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "dim",
    "open": "green",
    "suspect": "yellow",
    "lost": "red",
    "draining": "yellow",
    "paused": "yellow",
}
