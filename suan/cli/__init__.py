"""The command line. `main` is the entry point; each command is imported when it is called.

Data goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Runs `suan` with the process's arguments and exits."""
    from suan.cli.root import run

    sys.exit(run())
