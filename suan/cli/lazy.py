"""A click group whose commands are imported when they are called, not for its help.

The table gives each command's place and its one line of help; a test compares that line
with the command's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

Table = Mapping[str, Mapping[str, tuple[str, str]]]  # section, name: (module:attribute, help)


class LazyGroup(click.Group):
    """`table` replaces click's own registration; its sections appear in the help."""

    def __init__(self, *args: Any, table: Table, **options: Any) -> None:
        super().__init__(*args, **options)
        self.table = table

    def entries(self) -> dict[str, tuple[str, str]]:
        """Every command by name: its place and its help."""
        return {name: entry for section in self.table.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries().get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry[0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.entries() and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.entries(), n=1)
            advice = f"did you mean {near[0]}?" if near else "see `suan --help`"
            ctx.fail(f"there is no command {name!r}; {advice}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.entries()))
        for section, commands in self.table.items():
            with formatter.section(section):
                rows = [(name.ljust(width), text) for name, (_, text) in commands.items()]
                formatter.write_dl(rows)
