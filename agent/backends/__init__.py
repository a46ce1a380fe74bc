"""The contract that every cluster manager fulfils: start, find, renew, stop, tell.

Values in, values out. This module knows names, numbers and text only: it does no I/O
and imports nothing of the agent, so the pure rooms may use its values. A backend knows
its cluster manager and nothing of the broker, of leases' length or of the journal.

Promises that every backend keeps:
- a run has one name, `suan-<job>-<epoch>`, for ever; submitting that name again does nothing;
- a run never begins after its lease has ended, and a run of class `restart` is dead when
  its lease ends, whether or not the agent lives (the fence beside the job sees to it);
- a gang starts whole and ends whole;
- every run that began, or was refused after `submit` returned, yields an `Exit`, also when
  it ended while the agent was dead.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Launch(StrEnum):
    """How many processes a gang has."""

    PER_NODE = "per-node"  # one on each node
    PER_CARD = "per-card"  # one for each card; RANK, WORLD_SIZE … are set


class LeaseClass(StrEnum):
    """What the site does when a lease ends."""

    RESTART = "restart"  # the fence stops the run
    PROOF = "proof"  # the run goes on; only proof of its death frees the job
    OVERLAP = "overlap"  # the run goes on beside its replacement


class Reason(StrEnum):
    """Why a run is over. Only EXITED with exit code 0 is a success."""

    EXITED = "Exited"  # its ranks ended by themselves
    TIME_LIMIT = "TimeLimit"
    LEASE_ENDED = "LeaseEnded"  # not renewed in time: at work or before it began
    STOPPED = "Stopped"  # `stop` was called; `detail` repeats its reason
    LAUNCH_FAILED = "LaunchFailed"  # no rank ever ran, or the gang could not start whole
    OUT_OF_MEMORY = "OutOfMemory"  # only where the cluster manager proves it
    MACHINE_REBOOTED = "MachineRebooted"  # the run died with its machine
    UNKNOWN = "Unknown"  # it is dead, and nothing tells why


class Phase(StrEnum):
    """Where a run is in its life."""

    STARTING = "starting"  # accepted; perhaps still in `setup`
    RUNNING = "running"  # all ranks of `run` were started
    EXITED = "exited"  # dead, and proven so


class Stream(StrEnum):
    """Which output of a rank."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class NodeShare:
    """The part of one node that a run holds."""

    name: str
    address: str  # where the other ranks reach this node
    devices: tuple[int, ...]  # device numbers as the vendor's runtime counts them (dies)


@dataclass(frozen=True, slots=True)
class RunOrder:
    """All that a backend must know to run one attempt. Seconds; absolute paths."""

    name: str  # suan-<job>-<epoch>
    job_id: str
    epoch: int
    site: str
    nodes: tuple[NodeShare, ...]  # in order of node rank; the first is the master
    cards_per_node: int
    run: str  # shell text
    setup: str = ""  # shell text, once per node before `run`
    job_name: str = ""
    tenant: str = ""
    model: str = ""  # canonical accelerator, e.g. "ascend-910b"
    kind: str = ""  # "npu" | "dcu" | "gpu": which variables name the devices
    image: str = ""  # in which its processes are, as the job names it; "": natively
    launch: Launch = Launch.PER_NODE
    environment: tuple[tuple[str, str], ...] = ()  # the user's
    working_directory: str = ""  # absolute, or relative to the unpacked bundle
    bundle_path: str = ""  # a .tar.gz to unpack; "": none
    data_directory: str = ""  # staged inputs; "": an empty place of the run's own
    output_directory: str = ""  # "": a place of the run's own that outlives `forget`
    checkpoint_directory: str = ""  # "": one per job, so the next epoch here finds it
    time_limit_seconds: float = 0.0  # 0: none; setup counts
    grace_seconds: float = 30.0  # between SIGTERM and SIGKILL
    cpus_per_node: int = 0  # at least; 0: as many as go with the cards
    memory_gib_per_node: float = 0.0  # at least; 0: as much as goes with the cards
    lease_class: LeaseClass = LeaseClass.RESTART
    preempted_count: int = 0
    array_id: str = ""  # "": not one of an array
    array_index: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended. Written only when every process of the run is dead."""

    name: str
    exit_code: int  # of the first failing rank, by POSIX rules (128 + signal); else 0
    signal: int  # that ended that rank; 0: none
    reason: Reason
    started_at: float  # wall seconds since 1970; 0.0: never began
    ended_at: float
    rank_codes: tuple[int, ...] = ()  # by rank, POSIX rules; empty when `run` never began
    detail: str = ""  # one line for people

    @property
    def succeeded(self) -> bool:
        return self.reason is Reason.EXITED and self.exit_code == 0


@dataclass(frozen=True, slots=True)
class RunState:
    """What a backend knows of a run; `exit` is there in phase EXITED only."""

    name: str
    phase: Phase
    exit: Exit | None = None


@dataclass(frozen=True, slots=True)
class RankPlace:
    """Where the fence of a rank looks for commands, and which of its own that rank is."""

    directory: str  # absolute
    index: int
    fence_pid: int = 0  # on this machine; 0: it is on another


@dataclass(frozen=True, slots=True)
class LogPart:
    """A piece of one rank's output."""

    data: bytes
    next_offset: int
    at_end: bool  # the run has ended and nothing follows


class BackendRefused(Exception):
    """The backend will not start this run, and nothing of it was started.

    `code` is stable CamelCase: "DiskFull", "BadName", "BadShape", "BadBundle",
    "BadDirectory", "LaunchFailed", "Unavailable", those of `account` and of `container`.
    `hint` says what to do.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def run_name(job_id: str, epoch: int) -> str:
    """The one name under which a cluster manager knows attempt `epoch` of a job."""
    return f"suan-{job_id}-{epoch}"


def parse_run_name(name: str) -> tuple[str, int]:
    """Job id and epoch of a run's name; ValueError when it is not one of ours."""
    head, _, epoch = name.rpartition("-")
    if not head.startswith("suan-") or len(head) == len("suan-") or not epoch.isdecimal():
        raise ValueError(f"{name!r} is not the name of a run (suan-<job>-<epoch>)")
    return head.removeprefix("suan-"), int(epoch)


class Backend(Protocol):
    """One cluster manager. Deadlines are on the agent's clock (`agent.clock.lease_now`)."""

    async def open(self) -> None:
        """Find every run that is already here and watch it. Starts nothing."""

    async def close(self) -> None:
        """Stop watching. Runs go on; the next `open` finds them."""

    async def submit(self, order: RunOrder, deadline: float) -> None:
        """Start a run whose lease ends at `deadline`; returns once it cannot be lost.

        A name that is known already is a no-op, whatever became of it, until it is forgotten.
        Raises BackendRefused, after which nothing of the run exists. Any other exception, and
        a caller that gives up, leave open whether it was accepted: `find` says.
        """

    async def find(self, name: str) -> RunState | None:
        """The run of that name, or None when there never was one or it was forgotten.

        Of a submission without an answer None is the promise that no run will come of it any
        more: while it may still, this waits or raises.
        """

    async def list(self) -> tuple[str, ...]:
        """Names of all runs that are not forgotten, in order of name."""

    async def renew(self, name: str, deadline: float) -> None:
        """Move the end of a run's lease. Unknown and ended runs are left alone."""

    async def stop(self, name: str, reason: str) -> None:
        """Ask a run to end: SIGTERM, its grace, SIGKILL. Returns at once; an Exit follows.

        Unknown and ended runs are left alone.
        """

    def exits(self) -> AsyncIterator[Exit]:
        """Each run's end, at least once in this process, for one reader.

        Runs that ended before `open` and are not forgotten come first, so the reader
        must take the same Exit twice without harm. Ends after `close`.
        """

    async def read_log(
        self, name: str, rank: int, stream: Stream, offset: int, limit_bytes: int
    ) -> LogPart:
        """At most `limit_bytes` of a rank's output from `offset`; KeyError if unknown."""

    async def log_sizes(self, name: str) -> Mapping[tuple[int, Stream], int]:
        """How many bytes each rank has written so far; KeyError if unknown."""

    async def log_offset(self, name: str, rank: int, stream: Stream, since: float) -> int:
        """Where the lines of `since` (wall seconds here) begin in a rank's output.

        Nothing written at or after `since` lies before it; earlier lines may follow it, and
        all of them do (0) where the backend cannot tell. KeyError if unknown.
        """

    async def roots(self, name: str) -> Mapping[str, str]:
        """The directories of a run that its users may read, by the names they have for them.

        Absolute paths; some may not exist. KeyError if there are none, or none any more.
        """

    async def beside(self, name: str, rank: int) -> RankPlace:
        """Where commands are put that run beside a rank, for its fence to start.

        Raises KeyError for what does not run, BackendRefused (ExecUnsupported) where there is
        no fence, (NoSuchRank).
        """

    async def forget(self, name: str) -> None:
        """Remove what is kept of an ended run, its logs too. A live run raises ValueError."""
