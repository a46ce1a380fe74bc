"""The values that users of the SDK hold: a job's spec, and a job as the broker knows it.

Each class mirrors the message of the same name in `suan.v1.job`; `suan.wire` converts.
Nothing here knows protobuf, YAML or any other part of Suan: values and the standard
library only, cheap to import. Units stand last in each name; every instant is wall
seconds since 1970, UTC. Zero, the empty string and `None` mean "not stated".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

# --- the wish ---------------------------------------------------------------


class Launch(StrEnum):
    """How many processes the agent starts."""

    PER_NODE = "per-node"
    PER_CARD = "per-card"  # RANK, WORLD_SIZE … are set


@dataclass(frozen=True, slots=True)
class AcceleratorClass:
    """Any accelerator that reaches these figures (dense, per card)."""

    precision: str = "bf16"
    tflops_min: float = 0.0
    memory_gib_min: float = 0.0


@dataclass(frozen=True, slots=True)
class Topology:
    """How close the nodes of a gang must be; `num_nodes` 0: all of them."""

    scope: str  # "node" | "supernode" | "site"
    num_nodes: int = 0
    required: bool = False  # else preferred


@dataclass(frozen=True, slots=True)
class Variant:
    """One acceptable way to run a job: a gang of num_nodes × accelerators_per_node cards."""

    accelerator: str | AcceleratorClass  # canonical model, or a class of models
    num_nodes: int = 1
    accelerators_per_node: int = 1
    cpus_per_node: int = 0
    memory_gib_per_node: float = 0.0
    topology: Topology | None = None
    image: str = ""  # empty: run natively
    setup: str = ""  # shell text, once per node before `run`
    run: str = ""  # shell text
    software: str = ""  # stack that its nodes must have, e.g. "cann>=8.0"

    @property
    def cards(self) -> int:
        return self.num_nodes * self.accelerators_per_node


@dataclass(frozen=True, slots=True)
class Input:
    path: str  # where the job finds it
    source: str  # "ds://<dataset>" or a URL
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    path: str  # below the job's output directory
    destination: str = ""  # a URL; "": the store of the site where it runs
    when: str = "success"  # "success" | "always"
    size_bytes: int = 0  # expected


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to do: `seconds` measured on `cards` cards of `accelerator`,
    or `flops` operations at `precision`, or a model of `parameters` weights trained on
    `tokens`; all zero: unknown."""

    seconds: float = 0.0
    accelerator: str = ""
    cards: int = 0
    flops: float = 0.0
    precision: str = ""
    fallbacks: tuple[str, ...] = ()  # precisions instead, most wanted first; empty: wider ones
    tokens: float = 0.0
    parameters: float = 0.0
    family: str = ""  # jobs that learn from each other's runs; empty: by the job's name


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a job writes to go on from after a failure."""

    size_bytes: int = 0
    every_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempts after the first, and the failure codes or categories that allow one."""

    max: int = 0
    on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """`seconds` 0: the default of the class."""

    lease_class: str = "restart"  # "restart" | "proof" | "overlap"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Where:
    sites_allowed: tuple[str, ...] = ()  # empty: anywhere
    sites_denied: tuple[str, ...] = ()
    span: str = "single-site"  # "single-site" | "multi-site"
    yuan_max: float = 0.0
    prefer: tuple[str, ...] = ()  # "finish" | "cost" | "energy", most wanted first
    users_at: str = ""  # where its users are: a city of the network, or a region
    latency_ms_max: float = 0.0  # one way, from the users to its site; 0: no limit


@dataclass(frozen=True, slots=True)
class ArrayRange:
    """Indexes first..last (inclusive) by step; `parallel_max` 0: no limit."""

    first: int
    last: int
    step: int = 1
    parallel_max: int = 0

    def indexes(self) -> range:
        return range(self.first, self.last + 1, self.step)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A small archive of the user's working directory, addressed by content."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class JobSpec:
    """The wish: what to run, on what, with which data. Immutable once submitted."""

    variants: tuple[Variant, ...]  # most wanted first
    name: str = ""
    environment: tuple[tuple[str, str], ...] = ()  # (name, value), ascending by name
    secrets: tuple[str, ...] = ()  # names only
    working_directory: str = ""
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    work: Work = field(default_factory=Work)
    time_limit_seconds: float = 0.0
    grace_seconds: float = 0.0  # between SIGTERM and SIGKILL
    retry: Retry = field(default_factory=Retry)
    lease: Lease = field(default_factory=Lease)
    where: Where = field(default_factory=Where)
    priority: int = 0
    deadline_at: float = 0.0  # wall seconds by which it should have ended; 0.0: none
    preemptible: bool = True  # may be stopped for others, to go on elsewhere
    account: str = ""
    funding: tuple[str, ...] = ()  # "voucher:<id>" | "balance", in order of use
    array: ArrayRange | None = None
    launch: Launch = Launch.PER_NODE
    bundle: Bundle | None = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)


# --- the job as the broker knows it -----------------------------------------


class JobState(StrEnum):
    QUEUED = "QUEUED"
    PLACED = "PLACED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"  # a state that this version has no word for

    @property
    def terminal(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class AttemptState(StrEnum):
    OFFERED = "OFFERED"
    STAGING = "STAGING"
    RUNNING = "RUNNING"
    ORPHANED = "ORPHANED"
    ENDED = "ENDED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, and who can mend it (`category`, see `errors.Category`)."""

    category: str
    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one site; its number is the fencing epoch."""

    epoch: int
    state: AttemptState
    site: str
    pool: str = ""
    accelerator: str = ""
    cards: int = 0
    num_nodes: int = 0
    placed_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    # "succeeded" | "failed" | "cancelled" | "lost" | "rejected" | "preempted" | "superseded"
    outcome: str = ""
    exit_code: int = 0
    failure: Failure | None = None
    staged_bytes: int = 0  # of its inputs, while they are fetched
    staging_bytes: int = 0  # in all, as far as it is known; 0: nothing is fetched now
    released_at: float = 0.0  # its run was over and its cards free, while its outputs went out


@dataclass(frozen=True, slots=True)
class Commit:
    """Outputs or a checkpoint that are whole at a store; the manifest at `url` lists the files."""

    kind: str  # "outputs" | "checkpoint"
    epoch: int  # of the attempt
    number: int  # of its kind within the attempt, ascending
    url: str
    sha256: str  # of the manifest
    size_bytes: int  # of all files together
    files: int
    site: str
    at: float
    path: str = ""  # of outputs: as the job names it
    dataset: str = ""  # which an output has become; "": none


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    state: JobState
    name: str = ""
    tenant: str = ""
    project: str = ""
    user: str = ""
    submitted_at: float = 0.0
    finished_at: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    failure: Failure | None = None
    array_id: str = ""
    array_index: int = 0
    revision: int = 0
    priority: int = 0
    spec_sha256: str = ""
    exit_code: int = 0
    condition: str = ""  # a code, while its site does not answer: "AttemptUnknown"
    checkpoint: Commit | None = None  # the last one: the next attempt goes on from it
    outputs: tuple[Commit, ...] = ()  # of the newest attempt that committed any
