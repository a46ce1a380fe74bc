"""What a schedule leaves in its folder, and how it is written and read.

    faults.jsonl    what was done to the federation, and when
    client.jsonl    what the client asked, what was acknowledged, what it saw
    witness/*.log   what the jobs themselves wrote (`script`)
    end.json        what the broker says of every job at the end, and what was left over

All times are seconds of CLOCK_BOOTTIME, so that the files can be laid beside each other.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAULTS_FILE, CLIENT_FILE, END_FILE = "faults.jsonl", "client.jsonl", "end.json"
WITNESS_FOLDER = "witness"


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Diary:
    """A file of dated JSON lines; for any thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def note(self, event: str, **details: Any) -> None:
        with self._lock:
            line = {"at": round(boottime(), 3), "event": event} | details
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class Sign:
    """One line of a job's process about itself."""

    event: str  # start | waiting | alive | child | stop
    at: float
    job_id: str
    epoch: int
    rank: int
    site: str
    pid: int
    boot: str


@dataclass(frozen=True, slots=True)
class Change:
    """A job's state as the client's watch told it."""

    at: float
    job_id: str
    state: str
    revision: int


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt in the broker's final word."""

    epoch: int
    site: str
    outcome: str
    num_nodes: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A job in the broker's final word."""

    job_id: str
    state: str
    attempts: tuple[Tried, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one schedule."""

    signs: tuple[Sign, ...] = ()
    asked: frozenset[str] = frozenset()  # ids that the client has ever sent
    acknowledged: frozenset[str] = frozenset()
    cancelled: frozenset[str] = frozenset()  # ids that the client wanted cancelled
    taken_for_new: tuple[str, ...] = ()  # though sent again after the acknowledgement
    changes: tuple[Change, ...] = ()
    jobs: Mapping[str, Ended] = field(default_factory=dict)
    died: tuple[str, ...] = ()  # daemons that ended though nobody had killed them
    reserved: tuple[str, ...] = ()  # cards that are not free although nothing runs
    leaked: tuple[str, ...] = ()  # processes that outlived it all
    troubles: tuple[str, ...] = ()  # the harness itself could not go on


def read_evidence(folder: Path) -> Evidence:
    """What the files of a folder say; what is missing says nothing."""
    client = read_lines(folder / CLIENT_FILE)
    end = json.loads((folder / END_FILE).read_text()) if (folder / END_FILE).exists() else {}
    return Evidence(
        signs=tuple(read_signs(folder / WITNESS_FOLDER)),
        asked=_ids(client, "submit asked"),
        acknowledged=_ids(client, "submit acknowledged"),
        cancelled=_ids(client, "cancel asked"),
        taken_for_new=tuple(
            job for line in client if line["event"] == "taken for new" for job in line["ids"]
        ),
        changes=tuple(
            Change(line["at"], line["job"], line["state"], line["revision"])
            for line in client
            if line["event"] == "seen"
        ),
        jobs={job.job_id: job for job in map(_ended, end.get("jobs", ()))},
        died=tuple(end.get("died", ())),
        reserved=tuple(end.get("reserved", ())),
        leaked=tuple(end.get("leaked", ())),
        troubles=tuple(end.get("troubles", ())),
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a diary; one that its writer could not finish is left out."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def read_signs(folder: Path) -> list[Sign]:
    """All signs of all sites in order of time."""
    lines = (
        line for path in sorted(folder.glob("*.log")) for line in path.read_text().splitlines()
    )
    return sorted(map(_sign, lines), key=lambda sign: sign.at)


def _sign(line: str) -> Sign:
    event, at, job_id, epoch, rank, site, pid, boot = line.split()
    return Sign(event, float(at), job_id, int(epoch), int(rank), site, int(pid), boot)


def _ids(lines: Iterable[dict[str, Any]], event: str) -> frozenset[str]:
    return frozenset(job for line in lines if line["event"] == event for job in line["ids"])


def _ended(entry: dict[str, Any]) -> Ended:
    attempts = tuple(Tried(**attempt) for attempt in entry["attempts"])
    return Ended(entry["job_id"], entry["state"], attempts, entry["failure"])
