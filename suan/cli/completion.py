"""`suan completion`."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script for a shell.

    bash: eval "$(suan completion bash)" in ~/.bashrc; zsh alike; fish: suan completion fish
    | source
    """
    from click.shell_completion import get_completion_class

    from suan.cli.root import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "suan", "_SUAN_COMPLETE").source())
