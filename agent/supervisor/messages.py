"""The closed sets of what goes into the supervisor and what comes out of it.

Events happened; records are what must be on the disk before anything is done; effects are
what the daemon then does. Knows values only.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.backends import Exit, RunOrder, RunState
from agent.inventory import Inventory
from agent.supervisor.values import (
    PROTOCOL_MAX,
    Attempt,
    AttemptId,
    Commit,
    Failure,
    Grant,
    Held,
    Mode,
    Recalled,
    Report,
    TaskInput,
    TaskOutput,
)
from scheduler.model import Pool

# --- events -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream to the broker stands; nothing has been said on it yet."""

    session: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The stream is gone."""

    session: str


@dataclass(frozen=True, slots=True)
class VerdictsReceived:
    session: str
    term: int
    keep: tuple[AttemptId, ...] = ()
    stop: tuple[AttemptId, ...] = ()
    acknowledge: tuple[AttemptId, ...] = ()
    expect: tuple[AttemptId, ...] = ()
    heartbeat_seconds: float = 0.0  # 0: as before
    hello: bool = True  # else they answer a Reconcile, or are not the last part
    protocol: int = PROTOCOL_MAX  # the version that the broker chose


@dataclass(frozen=True, slots=True)
class HeartbeatReplied:
    session: str
    seq: int
    term: int
    reconcile: bool = False
    stop: tuple[AttemptId, ...] = ()
    heartbeat_seconds: float = 0.0  # 0: as before
    extension_seconds: float = 0.0  # leases last at least so long from the heartbeat's sending


@dataclass(frozen=True, slots=True)
class GrantsReceived:
    session: str
    term: int
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class StopReceived:
    session: str
    id: AttemptId
    reason: str  # "Cancelled", "Preempted", "Superseded"


@dataclass(frozen=True, slots=True)
class ReportsAcknowledged:
    session: str
    report_seq: int  # all up to this one


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The backend has the run."""

    name: str


@dataclass(frozen=True, slots=True)
class RunRefused:
    """The backend has no such run and never will."""

    name: str
    failure: Failure
    costs_try: bool = False  # it failed; else the site only could not take it now


@dataclass(frozen=True, slots=True)
class RunEnded:
    exit: Exit


@dataclass(frozen=True, slots=True)
class Committed:
    """What a run left is whole at a store; told again, it counts once."""

    name: str
    commit: Commit


@dataclass(frozen=True, slots=True)
class Published:
    """Nothing more will be committed of a run that has ended."""

    exit: Exit
    failure: Failure | None = None  # why something that was to be published is not


@dataclass(frozen=True, slots=True)
class RunsFound:
    """All that the backend knows, once, after a restart and before any session."""

    runs: tuple[RunState, ...]


@dataclass(frozen=True, slots=True)
class InventoryChanged:
    """A probe saw other cards than before."""

    inventory: Inventory
    rules: tuple[str, ...] = ()  # of the site's cluster manager, for people


@dataclass(frozen=True, slots=True)
class ModeSet:
    """The operator spoke; with `stop_jobs` what runs is asked to end."""

    mode: Mode
    stop_jobs: bool = False
    tenants: tuple[str, ...] = ()  # whose jobs a canary takes


@dataclass(frozen=True, slots=True)
class CardsRecalled:
    """The site's own people want cards of a pool."""

    pool: str
    cards: int  # fewer than may be held now
    grace_seconds: float  # within which they are to be given back


@dataclass(frozen=True, slots=True)
class RecallReleased:
    """The site's own people want them no more."""

    pool: str  # "": of every pool


@dataclass(frozen=True, slots=True)
class JournalFailed:
    """Records wait for room on the disk; these launches were therefore not begun."""

    launches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JournalRecovered:
    """All records are on the disk again."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by."""


Event = (
    Opened
    | Closed
    | VerdictsReceived
    | HeartbeatReplied
    | GrantsReceived
    | StopReceived
    | ReportsAcknowledged
    | RunStarted
    | RunRefused
    | RunEnded
    | Committed
    | Published
    | RunsFound
    | InventoryChanged
    | ModeSet
    | CardsRecalled
    | RecallReleased
    | JournalFailed
    | JournalRecovered
    | Tick
)

# --- records ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TermRaised:
    """The highest term of a leader that was ever seen."""

    term: int


@dataclass(frozen=True, slots=True)
class MarkRaised:
    """From here on no epoch of the job up to this one will ever be started."""

    job_id: str
    epoch: int
    at: float  # wall seconds


@dataclass(frozen=True, slots=True)
class MarksDropped:
    """Marks too old to matter."""

    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AttemptPut:
    """An attempt as it is from now on."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class AttemptDropped:
    """The broker knows its end: the site holds it no more."""

    name: str
    at: float  # wall seconds


@dataclass(frozen=True, slots=True)
class LeasesRenewed:
    """A heartbeat sent at `sent_at` was answered: every lease then held counts from there."""

    sent_at: float  # elapsed seconds


@dataclass(frozen=True, slots=True)
class LeasesExtended:
    """And the answer said: before maintenance of the broker, they last at least until `until`."""

    sent_at: float  # elapsed seconds
    until: float  # elapsed seconds


@dataclass(frozen=True, slots=True)
class ReportAdded:
    report: Report


@dataclass(frozen=True, slots=True)
class ReportsDropped:
    """Acknowledged: all up to `report_seq`."""

    report_seq: int


@dataclass(frozen=True, slots=True)
class ReportsNumbered:
    """Reports up to this number were given out, though none of them may be left."""

    report_seq: int


@dataclass(frozen=True, slots=True)
class RecallPut:
    """Cards are kept back, more or others than those of the pool before."""

    recalled: Recalled


@dataclass(frozen=True, slots=True)
class RecallDropped:
    """They are kept back no more."""

    pool: str


Record = (
    TermRaised
    | MarkRaised
    | MarksDropped
    | AttemptPut
    | AttemptDropped
    | LeasesRenewed
    | LeasesExtended
    | ReportAdded
    | ReportsDropped
    | ReportsNumbered
    | RecallPut
    | RecallDropped
)

# --- effects ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Launch:
    """Bring what it needs, then submit; answer with RunStarted or RunRefused."""

    order: RunOrder
    deadline: float  # elapsed seconds
    bundle_sha256: str = ""
    inputs: tuple[TaskInput, ...] = ()
    data: tuple[tuple[str, str], ...] = ()  # (dataset, where to read it)
    restore: Commit | None = None  # to be in its checkpoint directory before it starts


@dataclass(frozen=True, slots=True)
class Publish:
    """Bring what an ended run left to its stores; answer with Published."""

    exit: Exit
    outputs: tuple[TaskOutput, ...]
    checkpoint: bool  # its last state too, for the next attempt


@dataclass(frozen=True, slots=True)
class Unpublish:
    """Nobody wants what this run left any more: answer with Published soon."""

    name: str


@dataclass(frozen=True, slots=True)
class DropStates:
    """The broker has a later state of this attempt: nobody goes on from one of a lower number."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class StopRun:
    """Do not begin it any more; if it runs, ask it to end."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class RenewLeases:
    leases: tuple[tuple[str, float], ...]  # (name, elapsed seconds)


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove what is kept of these ended runs, their logs too."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CloseSession:
    session: str
    code: str


@dataclass(frozen=True, slots=True)
class SendCapacity:
    session: str
    seq: int
    pools: tuple[Pool, ...]
    reflects_grant_seq: int
    full: bool
    paused: bool
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SendHello:
    session: str
    term_seen: int
    attempts: tuple[Held, ...]
    capacity: SendCapacity
    report_seq_head: int


@dataclass(frozen=True, slots=True)
class SendReconcile:
    session: str
    attempts: tuple[Held, ...]
    grant_seq_seen: int


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    session: str
    seq: int
    digest: int
    grant_seq_seen: int
    report_seq_head: int
    extended_seq: int = 0  # the heartbeat whose answer extended leases last; 0: none did


@dataclass(frozen=True, slots=True)
class SendReports:
    session: str
    reports: tuple[Report, ...]
    report_seq_tail: int  # the lowest that is not acknowledged


Effect = (
    Launch
    | Publish
    | Unpublish
    | DropStates
    | StopRun
    | RenewLeases
    | Forget
    | CloseSession
    | SendCapacity
    | SendHello
    | SendReconcile
    | SendHeartbeat
    | SendReports
)
