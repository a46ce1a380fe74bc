"""`python -m tests.chaos --schedules 0:200 --jobs 2`: a campaign of faults on real processes.

Exit status 0: every promise was kept in every schedule.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.chaos.series import Order, campaign, choose_network, line_of, summary, tell


def _range(text: str) -> range:
    first, colon, end = text.partition(":")
    if not first.isdecimal() or (colon and not end.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST:END, for example 0:200, or one")
    return range(int(first), int(end) if colon else int(first) + 1)


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupted(number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--schedules", type=_range, default=range(5), metavar="FIRST:END")
    parser.add_argument("--jobs", type=int, default=1, help="schedules at a time; default: 1")
    parser.add_argument("--network", choices=("auto", "netns", "proxy"), default="auto")
    parser.add_argument("--folder", type=Path, help="for the logs; default: a new one in /tmp")
    parser.add_argument("--keep", action="store_true", help="keep the logs of good schedules too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupted)
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="suan-chaos-"))).absolute()
    network = choose_network(arguments.network)
    _say(f"network: {network}; folder: {folder}")
    began = time.monotonic()
    verdicts = []
    try:
        orders = [Order(seed, network) for seed in arguments.schedules]
        for order, verdict in campaign(orders, arguments.jobs, folder, arguments.keep):
            verdicts.append(verdict)
            _say(line_of(verdict))
            if verdict.violations:
                tell(order, verdict, folder, _say)
    except KeyboardInterrupt:
        _say("interrupted; all processes are ended")
    _say(summary(verdicts, time.monotonic() - began))
    with suppress(OSError):  # unless something was kept in it
        folder.rmdir()
    complete = len(verdicts) == len(arguments.schedules)
    return 0 if complete and not any(verdict.violations for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
