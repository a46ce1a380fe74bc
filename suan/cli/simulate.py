"""`suan simulate`: starts the simulator as a process, with our terminal as its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("trace", type=_FILE)
@click.option("--federation", type=_FILE, required=True, metavar="FILE",
              help="Sites, pools, links, prices, failures.")  # fmt: skip
@click.option("--policy", type=_FILE, metavar="FILE", help="Weights and bounds of rounds.")
@click.option("--load", type=click.FloatRange(0.01, 100.0), metavar="SHARE",
              help="Let jobs come so fast that they load the cards so much, e.g. 0.9.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), metavar="N",
              help="Of all that is made up; default 0.")  # fmt: skip
@click.option("--first", type=click.IntRange(0, 2**31 - 1), metavar="JOBS",
              help="Only so many jobs of the trace.")  # fmt: skip
@click.option("--compare", metavar="NAMES",
              help="Policies side by side, e.g. random,easy,sjf,suan; default suan.")  # fmt: skip
@click.option("--round", type=click.FloatRange(0.0, 86_400.0), metavar="SECONDS",
              help="Virtual time between two rounds of suan.")  # fmt: skip
@click.option("--cut-link", multiple=True, metavar="A-B@T",
              help="Cut a link, e.g. guizhou-greater-bay@36h or …@36h..40h.")  # fmt: skip
@click.option("--fail-site", multiple=True, metavar="SITE@T..T",
              help="Take a site away for a while, e.g. guiyang@36h..40h.")  # fmt: skip
@click.option("--price", multiple=True, metavar="NAME=YUAN",
              help="Another price per card-hour of a pool, a site or a model.")  # fmt: skip
@click.option("--report", type=_FILE, metavar="FILE", help="Also write a page of HTML.")
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]),
              help="How to print: default table.")  # fmt: skip
@click.pass_context
def simulate(ctx: click.Context, /, **options: Any) -> None:
    """Replay a trace of jobs on a federation.

    TRACE is in SWF or a CSV format of Philly, openb or Alibaba. In virtual time the product's
    own broker and scheduler place its jobs, beside other policies and proved lower bounds.
    """
    import subprocess
    import sys
    from importlib.util import find_spec

    from suan.errors import Unsupported

    if missing := [name for name in ("simulator", "highspy") if find_spec(name) is None]:
        raise Unsupported(
            f"this needs the package {missing[0]}",
            "install it: pip install 'suan[simulate]'",
            "PackageMissing",
        )
    command = [sys.executable, "-m", "simulator", "simulate", *_arguments(ctx, options)]
    process = subprocess.Popen(command)
    while True:
        try:
            ctx.exit(process.wait())
        except KeyboardInterrupt:  # it was told as well, and ends by itself
            continue


def _arguments(ctx: click.Context, options: dict[str, Any]) -> list[str]:
    """What was given, as the simulator takes it."""
    found: list[str] = []
    for parameter in ctx.command.params:
        value = options[parameter.name or ""]
        flag = next((name for name in parameter.opts if name.startswith("--")), "")
        for each in value if isinstance(value, tuple) else [value]:
            if flag and each is not None:
                found.append(f"{flag}={each}")
    return [*found, "--", str(options["trace"])]
