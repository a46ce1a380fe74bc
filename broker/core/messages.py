"""The closed sets of what goes into the core and what comes out.

Events in; replies to whoever asked and sends to sites out. Records are in `rows`.
Times named `*_at` are wall seconds; `Now.elapsed` is the broker's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.core.command_messages import BeginCommand
from broker.core.commit import Commit
from broker.core.data_messages import CacheReport, DeleteDataset, Prestages, StagingReport
from broker.core.refusal import Refusal as Refusal
from broker.core.rows import Bundle, Dataset, Failure, JoinToken, NetworkMap, Record, Spec, Tenant
from scheduler.model import Explanation, Placement, Pool, Preemption, Prestaging, Round, Site, Slice

# The versions of the session's protocol that this broker speaks. From 2 on an agent brings back
# the committed state of a job before it starts it, from 3 on it writes datasets and reads them.
PROTOCOL_MIN, PROTOCOL_RESTORES, PROTOCOL_DATASETS, PROTOCOL_MAX = 1, 2, 3, 3


@dataclass(frozen=True, slots=True)
class Now:
    """The moment of a batch: `elapsed` for leases and silence, `wall` for people."""

    elapsed: float
    wall: float


# --- events of clients --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Submission:
    job_id: str
    spec_sha256: str
    array_id: str = ""
    array_index: int = 0


@dataclass(frozen=True, slots=True)
class Submit:
    """A batch of jobs of one caller; `specs` holds each specification once."""

    tenant: str
    project: str
    user: str
    jobs: tuple[Submission, ...]
    specs: tuple[Spec, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """`tenant` empty: an administrator's. Ids may be of jobs or of arrays."""

    ids: tuple[str, ...]
    tenant: str
    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PutBundle:
    bundle: Bundle


# --- events of administrators -------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateToken:
    token: JoinToken
    actor: str


@dataclass(frozen=True, slots=True)
class Join:
    """A site asks for a certificate; repeated with the same key until it is approved."""

    site: str
    token_id: str
    secret_sha256: str
    key_sha256: str
    csr_pem: bytes
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Approve:
    """`certificate_pem` was made from the pending request with this fingerprint."""

    site: str
    fingerprint: str
    certificate_pem: bytes
    actor: str


@dataclass(frozen=True, slots=True)
class SetDrain:
    """`deadline_seconds`: after so long what still runs there is stopped; 0: it runs on."""

    site: str
    draining: bool
    reason: str
    actor: str
    deadline_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RemoveSite:
    site: str
    orphan: bool
    actor: str


@dataclass(frozen=True, slots=True)
class ConfirmDead:
    """Somebody who looked says that an attempt does not run at a silent site any more."""

    site: str
    job_id: str
    epoch: int
    actor: str


@dataclass(frozen=True, slots=True)
class AnnounceMaintenance:
    """The broker will be away for up to `seconds` from now."""

    seconds: float
    actor: str


@dataclass(frozen=True, slots=True)
class PutRow:
    """An administrator writes a tenant, a dataset or the network."""

    row: Tenant | Dataset | NetworkMap
    actor: str


# --- events of agents ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt as the agent holds it; `ended`: its report is in the agent's outbox."""

    job_id: str
    epoch: int
    running: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What a site says of itself, beyond its pools."""

    profile: Site
    agent_version: str = ""
    backend: str = ""
    paused: bool = False
    rules: tuple[str, ...] = ()  # of its cluster manager, for people


@dataclass(frozen=True, slots=True)
class CapacityReport:
    seq: int
    pools: tuple[Pool, ...]
    reflects_grant_seq: int
    full: bool
    facts: SiteFacts | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """`protocols`: the lowest and the highest version that the agent speaks."""

    site: str
    session: str
    agent_id: str
    boot_id: str
    gateway: str
    held: tuple[Held, ...]
    facts: SiteFacts
    capacity: CapacityReport
    term_seen: int = 0
    protocols: tuple[int, int] = (PROTOCOL_MIN, PROTOCOL_MAX)


@dataclass(frozen=True, slots=True)
class Reconcile:
    site: str
    session: str
    held: tuple[Held, ...]
    grant_seq_seen: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    site: str
    session: str
    seq: int
    digest: int
    grant_seq_seen: int
    report_seq_head: int
    extended_seq: int = 0  # the heartbeat whose lease extension the site has made durable


@dataclass(frozen=True, slots=True)
class Capacity:
    site: str
    session: str
    report: CapacityReport


@dataclass(frozen=True, slots=True)
class Report:
    """`kind`: rejected | started | released | committed | ended."""

    report_seq: int
    job_id: str
    epoch: int
    kind: str
    at: float
    outcome: str = ""
    exit_code: int = 0
    failure: Failure | None = None
    commit: Commit | None = None  # of kind committed


@dataclass(frozen=True, slots=True)
class Reports:
    site: str
    session: str
    reports: tuple[Report, ...]
    report_seq_tail: int = 0  # the lowest that is not acknowledged; 0: the agent does not say


@dataclass(frozen=True, slots=True)
class SessionClosed:
    site: str
    session: str


# --- events of the broker itself ----------------------------------------------


@dataclass(frozen=True, slots=True)
class Proposals:
    """A round's placements and explanations, decided on a snapshot that may be stale."""

    placements: tuple[Placement, ...]
    explanations: tuple[tuple[str, Explanation], ...]
    decided_at: float
    preemptions: tuple[Preemption, ...] = ()
    prestagings: tuple[Prestaging, ...] = ()
    gap: float | None = None  # as in `scheduler.model.Round`

    @classmethod
    def of(cls, decided: Round, decided_at: float) -> Proposals:
        """All that a round decided, on a snapshot of `decided_at` (wall seconds)."""
        return cls(
            decided.placements,
            decided.explanations,
            decided_at,
            decided.preemptions,
            decided.prestagings,
            decided.gap,
        )


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    Submit
    | Cancel
    | BeginCommand
    | PutBundle
    | CreateToken
    | Join
    | Approve
    | SetDrain
    | RemoveSite
    | ConfirmDead
    | AnnounceMaintenance
    | PutRow
    | DeleteDataset
    | Hello
    | Reconcile
    | Heartbeat
    | Capacity
    | Reports
    | CacheReport
    | StagingReport
    | SessionClosed
    | Proposals
    | Tick
)


# --- replies ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """One item of a batch was taken; `existed`: it had been before."""

    id: str
    existed: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """One item of a batch was not taken."""

    id: str
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Results:
    """The answers to a batch, in its order."""

    results: tuple[Accepted | Refused, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    fingerprint: str
    certificate_pem: bytes = b""


@dataclass(frozen=True, slots=True)
class Removed:
    orphaned_jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """Taken; `changed` is false when it was so already."""

    changed: bool = True


Reply = Results | Joined | Removed | Done | Refusal


# --- sends to sites -----------------------------------------------------------

AttemptKey = tuple[str, int]  # (job id, epoch)


@dataclass(frozen=True, slots=True)
class Verdicts:
    term: int
    keep: tuple[AttemptKey, ...]
    stop: tuple[AttemptKey, ...]
    acknowledge: tuple[AttemptKey, ...]
    expect: tuple[AttemptKey, ...]
    heartbeat_seconds: float
    hello: bool
    protocol: int = PROTOCOL_MAX  # the version of this session


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    seq: int
    term: int
    reconcile: bool
    stop: tuple[AttemptKey, ...]
    heartbeat_seconds: float = 0.0  # the interval from now on; 0: as before
    extension_seconds: float = 0.0  # leases last at least so long from the heartbeat's sending


@dataclass(frozen=True, slots=True)
class Grant:
    job_id: str
    epoch: int
    grant_seq: int
    anchor_seq: int
    pool: str  # name within the site
    slices: tuple[Slice, ...]
    variant: int
    tenant: str
    project: str
    user: str
    name: str
    spec_sha256: str
    lease_class: str
    lease_seconds: float
    array_id: str
    array_index: int
    preempted_count: int
    data: tuple[tuple[str, str], ...] = ()  # dataset -> where to read it
    restore: Commit | None = None  # the checkpoint that the run goes on from


@dataclass(frozen=True, slots=True)
class Grants:
    """`specs`: (sha256, bytes) of those this session has not been sent yet."""

    term: int
    grants: tuple[Grant, ...]
    specs: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Stops:
    stops: tuple[tuple[str, int, str], ...]  # (job id, epoch, reason)


@dataclass(frozen=True, slots=True)
class ReportAck:
    report_seq: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    code: str
    message: str


SiteMessage = Verdicts | HeartbeatReply | Grants | Stops | ReportAck | Goodbye | Prestages


@dataclass(frozen=True, slots=True)
class Send:
    """A message for one session; released only after the batch is durable."""

    gateway: str
    site: str
    session: str
    message: SiteMessage


@dataclass(frozen=True, slots=True)
class Step:
    """What a batch of events came to: `replies[i]` answers `events[i]`."""

    records: tuple[Record, ...]
    sends: tuple[Send, ...]
    replies: tuple[Reply | None, ...]
