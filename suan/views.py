"""What the SDK answers besides jobs: offers, explanations, sites, data, tenants, audit.

Each class mirrors the message of the same name in `suan.v1`, field by field, and is made
from it by `suan.reading`. Values only; units stand last in each name; every instant is
wall seconds since 1970, UTC, 0.0: never.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.model import Candidate, Quota, Rejection, Suggestion, Verdict
from suan.models import Failure, Job

# --- jobs -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Submission:
    """One job that was sent; `failure` and `hint` say why when it was not accepted."""

    id: str
    array_id: str
    array_index: int
    accepted: bool
    existed: bool  # the same submission had been accepted before
    failure: Failure | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class KeptLog:
    """The site of a log cannot be asked; what it had sent to the broker is read instead.

    At most the newest part of each stream, and without what carriage returns overwrote.
    """

    code: str  # why it cannot be asked: "SiteAway", "LogsForgotten" …
    site: str
    at: float  # until when, in wall seconds there
    at_end: bool  # the attempt has ended, and its last output is there


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Bytes of one stream of one rank, in order; a chunk may end within a line.

    The first that was kept may be empty, to say so.
    """

    rank: int
    stream: str  # "stdout" | "stderr"
    data: bytes
    epoch: int
    offset: int = 0  # of the first byte of `data` in this stream of this rank and attempt
    kept: KeptLog | None = None  # set: not from the site, which cannot be asked


# --- why --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job is where it is, or where it would go: the scheduler's own record."""

    verdict: Verdict
    examined_pools: int
    examined_cards: int
    rejections: tuple[Rejection, ...] = ()  # in the order of the conditions: counts add up
    candidates: tuple[Candidate, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    position: int = 0  # jobs ahead in the queue
    decided_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """What is unusual about a job now: its site does not answer. It passes by itself."""

    code: str  # "SiteSuspect" | "AttemptUnknown"
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Explained:
    job: Job
    explanation: Explanation
    condition: Condition | None = None


# --- supply -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offer:
    """What a pool puts at the federation's disposal now, in physical cards."""

    site: str
    pool: str
    accelerator: str
    cards_free: int
    cards_usable: int
    cards_total: int
    cards_per_node: int
    yuan_per_card_hour: float
    site_state: str
    reported_at: float
    fits_now: bool
    city: str
    supernodes: int


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One model of accelerator: figures per card, dense peaks in TFLOP/s (INT8 in TOP/s)."""

    model: str
    vendor: str
    kind: str  # "npu" | "dcu" | "gpu"
    aliases: tuple[str, ...]
    dies_per_card: int
    memory_gib: float
    memory_tb_per_second: float
    peak_tflops: tuple[tuple[str, float], ...]  # by precision
    supernode_cards: int
    power_watts: float


@dataclass(frozen=True, slots=True)
class Supernode:
    """Free cards of one scale-up domain: `nodes_by_free[k]` nodes have exactly k free cards."""

    name: str
    nodes_by_free: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Cards that a site's own jobs are expected to give back."""

    cards: int
    ends_at: float  # wall seconds at the site


@dataclass(frozen=True, slots=True)
class Pool:
    """The accelerators of one model on one fabric within a site."""

    name: str
    accelerator: str
    cards_per_node: int
    cards_total: int
    cards_usable: int  # less the faulty and the kept back
    supernodes: tuple[Supernode, ...]
    cpus_per_node: int
    memory_gib_per_node: float
    yuan_per_card_hour: float
    utilisation: float
    linearity: tuple[tuple[int, float], ...]  # (cards, measured fraction), ascending
    raw_name: str  # what the site itself calls it
    software: tuple[str, ...] = ()  # stacks on its nodes
    time_limit_seconds_max: float = 0.0  # of one job; 0: none
    releases: tuple[Release, ...] = ()

    @property
    def cards_free(self) -> int:
        return sum(
            cards * nodes
            for supernode in self.supernodes
            for cards, nodes in enumerate(supernode.nodes_by_free)
        )


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What a site says of itself, beyond its pools."""

    city: str
    region: str
    pue: float
    grid_kg_per_kwh: float
    failures_per_card_day: float
    restart_seconds: float
    tenants_allowed: tuple[str, ...]
    tenants_denied: tuple[str, ...]
    time_limit_seconds_max: float
    agent_version: str
    backend: str
    paused: bool  # the site's own kill switch
    rules: tuple[str, ...] = ()  # of its cluster manager, one line each
    checkpoint_gb_per_second: float = 0.0  # that one gang can write; 0: not stated
    egress_yuan_per_gb: float = 0.0  # asked for bytes that leave the site
    runs_images: bool = False  # jobs in container images
    has_store: bool = False  # what jobs write can become datasets


@dataclass(frozen=True, slots=True)
class Site:
    """A site as the broker knows it."""

    name: str
    state: str  # "open" | "paused" | "draining" | "suspect" | "lost" | "unseen"
    facts: SiteFacts
    pools: tuple[Pool, ...]
    last_heard_at: float
    cards_leased: int
    attempts: int
    reason: str  # why it is drained
    registered_at: float
    certificate_fingerprint: str
    drain_by: float = 0.0  # when what still runs there is stopped; 0.0: it runs on


# --- administration ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JoinToken:
    """One use, one site, until `expires_at`; `token` is a secret."""

    token: str
    expires_at: float
    ca_pem: bytes
    join_address: str


@dataclass(frozen=True, slots=True)
class PendingJoin:
    site: str
    fingerprint: str  # of the site's key, to compare by telephone
    requested_at: float


@dataclass(frozen=True, slots=True)
class MaintenanceSite:
    """`extended`: it has made the longer leases durable."""

    name: str
    state: str
    attempts: int
    extended: bool


@dataclass(frozen=True, slots=True)
class Maintenance:
    """An announced absence of the broker, of up to `seconds`."""

    seconds: float
    announced_at: float
    announced_by: str
    extension_seconds: float  # for which leases are still extended; 0.0: a later leader has begun
    takeback_seconds: float  # before which no lease is taken back
    sites: tuple[MaintenanceSite, ...]


@dataclass(frozen=True, slots=True)
class Counter:
    """How often the broker heard something that had no effect, since its leader began."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act; `hash` chains it to the one before."""

    seq: int
    at: float
    actor: str
    action: str
    object: str
    detail: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Project:
    """One account of a tenant: its part of what is the tenant's."""

    name: str
    weight: float = 0.0  # fair share among the tenant's projects; 0: 1.0
    quotas: tuple[Quota, ...] = ()


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    queued_jobs_max: int = 0  # 0: the federation's default
    weight: float = 0.0  # fair share; 0: 1.0
    suspended: bool = False
    quotas: tuple[Quota, ...] = ()
    projects: tuple[Project, ...] = ()  # those with a weight or a quota of their own


@dataclass(frozen=True, slots=True)
class Replica:
    site: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    size_bytes: int
    replicas: tuple[Replica, ...]
    regions_allowed: tuple[str, ...] = ()  # residency; empty: anywhere


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """What applying a network file did, or would do."""

    nodes: int
    links: int
    changed: bool
