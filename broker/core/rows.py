"""The durable rows: what the store holds, one frozen value each, with its key.

Replaying the rows gives the state. A row says nothing of how it is encoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from broker.core.commit import Commit as Commit
from broker.core.lifecycle import JOB_TERMINAL, AttemptState, JobState
from scheduler import model
from scheduler.model import Demand, Fetch, Link, NetworkNode, Quota, Score, Slice


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed: category user | site | broker | network | policy | money."""

    category: str
    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Yielding:
    """Why an attempt was asked to stop before its end: to make room for another job."""

    at: float  # wall seconds
    job_id: str  # that is to start
    tenant: str  # whose job that is
    reason: str  # a value of PreemptionReason
    lost_card_seconds: float  # of work, as it was reckoned then


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one site; `epoch` is the fencing token. Times are wall seconds."""

    epoch: int
    site: str
    pool: str  # pool key: site/name
    accelerator: str
    variant: int
    slices: tuple[Slice, ...]
    placed_at: float
    state: AttemptState = AttemptState.OFFERED
    started_at: float = 0.0
    ended_at: float = 0.0
    outcome: str = ""  # succeeded | failed | cancelled | lost | rejected | preempted | superseded
    exit_code: int = 0
    failure: Failure | None = None
    score: Score | None = None
    yielding: Yielding | None = None
    fetches: tuple[Fetch, ...] = ()  # inputs that come from other sites
    released_at: float = 0.0  # its run is over and its cards are free, while its outputs go out
    regions: tuple[str, ...] = ()  # which what it was told to read may not leave; empty: any

    @property
    def cards(self) -> int:
        return sum(part.nodes * part.cards for part in self.slices)

    @property
    def nodes(self) -> int:
        return sum(part.nodes for part in self.slices)

    @property
    def waits_for_inputs(self) -> bool:
        """Whether something must come from elsewhere before it starts."""
        return bool(self.fetches) and self.live and not self.started_at

    @property
    def live(self) -> bool:
        return self.state is not AttemptState.ENDED

    @property
    def cards_held(self) -> int:
        return self.cards if self.holds_cards else 0

    @property
    def holds_cards(self) -> bool:
        return self.live and not self.released_at


@dataclass(frozen=True, slots=True)
class Job:
    """One wish and all its attempts. Rewritten as a whole at each change."""

    id: str
    tenant: str
    project: str
    user: str
    name: str
    spec_sha256: str
    submitted_at: float
    priority: int = 0
    array_id: str = ""
    array_index: int = 0
    state: JobState = JobState.QUEUED
    attempts: tuple[Attempt, ...] = ()
    failure: Failure | None = None
    finished_at: float = 0.0
    revision: int = 0
    checkpoint: Commit | None = None  # the last one: the next attempt goes on from it
    outputs: tuple[Commit, ...] = ()  # of the newest attempt that committed any

    @property
    def key(self) -> str:
        return f"job/{self.id}"

    @property
    def terminal(self) -> bool:
        return self.state in JOB_TERMINAL

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt, if any."""
        return self.attempts[-1] if self.attempts else None

    @property
    def live_attempt(self) -> Attempt | None:
        """The attempt on which the job waits: the newest, unless it has ended or was replaced."""
        newest = self.attempts[-1] if self.attempts else None
        if newest is None or not newest.live or self.state is JobState.QUEUED:
            return None
        return newest

    @property
    def copies(self) -> tuple[Attempt, ...]:
        """Attempts that were replaced although they may be alive: class `overlap` only."""
        older = self.attempts if self.state is JobState.QUEUED else self.attempts[:-1]
        return tuple(attempt for attempt in older if attempt.live)

    def attempt_of(self, epoch: int) -> Attempt | None:
        """The attempt of this epoch, if it is kept."""
        return next((each for each in self.attempts if each.epoch == epoch), None)


@dataclass(frozen=True, slots=True)
class Spec:
    """A job specification: its bytes as transmitted and what the core needs of them."""

    sha256: str
    data: bytes = field(repr=False)
    name: str
    demand: Demand
    priority: int = 0
    retry_max: int = 0
    retry_on: tuple[str, ...] = ()
    lease_class: str = "restart"  # restart | proof | overlap
    lease_seconds: float = 600.0
    parallel_max: int = 0  # of an array; 0: no limit
    bundle_sha256: str = ""  # of the archive that it unpacks, if any
    writes: tuple[tuple[str, str], ...] = ()  # (path of an output, dataset that it becomes)

    @property
    def key(self) -> str:
        return f"spec/{self.sha256}"

    @property
    def ended_by_time(self) -> bool:
        """Whether its site ends it with its lease; a class that is not known here is ended too."""
        return self.lease_class not in ("proof", "overlap")


@dataclass(frozen=True, slots=True)
class Site:
    """A registered site. What it offers is soft state and not here."""

    name: str
    registered_at: float
    certificate_fingerprint: str = ""
    agent_id: str = ""  # of the agent that was welcomed last: only it can speak for its attempts
    draining: bool = False
    reason: str = ""
    drain_by: float = 0.0  # wall seconds at which what still runs is stopped; 0: it runs on

    @property
    def key(self) -> str:
        return f"site/{self.name}"


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A one-use token: only the hash of its secret is kept. Times are wall seconds."""

    id: str
    secret_sha256: str
    site: str
    expires_at: float
    created_by: str = ""
    key_sha256: str = ""  # of the public key that used it first; binds the token to it
    used_at: float = 0.0

    @property
    def key(self) -> str:
        return f"token/{self.id}"


@dataclass(frozen=True, slots=True)
class PendingJoin:
    """A site's request for a certificate; approved when `certificate_pem` is there."""

    site: str
    csr_pem: bytes = field(repr=False)
    fingerprint: str
    requested_at: float
    token_id: str
    certificate_pem: bytes = field(default=b"", repr=False)

    @property
    def key(self) -> str:
        return f"join/{self.site}"


@dataclass(frozen=True, slots=True)
class Project:
    """One account of a tenant: its part of what is the tenant's."""

    name: str
    weight: float = 1.0
    quotas: tuple[Quota, ...] = ()


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation that submits jobs."""

    name: str
    queued_jobs_max: int = 0  # 0: the federation's default
    weight: float = 1.0
    suspended: bool = False
    quotas: tuple[Quota, ...] = ()
    projects: tuple[Project, ...] = ()  # those with a weight or a quota of their own

    @property
    def key(self) -> str:
        return f"tenant/{self.name}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Cards that a project has held on average up to `at`, older times counting less."""

    tenant: str
    project: str
    at: float  # wall seconds
    mean_cards: tuple[tuple[str, float], ...] = ()  # by accelerator model, ascending

    @property
    def key(self) -> str:
        return f"usage/{self.tenant}/{self.project}"


@dataclass(frozen=True, slots=True)
class NetworkMap:
    """The national network model as last applied, with the sources of the figures."""

    nodes: tuple[NetworkNode, ...] = ()
    links: tuple[Link, ...] = ()
    sources: tuple[str, ...] = ()  # one per link

    @property
    def key(self) -> str:
        return "network/current"


@dataclass(frozen=True, slots=True)
class Replica:
    site: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named body of data and the sites that hold a whole copy."""

    name: str  # <tenant>/<name>: that tenant's; without a slash: the federation's
    size_bytes: int
    replicas: tuple[Replica, ...] = ()
    regions_allowed: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"dataset/{self.name}"

    @staticmethod
    def tenant_of(name: str) -> str:
        """Whose dataset that is; "": the federation's."""
        return name.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The small archive of a user's working directory, addressed by content."""

    sha256: str
    data: bytes = field(repr=False)
    tenant: str
    put_at: float

    @property
    def key(self) -> str:
        return f"bundle/{self.sha256}"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The broker will be away for up to `seconds`: leases were extended by as much.

    Kept until no extended lease can run any more; each leader counts anew from its own first
    moment, for it cannot know how long nobody led.
    """

    seconds: float
    announced_at: float  # wall seconds
    announced_by: str

    @property
    def key(self) -> str:
        return "maintenance/current"


@dataclass(frozen=True, slots=True)
class Audit:
    """One entry of the audit log; `hash` chains it to the entry before."""

    seq: int
    at: float
    actor: str
    action: str
    object: str
    detail: str
    hash: str

    @property
    def key(self) -> str:
        return f"audit/{self.seq:016d}"


@dataclass(frozen=True, slots=True)
class Learned(model.Learned):
    """What past runs taught of estimates, as rounds know it, and when."""

    seq: int  # higher: learned later

    @property
    def key(self) -> str:
        return learned_key(self.tenant, self.family, self.accelerator)


def learned_key(tenant: str, family: str, accelerator: str) -> str:
    """A hash, since families are made of names that people chose."""
    named = "\x1f".join((tenant, family, accelerator))
    return f"learned/{sha256(named.encode()).hexdigest()[:32]}"


Row = (
    Job
    | Spec
    | Site
    | JoinToken
    | PendingJoin
    | Tenant
    | Usage
    | NetworkMap
    | Dataset
    | Bundle
    | Maintenance
    | Audit
    | Learned
)


@dataclass(frozen=True, slots=True)
class Put:
    """Write this row."""

    row: Row

    @property
    def key(self) -> str:
        return self.row.key


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the row of this key."""

    key: str


Record = Put | Delete
