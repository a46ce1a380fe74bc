"""`python -m simulator COMMAND`: which rooms have commands, and nothing else."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from simulator.faults import command as faults
from simulator.study import command as study

PIPE_CLOSED = 141  # as a shell tells of SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    faults.add_commands(commands)
    study.add_commands(commands)
    chosen = parser.parse_args(arguments)
    try:
        status: int = chosen.run(chosen)
        sys.stdout.flush()
    except BrokenPipeError:  # as `| head` does: the interpreter flushes once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return status


if __name__ == "__main__":
    sys.exit(main())
