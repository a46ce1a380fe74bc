"""`python -m simulator COMMAND`: which rooms have commands, and nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from simulator.faults.command import add_commands


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_commands(commands)
    chosen = parser.parse_args(arguments)
    status: int = chosen.run(chosen)
    return status


if __name__ == "__main__":
    sys.exit(main())
