"""What Ray's word about a submission means for the run; `agent.backends.judge` weighs it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.backends import Reason
from agent.backends.filed import is_run_name
from agent.backends.judge import NOT_STARTED, SITE_STOPPED, Meaning
from agent.ray.driver import ENDED_BADLY, NODE_LOST, NOT_PLACED, OUT_OF_MEMORY
from agent.ray.read import RayJob

PROOFS = (0, ENDED_BADLY)  # of the driver: every fence has ended
_NO_MEMORY = (Reason.OUT_OF_MEMORY, "Ray: out of memory")
_LOST = (Reason.MACHINE_REBOOTED, "Ray: a node of it failed")
_NOT_LAUNCHED = (Reason.LAUNCH_FAILED, "Ray: it could not be started")
_BY_EXIT_CODE: Mapping[int, Meaning] = MappingProxyType(
    {
        NODE_LOST: _LOST,
        OUT_OF_MEMORY: _NO_MEMORY,
        NOT_PLACED: (Reason.STOPPED, NOT_STARTED),
    }
)
_BY_ERROR: Mapping[str, Meaning] = MappingProxyType(
    {
        "JOB_SUPERVISOR_ACTOR_DIED": _LOST,
        "JOB_SUPERVISOR_ACTOR_START_TIMEOUT": (Reason.STOPPED, NOT_STARTED),
        "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE": _NOT_LAUNCHED,
        "JOB_SUPERVISOR_ACTOR_START_FAILURE": _NOT_LAUNCHED,
        "RUNTIME_ENV_SETUP_FAILURE": _NOT_LAUNCHED,
        "JOB_ENTRYPOINT_COMMAND_START_ERROR": _NOT_LAUNCHED,
    }
)


@dataclass(frozen=True, slots=True)
class RayWord:
    """What Ray says of a run of ours; see `agent.backends.judge.Word`."""

    job: RayJob

    @property
    def state(self) -> str:
        return self.job.state

    @property
    def reason(self) -> str:
        return self.job.reason

    @property
    def may_wait(self) -> bool:
        """A driver that runs may still wait for its placement group."""
        return not self.job.is_over

    @property
    def is_over(self) -> bool:
        return self.job.is_over

    @property
    def is_proof(self) -> bool:
        return self.job.is_over and self.job.exit_code in PROOFS

    @property
    def meaning(self) -> Meaning | None:
        job = self.job
        if job.state == "STOPPED":
            return Reason.STOPPED, SITE_STOPPED
        if job.state != "FAILED":
            return None
        if (told := _BY_EXIT_CODE.get(job.exit_code or 0)) is not None:
            return told
        if "low on memory" in job.message:
            return _NO_MEMORY
        return _BY_ERROR.get(job.error)


def words_of(jobs: Iterable[RayJob]) -> dict[str, RayWord]:
    """The submissions that are runs of ours, by name."""
    return {job.name: RayWord(job) for job in jobs if is_run_name(job.name)}
