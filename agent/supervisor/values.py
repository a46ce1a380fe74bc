"""The frozen values that the supervisor decides on: grants in, attempts held, reports out.

Two clocks, never mixed: `elapsed` seconds measure leases, `wall` seconds date what people
read. Knows names, numbers and text; neither the wire nor the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from math import inf

from agent.backends import Launch, LeaseClass, NodeShare
from scheduler.model import Slice

DATASET = "ds://"


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on both clocks."""

    elapsed: float  # seconds of `agent.clock.lease_now`
    wall: float  # seconds since 1970


class Mode(StrEnum):
    """What the site's operator allows."""

    OPEN = "open"
    CANARY = "canary"  # the jobs of some tenants only, to try the site out
    SHADOW = "shadow"  # it reports, and takes nothing yet
    DRAINING = "draining"  # nothing new, until all is over
    PAUSED = "paused"  # nothing new: the kill switch


class Phase(StrEnum):
    """Where an attempt is in its life here."""

    ACCEPTED = "accepted"  # in the journal; the backend has not confirmed it
    RUNNING = "running"  # the backend has it
    PUBLISHING = "publishing"  # its run is over; what it left goes to a store, then its end is told
    ENDED = "ended"  # over for good; its last report waits for acknowledgement


class ReportKind(StrEnum):
    """What a report says."""

    REJECTED = "rejected"  # never started, never will be
    STARTED = "started"
    RELEASED = "released"  # its run is over, its end is told later
    COMMITTED = "committed"  # something that it wrote is whole at a store
    ENDED = "ended"

    @property
    def concludes(self) -> bool:
        """Whether nothing is reported of the attempt after it."""
        return self in (ReportKind.REJECTED, ReportKind.ENDED)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, and who can mend it."""

    category: str  # "user" | "site" | "broker" | "network" | "policy"
    code: str  # stable CamelCase
    message: str = ""


@dataclass(frozen=True, slots=True)
class AttemptId:
    """One attempt: a job and its fencing epoch."""

    job_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class TaskInput:
    """Data that a task reads: `ds://<dataset>` or a URL."""

    path: str  # where the job finds it
    source: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """What a task writes below its output directory, and where it is to be published."""

    path: str
    destination: str = ""  # a URL, or `ds://<dataset>`; "": the site's own store
    always: bool = False  # also when it fails

    @property
    def becomes_dataset(self) -> bool:
        return self.destination.startswith(DATASET)

    @property
    def store(self) -> str:
        """The URL that it is published to; "": the site's own store, where datasets go too."""
        return "" if self.becomes_dataset else self.destination


@dataclass(frozen=True, slots=True)
class Commit:
    """Outputs or a checkpoint of one attempt that are whole at a store."""

    kind: str  # "outputs" | "checkpoint"
    epoch: int
    number: int  # of its kind within the attempt, ascending
    url: str  # of the manifest
    sha256: str  # of the manifest
    size_bytes: int  # of all files together
    files: int
    path: str = ""  # of outputs: as the job names it


@dataclass(frozen=True, slots=True)
class Task:
    """What one variant of a spec asks a site to run: the same for all who share the spec."""

    num_nodes: int
    cards_per_node: int
    run: str  # shell text
    setup: str = ""
    model: str = ""  # the accelerator it names; "": any of the pool
    image: str = ""  # in which it runs; "": natively
    launch: Launch = Launch.PER_NODE
    environment: tuple[tuple[str, str], ...] = ()
    working_directory: str = ""
    time_limit_seconds: float = 0.0  # 0: none
    grace_seconds: float = 30.0
    cpus_per_node: int = 0  # 0: as many as go with the cards
    memory_gib_per_node: float = 0.0  # 0: as much as goes with the cards
    bundle_sha256: str = ""  # to fetch before it starts; "": none
    inputs: tuple[TaskInput, ...] = ()  # to be readable before it starts
    priority: int = 0
    preemptible: bool = True  # false: stopped last
    outputs: tuple[TaskOutput, ...] = ()
    retried: bool = False  # tried again also when it fails by its own fault

    @property
    def ranks(self) -> int:
        per_card = self.launch is Launch.PER_CARD
        return self.num_nodes * (self.cards_per_node if per_card else 1)


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to run one attempt; the lease counts from when heartbeat `anchor_seq` left."""

    name: str  # suan-<job>-<epoch>
    job_id: str
    epoch: int
    grant_seq: int
    anchor_seq: int
    pool: str
    slices: tuple[Slice, ...]
    lease_class: LeaseClass
    lease_seconds: float
    tenant: str
    task: Task | Failure  # or why nobody can tell what to run
    job_name: str = ""
    preempted_count: int = 0
    array_id: str = ""
    array_index: int = 0
    data: tuple[tuple[str, str], ...] = ()  # (dataset, where to read it: a path or a URL)
    restore: Commit | None = None  # the checkpoint that it goes on from


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that this site holds."""

    name: str  # suan-<job>-<epoch>
    job_id: str
    epoch: int
    phase: Phase
    pool: str
    nodes: tuple[NodeShare, ...]  # what it occupies
    ranks: int
    lease_class: LeaseClass
    lease_seconds: float
    accepted_at: float  # elapsed seconds
    deadline: float  # elapsed seconds: the lease's end as granted, before any renewal
    stop_reason: str = ""  # why it was asked to end; "": it was not
    priority: int = 0
    preemptible: bool = True
    outputs: tuple[TaskOutput, ...] = ()
    retried: bool = False

    def at(self, phase: Phase) -> Attempt:
        """This attempt in another phase; spelt out, for it happens to every job."""
        return Attempt(
            self.name,
            self.job_id,
            self.epoch,
            phase,
            self.pool,
            self.nodes,
            self.ranks,
            self.lease_class,
            self.lease_seconds,
            self.accepted_at,
            self.deadline,
            self.stop_reason,
            self.priority,
            self.preemptible,
            self.outputs,
            self.retried,
        )

    @property
    def live(self) -> bool:
        """Whether the broker waits for its end."""
        return self.phase is not Phase.ENDED

    @property
    def holds_cards(self) -> bool:
        return self.phase in (Phase.ACCEPTED, Phase.RUNNING)

    @property
    def fenced(self) -> bool:
        """Whether its lease's end is its own end."""
        return self.lease_class is LeaseClass.RESTART


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt as the broker is told of it."""

    id: AttemptId
    phase: Phase
    remaining_seconds: float


@dataclass(frozen=True, slots=True)
class Mark:
    """The highest epoch of a job that was taken, refused or promised never to start."""

    epoch: int
    raised_at: float  # wall seconds, never earlier than that of a mark before it


@dataclass(frozen=True, slots=True)
class Recalled:
    """Cards of a pool that the site wants for itself."""

    pool: str
    cards_max: int  # that runs may hold meanwhile
    stop_at: float  # wall seconds: from then on what holds more is stopped
    until: float  # wall seconds: until then they are kept back; `NEVER`: until they are released


@dataclass(frozen=True, slots=True)
class Report:
    """One line of the outbox, sent again until the broker acknowledges it."""

    report_seq: int
    name: str
    job_id: str
    epoch: int
    kind: ReportKind
    at: float  # wall seconds
    exit_code: int = 0
    outcome: str = ""  # of a report that ends an attempt
    failure: Failure | None = None
    commit: Commit | None = None  # of kind COMMITTED


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits and intervals of the supervisor, and the site's own rules."""

    site: str = ""
    start_margin_seconds: float = 5.0  # a lease with less left is not worth a start
    heartbeat_seconds: float = 10.0  # until the broker asks for another interval
    heartbeat_jitter: float = 0.1  # ± this fraction
    silence_seconds: float = 45.0  # without a word from the broker: a new session
    anchors_max: int = 128  # heartbeats that a grant may still name
    report_batch_max: int = 500  # reports in one message
    reports_in_flight_max: int = 5_000  # sent and not acknowledged
    outbox_max: int = 50_000  # with more reports waiting, grants are left unanswered
    report_resend_seconds: float = 30.0  # without progress
    capacity_pause_seconds: float = 0.02  # between two messages
    capacity_full_seconds: float = 60.0  # between two full ones
    marks_max: int = 100_000
    ended_max: int = 10_000  # ended runs whose logs are kept
    ended_seconds: float = 86_400.0
    sweep_seconds: float = 1.0  # between two looks at leases and limits
    tenants_allowed: tuple[str, ...] = ()  # empty: all
    tenants_denied: tuple[str, ...] = ()
    tenants_mapped: tuple[str, ...] = ()  # to a local account; empty: all
    runs_images: bool = False  # jobs may run in container images
    time_limit_seconds_max: float = 0.0  # 0: none
    has_store: bool = False  # checkpoints and outputs are published
    destinations: tuple[str, ...] = ()  # beginnings of the URLs that jobs may publish to
    time_zone: tzinfo = UTC  # of the pools' windows


# The versions of the session's protocol that this agent speaks.
# 2: brings back what `Grant.restore` names; 3: datasets are written, and read by manifests
PROTOCOL_MIN, PROTOCOL_MAX = 1, 3

NEVER = inf  # a lease that time does not end
LONG_AGO = -inf  # a lease's end of which only this is known: it has passed
