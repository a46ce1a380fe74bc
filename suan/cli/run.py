"""`suan run`: a job from the command line, attached."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suan.cli.options import connected, given

if TYPE_CHECKING:
    from suan.models import JobSpec
    from suan.sync import Client


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--gpus", "--accelerators", "accelerators", required=True, metavar="TYPE:N", multiple=True,
    help="N cards of this model per node; repeated: any of them.",
)  # fmt: skip
@click.option("-n", "--num-nodes", type=click.IntRange(1), default=1, help="Nodes; default 1.")
@click.option("--name", default="", help="What people call the job.")
@click.option("--site", "sites", multiple=True, metavar="NAME", help="Only here; may be repeated.")
@click.option("--image", default="", help="Container image; default: run natively.")
@click.option("--workdir", default="", metavar="DIR", help="A directory to send along.")
@click.option("--time-limit", default="", metavar="LENGTH", help="Stop it after this, e.g. 2h.")
@given
@click.option("-d", "--detach", is_flag=True, help="Only submit; print the id.")
@connected
def run(
    client: Client,
    command: tuple[str, ...],
    environment: Mapping[str, str],
    detach: bool,
    **wishes: Any,
) -> int:
    """Run a command on accelerators and stay with it.

    Write the command after --, as in: suan run --gpus ascend-910b:1 -- npu-smi info

    The exit code is the job's own. Ctrl-C detaches: the job goes on.
    """
    from suan.cli.attach import attach
    from suan.cli.output import Output
    from suan.cli.submit import show_submitted

    spec = _spec(command, environment, **wishes)
    submitted = client.submit(spec, directory=Path.cwd())
    if detach:
        show_submitted(Output(), submitted)
        return 0
    return attach(client, submitted[0].id)


def _spec(
    command: tuple[str, ...],
    environment: Mapping[str, str],
    accelerators: tuple[str, ...],
    num_nodes: int,
    name: str,
    sites: tuple[str, ...],
    image: str,
    workdir: str,
    time_limit: str,
) -> JobSpec:
    """The spec that a job file with these values would state; the file's rules hold."""
    from dataclasses import replace

    import yaml

    from suan.errors import InvalidSpec
    from suan.jobfile import parse_job

    wanted = list(accelerators)
    file = {
        "name": name or Path((command[0].split() or ["job"])[0]).name[:64],
        "num_nodes": num_nodes,
        "resources": {"accelerators": wanted[0] if len(wanted) == 1 else {"any_of": wanted}},
        "placement": {"sites": list(sites)} if sites else None,
        "image": image,
        "workdir": workdir,
        "time_limit": time_limit,
        "envs": dict(environment),
        # One word is the user's own shell text; several are one command.
        "run": command[0] if len(command) == 1 else shlex.join(command),
    }
    text = yaml.safe_dump({key: value for key, value in file.items() if value})
    try:
        return parse_job(text.encode(), {}).spec
    except InvalidSpec as error:  # its lines are of a file that nobody has seen
        unplaced = tuple(replace(problem, line=0, column=0) for problem in error.problems)
        raise InvalidSpec(problems=unplaced) from None
