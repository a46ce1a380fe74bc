"""`suan context`: which broker, as whom."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from suan.cli.options import formatted

if TYPE_CHECKING:
    from suan.cli.output import Output


@click.group()
def context() -> None:
    """Choose the broker and the identity.

    A context names a broker's address and the directory of an identity. They are kept in
    ~/.config/suan/config.yaml (SUAN_CONFIG names another file).
    """


@context.command("list")
@formatted
def list_contexts(output: Output) -> None:
    """List the contexts; * marks the current one."""
    from suan.cli.output import Column
    from suan.contexts import Context, load_contexts

    known = load_contexts(os.environ)

    def mark(each: Context) -> str:
        return "*" if each.name == known.current else ""

    columns: list[Column[Context]] = [
        Column("", mark),
        Column("NAME", lambda each: each.name),
        Column("ADDRESS", lambda each: each.address),
        Column("IDENTITY", lambda each: each.identity),
        Column("PROJECT", lambda each: each.project or "–"),
    ]
    output.show(list(known.contexts.values()), columns, lambda each: each.name)


@context.command("show")
@click.argument("name", required=False)
@formatted
def show_context(output: Output, name: str | None) -> None:
    """Show a context (default: what commands would use now) and its identity."""
    from suan.cli.times import moment
    from suan.contexts import resolve
    from suan.identity.directory import load_identity

    chosen = resolve(name, None, os.environ)
    if not output.for_people:
        output.dump(chosen)
        return
    certificate = load_identity(chosen.identity).certificate
    for title, value in (
        ("context", chosen.name or "(none: from the environment)"),
        ("address", chosen.address),
        ("identity", chosen.identity),
        ("who", str(certificate.principal)),
        ("until", moment(certificate.not_after) or ""),
        ("project", chosen.project or "–"),
    ):
        click.echo(f"{title:<9} {value}")


@context.command("use")
@click.argument("name")
def use(name: str) -> None:
    """Make a context the current one."""
    from suan.contexts import use_context

    chosen = use_context(name, os.environ)
    click.echo(f"now using {chosen.name}: {chosen.address}", err=True)


@context.command("set")
@click.argument("name")
@click.option("--address", required=True, metavar="HOST:PORT[,…]",
              help="The broker; of several, all.")  # fmt: skip
@click.option("--identity", required=True, metavar="DIR", help="Directory of an identity.")
@click.option("--project", default="", metavar="NAME", help="The project to charge.")
def set_context(name: str, address: str, identity: str, project: str) -> None:
    """Add a context or replace it; the first one becomes the current one."""
    from suan.contexts import Context, save_context

    save_context(Context(name, address, identity, "", project), os.environ)
    click.echo(f"context {name} is kept", err=True)


@context.command()
@click.argument("name")
def delete(name: str) -> None:
    """Forget a context; its identity stays where it is."""
    from suan.contexts import delete_context

    delete_context(name, os.environ)
    click.echo(f"context {name} is forgotten", err=True)
