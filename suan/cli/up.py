"""`suan up` and `suan down`: a federation on this machine, for trying out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SITES_MAX = 8


def _default_folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "suan" / "local"


def _in_folder(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--state-dir", "folder", type=click.Path(path_type=Path), default=_default_folder,
        metavar="DIR", help="Where it lies; default ~/.local/state/suan/local.",
    )(command)  # fmt: skip


@click.command()
@_in_folder
@click.option("--sites", type=click.IntRange(1, SITES_MAX), default=3, help="1 to 8; default 3.")
@click.option("--runtime", type=click.Choice(["local", "ray"]), default="local",
              help="The broker's: one process, or actors of Ray.")  # fmt: skip
def up(folder: Path, sites: int, runtime: str) -> None:
    """Start a federation on this machine.

    A broker and up to eight sites with declared cards run here as processes, on loopback and
    with throw-away keys. Jobs are real processes. A second time, it starts what does not run.
    """
    from suan.cli.output import note

    _federation(folder).up(sites, runtime)
    note("  Next:  suan offers  ·  suan run --gpus ascend-910b:1 -- hostname  ·  suan down")
    note("  as administrator:  suan --context local-admin site list")


@click.command()
@_in_folder
@click.option("--delete", is_flag=True, help="Also delete its directory and its contexts.")
def down(folder: Path, delete: bool) -> None:
    """Stop the federation that `up` started.

    Jobs that run are stopped, then agents and broker. Without --delete, `suan up` goes on
    where it was.
    """
    _federation(folder).down(delete=delete)


def _federation(folder: Path) -> Any:
    from suan.cli.output import note
    from suan.errors import Unsupported

    try:
        from suan.cli.local.federation import LocalFederation
    except ImportError as error:
        raise Unsupported(
            f"this needs the package {error.name}",
            "install everything: pip install 'suan[broker,agent]'",
            "PackageMissing",
        ) from error
    return LocalFederation(folder, note)
