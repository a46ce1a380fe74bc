"""What Slurm's word about a job means for the run; `agent.backends.judge` weighs it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.backends import Reason
from agent.backends.filed import is_run_name
from agent.backends.judge import SITE_PREEMPTED, SITE_STOPPED, Meaning
from agent.slurm.from_text import SlurmJob

# Slurm's state of a job that is over -> why the run ended, and what to tell people.
_ENDS: Mapping[str, Meaning] = MappingProxyType(
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


@dataclass(frozen=True, slots=True)
class SlurmWord:
    """What Slurm says of a run of ours; see `agent.backends.judge.Word`."""

    job: SlurmJob

    @property
    def state(self) -> str:
        return self.job.state

    @property
    def reason(self) -> str:
        return self.job.reason

    @property
    def may_wait(self) -> bool:
        return self.job.state == "PENDING"

    @property
    def is_over(self) -> bool:
        return self.job.is_over

    @property
    def is_proof(self) -> bool:
        return self.job.is_proof

    @property
    def meaning(self) -> Meaning | None:
        return _ENDS.get(self.job.state)


def words_of(jobs: Iterable[SlurmJob]) -> dict[str, SlurmWord]:
    """The jobs that are runs of ours, by name; of two of one name the newer."""
    words: dict[str, SlurmWord] = {}
    for job in jobs:
        known = words.get(job.name)
        if is_run_name(job.name) and (known is None or job.id > known.job.id):
            words[job.name] = SlurmWord(job)
    return words
