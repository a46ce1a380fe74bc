"""`suan` itself: the table of all commands, and the one place where errors end.

Imports click and nothing else that is heavy, so that help is quick.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from suan.cli.lazy import LazyGroup, Table

COMMANDS: Table = {
    "Jobs": {
        "submit": ("suan.cli.submit:submit", "Submit a job file or an sbatch script."),
        "run": ("suan.cli.run:run", "Run a command on accelerators and stay with it."),
        "plan": ("suan.cli.plan:plan", "Say where a job would go; submit nothing."),
        "ps": ("suan.cli.ps:ps", "List jobs: live ones and those ended lately."),
        "get": ("suan.cli.get:get", "Show one job with its attempts."),
        "logs": ("suan.cli.logs:logs", "Print what a job wrote."),
        "cp": ("suan.cli.cp:cp", "Copy files of a job to this machine."),
        "exec": ("suan.cli.exec:exec_", "Run a command beside a running job."),
        "explain": ("suan.cli.explain:explain", "Say why a job is where it is."),
        "cancel": ("suan.cli.cancel:cancel", "Cancel jobs or whole arrays."),
    },
    "Supply": {
        "offers": ("suan.cli.offers:offers", "List what the sites offer now."),
        "accelerators": ("suan.cli.accelerators:accelerators", "List accelerator models."),
    },
    "Files": {
        "convert": ("suan.cli.files:convert", "Turn an sbatch script into a job file."),
        "schema": ("suan.cli.files:schema", "Print the JSON Schema of the job file."),
    },
    "Federation": {
        "site": ("suan.cli.site:site", "Look after sites: join, drain, remove."),
        "network": ("suan.cli.network:network", "Show or replace the network model."),
        "dataset": ("suan.cli.dataset:dataset", "List, register or remove datasets."),
        "admin": ("suan.cli.admin:admin", "Found a federation, issue identities, audit."),
    },
    "This machine": {
        "up": ("suan.cli.up:up", "Start a federation on this machine."),
        "down": ("suan.cli.up:down", "Stop the federation that `up` started."),
        "context": ("suan.cli.context:context", "Choose the broker and the identity."),
        "simulate": ("suan.cli.simulate:simulate", "Replay a trace of jobs on a federation."),
        "completion": ("suan.cli.completion:completion", "Print a script for a shell."),
    },
}


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"suan {version('suan')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--context", metavar="NAME", help="The context to use; see `suan context`.")
@click.option("--address", metavar="HOST:PORT[,…]", help="The brokers; default: SUAN_ADDRESS.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Print the version.",
)  # fmt: skip
def cli(context: str | None, address: str | None) -> None:
    """Submit a job once; it runs at the computing centre where it finishes best."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs `suan` and answers its exit code; no exception leaves it."""
    try:
        outcome = cli.main(
            None if arguments is None else list(arguments),
            prog_name="suan",
            standalone_mode=False,
        )
    except BaseException as error:
        from suan.cli.faults import report

        return report(error)
    return outcome if isinstance(outcome, int) else 0
