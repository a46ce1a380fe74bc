"""Keeps time marks of the logs of live runs, for every backend whose runs write files.

Looks at the sizes about once a second, so it costs two system calls a log and nothing in the
job. Knows run directories; which runs live is the backend's to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable

from agent.backends import Stream
from agent.backends.marks import MarkFile, line_start, offset_since, read_marks
from agent.backends.rundir import RunDirectory

LOOK_SECONDS = 1.0  # between two looks at all logs …
REST = 20.0  # … or so many times what a look took: at most 5 % of a core, on any file system


class LogMarker:
    """The marks of one agent's runs. Any thread may call it."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """`now` gives wall seconds."""
        self._now = now
        self._marks: dict[str, dict[str, MarkFile]] = {}  # by run, by name of the log
        self._lock = threading.Lock()

    async def keep(self, live: Callable[[], Iterable[RunDirectory]]) -> None:
        """Mark the logs of all runs that are `live`, again and again."""
        loop = asyncio.get_running_loop()
        while True:
            runs = tuple(live())
            began = loop.time()
            await asyncio.to_thread(self.mark, runs)
            took = loop.time() - began
            await asyncio.sleep(max(LOOK_SECONDS, REST * took))

    def mark(self, runs: Iterable[RunDirectory]) -> None:
        """Mark all logs of these runs, and keep nothing of others in memory."""
        names = set()
        for run in runs:
            names.add(run.name)
            self.mark_run(run)
        with self._lock:
            for name in self._marks.keys() - names:
                del self._marks[name]

    def mark_run(self, run: RunDirectory) -> None:
        """Mark the logs of one run. Where that fails (disk full), more is shown, never less."""
        with self._lock, contextlib.suppress(OSError):
            known = self._marks.setdefault(run.name, {})
            with os.scandir(run.logs) as entries:
                for entry in entries:
                    size = entry.stat().st_size
                    marks = known.get(entry.name)
                    if marks is None:
                        if not size:
                            continue
                        run.marks.mkdir(mode=0o700, exist_ok=True)
                        marks = known[entry.name] = MarkFile(f"{run.marks}/{entry.name}")
                    marks.note(self._now(), size)


def log_offset(run: RunDirectory, rank: int, stream: Stream, since: float) -> int:
    """Where the lines of `since` (wall seconds) begin in a log; 0: there, or nobody knows.

    Nothing written at or after `since` lies before it. Raises OSError.
    """
    log = run.log(rank, stream)
    offset = offset_since(read_marks(run.marks / log.name), since)
    try:
        with log.open("rb") as file:
            return line_start(file, min(offset, os.fstat(file.fileno()).st_size))
    except FileNotFoundError:
        return 0
