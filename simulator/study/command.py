"""`python -m simulator simulate`, which is what `suan simulate` starts.

Figures go to standard output; what was read and made up, and the progress, to standard error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suan.cli.faults import report
from suan.errors import ExitCode

LOAD_MAX = 100.0
ROUND_SECONDS_MAX = 86_400.0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The subcommand of this room."""
    parser = commands.add_parser("simulate", help="replay a trace under several policies")
    parser.add_argument("trace", type=Path, metavar="TRACE")
    parser.add_argument("--federation", type=Path, required=True, metavar="FILE")
    parser.add_argument("--policy", type=Path, metavar="FILE")
    parser.add_argument("--load", type=_between(0.01, LOAD_MAX), default=0.0, metavar="SHARE")
    parser.add_argument("--seed", type=_whole, default=0, metavar="N")
    parser.add_argument("--first", type=_whole, default=0, metavar="JOBS")
    parser.add_argument("--compare", default="suan", metavar="NAMES")
    parser.add_argument("--round", type=_between(0.0, ROUND_SECONDS_MAX), metavar="SECONDS")
    parser.add_argument("--cut-link", action="append", default=[], metavar="A-B@T")
    parser.add_argument("--fail-site", action="append", default=[], metavar="SITE@T..T")
    parser.add_argument("--price", action="append", default=[], metavar="NAME=YUAN")
    parser.add_argument("--report", type=Path, metavar="FILE")
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    parser.set_defaults(run=run)


def _between(least: float, most: float) -> type[float]:
    class Number(float):
        def __new__(cls, text: str) -> Number:
            value = super().__new__(cls, text)
            if not least <= value <= most:
                raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
            return value

    return Number


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 2147483647")
    return int(text)


def run(asked: argparse.Namespace) -> int:
    """Exit status 0 when the study was made, as slow or unfinished as its jobs may be."""
    try:
        from simulator.study.make import make  # needs what `suan[simulate]` brings

        make(asked)
    except BaseException as error:  # told as every command of `suan` tells it
        return report(error)
    return ExitCode.OK
