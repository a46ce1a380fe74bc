"""`suan convert` and `suan schema`: about files alone; neither needs a broker."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("script")
def convert(script: str) -> None:
    """Turn an sbatch script into a job file.

    SCRIPT is a path, or - for standard input. What has no counterpart is named at the top.
    """
    from suan import catalogue
    from suan.jobfile import read_bytes
    from suan.jobspec.convert import convert as converted

    text = sys.stdin.buffer.read() if script == "-" else read_bytes(Path(script))
    click.echo(converted(text, catalogue=catalogue.load()), nl=False)


@click.command()
@click.argument("path", default="job")
def schema(path: str) -> None:
    """Print the JSON Schema of the job file.

    PATH is job, or a key below it, such as job.resources.topology.
    """
    from suan.jobspec.schema import schema as whole

    root, *keys = path.split(".")
    if root != "job":
        raise click.UsageError(f"there is a schema of job, none of {root!r}")
    click.echo(json.dumps(_below(whole(), keys), indent=2, ensure_ascii=False))


def _below(found: Any, keys: list[str]) -> Any:
    """The schema of a key, looked for in alternatives as well."""
    for key in keys:
        places = [found, *found.get("anyOf", ()), *found.get("oneOf", ())]
        properties = {
            name: part for place in places for name, part in place.get("properties", {}).items()
        }
        if key not in properties:
            known = ", ".join(properties) or "none"
            raise click.UsageError(f"no key {key!r} there; keys: {known}")
        found = properties[key]
    return found
