"""Daemons by their process ids: started in sessions of their own, stopped exactly.

A process id alone is not a process: it may have been given to another one since. So the
record of a daemon also holds the moment at which it started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from suan.errors import DeadlineExceeded

POLL_SECONDS = 0.05
STOP_SECONDS = 20.0  # between SIGTERM and SIGKILL
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A process that was started, by us, at `started` (in the system's own words)."""

    pid: int
    started: str

    def alive(self) -> bool:
        return bool(self.started) and _started(self.pid) == self.started

    def stop(self) -> None:
        """SIGTERM, SIGKILL after a while; returns when it is gone."""
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            if not self.alive():
                return
            os.kill(self.pid, number)
            try:
                wait_until(lambda: not self.alive(), f"process {self.pid} to end", seconds)
            except DeadlineExceeded:
                if number == signal.SIGKILL:
                    raise


def start(command: Sequence[str], record: Path, log: Path) -> Daemon:
    """Starts a daemon that outlives us; `record` says which one, `log` gets what it prints."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("SUAN_")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    daemon = Daemon(process.pid, _started(process.pid))
    record.write_text(json.dumps(asdict(daemon)), encoding="utf-8")
    return daemon


def recorded(record: Path) -> Daemon | None:
    """The daemon that a record names, whether or not it still runs."""
    try:
        fields = json.loads(record.read_text(encoding="utf-8"))
        return Daemon(int(fields["pid"]), str(fields["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def wait_until(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Returns when `condition` holds. Raises DeadlineExceeded, naming `what`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            raise DeadlineExceeded(
                f"waited {seconds:.0f} s for {what}",
                "is the machine very busy? try again",
                "StartTimedOut",
            )
        time.sleep(POLL_SECONDS)


def _started(pid: int) -> str:
    """When the process started; "": there is none, or only its remains."""
    if _PROC.joinpath("self", "stat").exists():
        return _started_by_proc(pid)
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    state, _, started = (
        subprocess.run(command, capture_output=True, text=True, check=False)
        .stdout.strip()
        .partition(" ")
    )
    return "" if state.startswith("Z") else started.strip()


def _started_by_proc(pid: int) -> str:
    try:
        text = _PROC.joinpath(str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return "" if fields[0] in "ZX" else fields[19]
