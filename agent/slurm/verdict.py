"""What Slurm's word about a job means for the run, beside what the fences wrote. Pure.

Slurm is asked where a fence cannot know: it was told to end and not by us, a process was
killed, or a record is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from agent.backends import Exit, Reason
from agent.backends.filed import is_run_name
from agent.slurm.from_text import SlurmJob
from agent.slurm.layout import TOLD_TO_END

SLURM_SAYS = "Slurm says "
# The codes under which people are told why the site itself ended a run.
SITE_STOPPED, SITE_PREEMPTED, NOT_STARTED = "SitePaused", "SitePreempted", "NotEnoughCards"
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
        "PREEMPTED": (Reason.STOPPED, SITE_PREEMPTED),
        "CANCELLED": (Reason.STOPPED, SITE_STOPPED),
        "REVOKED": (Reason.STOPPED, SITE_STOPPED),
    }
)


def words_of(jobs: Iterable[SlurmJob]) -> dict[str, SlurmJob]:
    """The jobs that are runs of ours, by name; of two of one name the newer."""
    words: dict[str, SlurmJob] = {}
    for job in jobs:
        known = words.get(job.name)
        if is_run_name(job.name) and (known is None or job.id > known.id):
            words[job.name] = job
    return words


def is_open_to_doubt(ended: Exit) -> bool:
    """Whether Slurm may know better than the fences why it ended."""
    if ended.reason is Reason.STOPPED:
        return ended.detail == TOLD_TO_END or ended.detail.startswith(SLURM_SAYS)
    return ended.reason is Reason.UNKNOWN or ended.exit_code == KILLED


def judged(ended: Exit, word: SlurmJob | None, wish: str) -> Exit:
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
