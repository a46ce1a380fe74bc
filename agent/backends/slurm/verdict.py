"""What Slurm's word about a job means for the run, beside what the fences wrote. Pure.

Slurm is asked where a fence cannot know: it was told to end and not by us, a process was
killed, or a record is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from agent.backends import Exit, Reason
from agent.backends.slurm.layout import TOLD_TO_END

# Every other state, known or new, counts as living: an end must be proven.
OVER_STATES = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
# Over by Slurm's books, although the node may only be out of its reach.
UNPROVEN_STATES = frozenset({"NODE_FAIL", "BOOT_FAIL"})
SLURM_SAYS = "Slurm says "
SITE_STOPPED = "SitePaused"  # the code under which the site's own stop is told
KILLED = 128 + 9

# Slurm's state of a job that is over -> why the run ended, and what to tell people.
_ENDS: Mapping[str, tuple[Reason, str]] = MappingProxyType(
    {
        "OUT_OF_MEMORY": (Reason.OUT_OF_MEMORY, "Slurm: out of memory"),
        "TIMEOUT": (Reason.TIME_LIMIT, "Slurm: it ran longer than its time limit"),
        "DEADLINE": (Reason.TIME_LIMIT, "Slurm: its deadline passed"),
        "NODE_FAIL": (Reason.MACHINE_REBOOTED, "Slurm: a node of it failed"),
        "BOOT_FAIL": (Reason.LAUNCH_FAILED, "Slurm: a node did not boot"),
        "LAUNCH_FAILED": (Reason.LAUNCH_FAILED, "Slurm: it could not be launched"),
        "PREEMPTED": (Reason.STOPPED, SITE_STOPPED),
        "CANCELLED": (Reason.STOPPED, SITE_STOPPED),
        "REVOKED": (Reason.STOPPED, SITE_STOPPED),
    }
)


@dataclass(frozen=True, slots=True)
class JobWord:
    """What Slurm says of one job."""

    id: str
    state: str
    reason: str

    @property
    def is_over(self) -> bool:
        return self.state in OVER_STATES

    @property
    def is_proof(self) -> bool:
        """Whether Slurm has seen every process of it end."""
        return self.is_over and self.state not in UNPROVEN_STATES


def parse_words(text: str) -> dict[str, JobWord]:
    """By run name, of `squeue -o "%A|%T|%r|%j"`; a newer job of the same name wins."""
    words: dict[str, JobWord] = {}
    for line in text.splitlines():
        cells = line.split("|", 3)
        if len(cells) != 4 or not cells[0].isdecimal():
            raise ValueError(f"not a line of squeue: {line[:200]!r}")
        number, state, reason, name = cells
        if name not in words or int(number) > int(words[name].id):
            words[name] = JobWord(number, state, reason)
    return words


def is_open_to_doubt(ended: Exit) -> bool:
    """Whether Slurm may know better than the fences why it ended."""
    if ended.reason is Reason.STOPPED:
        return ended.detail == TOLD_TO_END or ended.detail.startswith(SLURM_SAYS)
    return ended.reason is Reason.UNKNOWN or ended.exit_code == KILLED


def judged(ended: Exit, word: JobWord | None, wish: str) -> Exit:
    """The end with Slurm's word taken in; `wish` is why we asked it to end, or ""."""
    if wish and ended.reason in (Reason.STOPPED, Reason.LAUNCH_FAILED, Reason.UNKNOWN):
        return replace(ended, reason=Reason.STOPPED, detail=wish)
    if not is_open_to_doubt(ended):
        return ended
    if word is not None and word.state in _ENDS:
        reason, detail = _ENDS[word.state]
        return replace(ended, reason=reason, detail=detail)
    if ended.reason is Reason.STOPPED:
        return replace(ended, detail=SITE_STOPPED)
    return ended
