"""One run's directory: the names in it, and what they say to the agent.

The fence owns `started` and `exit.json` while it lives; this module takes them over only
when it can prove that no fence lives: by taking `started` first, or by its lock. Knows
files; starts, signals and waits for nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.backends import Exit, LeaseClass, Phase, Reason, RunState, Stream
from agent.backends.plain import read_plain, replace_plain
from agent.clock import boot_id, boottime_ns, raw_ns

LEASE_SECONDS_MAX = 1e9  # what "for ever" is written as
LEASE_BYTES = 255  # of the one line in the file
CODE_MAX = 255
WALL_SECONDS_MAX = 1e11  # the year 5138
DETAIL_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Where everything of one run is."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def scratch(self) -> Path:
        return self.path / "scratch"

    @property
    def hostfile(self) -> Path:
        return self.path / "hostfile"

    @property
    def fence_log(self) -> Path:
        return self.path / "fence.log"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def marks(self) -> Path:
        """When the logs had how many bytes, under the logs' own names; see `marks`."""
        return self.path / "marks"

    def log(self, rank: int, stream: Stream) -> Path:
        return self.logs / f"{rank}.{'out' if stream is Stream.STDOUT else 'err'}"

    def log_sizes(self) -> dict[tuple[int, Stream], int]:
        """The bytes of each log that is there. Raises OSError."""
        sizes: dict[tuple[int, Stream], int] = {}
        with os.scandir(self.logs) as entries:
            for entry in entries:
                rank, _, ending = entry.name.partition(".")
                if rank.isdecimal() and ending in ("out", "err"):
                    stream = Stream.STDOUT if ending == "out" else Stream.STDERR
                    sizes[int(rank), stream] = entry.stat().st_size
        return sizes

    # --- what is there ----------------------------------------------------

    def state(self) -> RunState:
        ended = self.exit()
        if ended is not None:
            return RunState(self.name, Phase.EXITED, ended)
        running = (self.path / "ranks.json").exists()
        return RunState(self.name, Phase.RUNNING if running else Phase.STARTING)

    def order(self) -> dict[str, Any]:
        order: dict[str, Any] = json.loads((self.path / "order.json").read_text("utf-8"))
        return order

    def exit(self) -> Exit | None:
        """The exit record; None while there is none. One that is damaged still proves the end."""
        try:
            return _exit_from(self.name, json.loads(read_plain(self.path / "exit.json")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            detail = f"its exit record cannot be read: {error}"
            began = self._started_at()
            return Exit(self.name, 0, 0, Reason.UNKNOWN, began, began, detail=detail)

    def fence_pid(self) -> int:
        """The fence's process number, as it wrote it; 0 when it has not."""
        return int(self._started().get("pid", 0))

    def boot_id(self) -> str:
        """The boot in which the run began, or for which its lease was written."""
        with contextlib.suppress(OSError, ValueError):
            return str(self._started().get("boot_id") or self._lease_terms()["boot_id"])
        return ""

    def wish_to_stop(self) -> str:
        """Why the run was asked to end; "" when it was not."""
        try:
            return read_plain(self.path / "stop")
        except FileNotFoundError:
            return ""
        except ValueError:
            return "stopped"  # by one who may write there

    # --- what the agent writes --------------------------------------------

    def write_lease(self, remaining_seconds: float, lease_class: LeaseClass | None = None) -> None:
        """Write the lease anew: it ends `remaining_seconds` from now. None keeps the class.

        In place and always as long, so that it can be renewed on a full disk.
        """
        if lease_class is None:
            lease_class = LeaseClass(self._lease_terms()["class"])
        remaining_ns = int(min(remaining_seconds, LEASE_SECONDS_MAX) * 1e9)
        terms = {
            "class": lease_class.value,
            "boot_id": boot_id(),
            "boottime_ns": boottime_ns() + remaining_ns,
            "raw_ns": raw_ns() + remaining_ns,
        }
        text = json.dumps(terms)
        line = f"{zlib.crc32(text.encode()):08x} {text}".ljust(LEASE_BYTES) + "\n"
        descriptor = os.open(self._lease, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, line.encode(), 0)
        finally:
            os.close(descriptor)

    def write_stop(self, reason: str) -> None:
        replace_plain(self.path / "stop", reason or "stopped")

    # --- taking over from a fence that is not there -----------------------

    def take_started(self) -> bool:
        """Take the place of a fence that never began: after True, none ever can."""
        try:
            os.close(os.open(self.path / "started", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    @contextlib.contextmanager
    def fence_lock(self) -> Iterator[bool]:
        """True when no fence lives, which then stays so inside the block."""
        with (self.path / "started").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def write_exit(self, reason: Reason, detail: str, exit_code: int = 0, signal: int = 0) -> Exit:
        """Record, durably, the end of a run that no fence can record."""
        record: dict[str, Any] = {
            "exit_code": exit_code,
            "signal": signal,
            "reason": reason.value,
            "detail": detail,
            "started_at": self._started_at(),
            "ended_at": time.time(),
            "rank_codes": [],
        }
        replace_plain(self.path / "exit.json", json.dumps(record), durable=True)
        sync_directory(self.path)
        ended = self.exit()
        assert ended is not None
        return ended

    @property
    def _lease(self) -> Path:
        return self.path / "lease"

    def _lease_terms(self) -> dict[str, Any]:
        terms: dict[str, Any] = json.loads(self._lease.read_text().partition(" ")[2])
        return terms

    def _started_at(self) -> float:
        """Wall seconds at which a fence took the run; 0.0 when none did."""
        return (self.path / "started").stat().st_mtime if self._started() else 0.0

    def _started(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            started: dict[str, Any] = json.loads(read_plain(self.path / "started"))
            return started
        return {}


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exit_from(name: str, record: dict[str, Any]) -> Exit:
    """What a fence wrote, which may have been a tenant's own process.

    Raises ValueError, KeyError, TypeError for what no fence writes.
    """
    codes = (record["exit_code"], record["signal"], *record["rank_codes"])
    times = (record["started_at"], record["ended_at"])
    if not all(isinstance(code, int) and 0 <= code <= CODE_MAX for code in codes):
        raise ValueError("a code that no process ends with")
    if not all(isinstance(at, int | float) and 0 <= at <= WALL_SECONDS_MAX for at in times):
        raise ValueError("a time that no clock says")
    return Exit(
        name=name,
        exit_code=record["exit_code"],
        signal=record["signal"],
        reason=Reason(record["reason"]),
        started_at=record["started_at"],
        ended_at=record["ended_at"],
        rank_codes=tuple(record["rank_codes"]),
        detail=str(record["detail"])[:DETAIL_CHARACTERS],
    )
