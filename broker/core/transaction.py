"""One batch in the making: handlers read the state here and change it only through it.

Every change is applied at once, so that the next event of the batch sees it, and kept
as a record; of several changes to one row only the last is stored.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from hashlib import sha256

from broker.core.ahead import Ahead
from broker.core.ignored import Ignored
from broker.core.lifecycle import (
    JOB_TERMINAL,
    AttemptEvent,
    JobEvent,
    next_attempt_state,
    next_job_state,
)
from broker.core.limits import Limits
from broker.core.messages import Grant, Grants, Now, Send, SiteMessage
from broker.core.presence import SitePresence
from broker.core.rounds import Rounds
from broker.core.rows import Attempt, Audit, Delete, Failure, Job, Put, Record, Row, Spec
from broker.core.state import State
from broker.core.transfers import Transfers
from broker.core.usage import after
from scheduler.model import Accelerator, Explanation, SiteState, Slice


@dataclass(slots=True)
class Memory:
    """The core's whole memory: durable tables and soft state."""

    state: State
    limits: Limits
    term: int
    accelerators: tuple[Accelerator, ...] = ()  # the catalogue: their kinds and figures
    presence: dict[str, SitePresence] = field(default_factory=dict)
    # Shapes that sites refused: (pool, nodes, cards per node) -> elapsed seconds of the hold's end
    holds: OrderedDict[tuple[str, int, int], float] = field(default_factory=OrderedDict)
    explanations: OrderedDict[str, tuple[Explanation, float]] = field(default_factory=OrderedDict)
    never_since: dict[str, float] = field(default_factory=dict)  # class key -> elapsed seconds
    started_elapsed: float = 0.0  # when this leader began
    ticked_elapsed: float = 0.0  # when it last looked at silence
    excused_seconds: float = 0.0  # of silence that was our fault, not the sites'
    heard_elapsed: float = 0.0  # when any site was last heard
    # Planned maintenance: leases are extended up to the first of these elapsed seconds, and
    # taken back only after the second (see `maintenance`).
    extended_until: float = 0.0
    takeback_after: float = 0.0
    wall_ahead: float = 0.0  # of `elapsed`, when it was last looked at: a step of it is a jump
    wall_steady_since: float = 0.0  # elapsed seconds of the start, or of the last jump
    drain_due: dict[str, float] = field(default_factory=dict)  # site -> elapsed seconds
    ignored: dict[Ignored, int] = field(default_factory=dict)  # how often, in this term
    transfers: Transfers = field(default_factory=Transfers)
    ahead: Ahead = field(default_factory=Ahead)
    rounds: Rounds = field(default_factory=Rounds)


class Transaction:
    """The records and sends of one batch."""

    def __init__(self, memory: Memory, now: Now) -> None:
        self.memory = memory
        self.state = memory.state
        self.limits = memory.limits
        self.now = now
        self._records: dict[str, Record] = {}
        self._sends: list[Send] = []
        self._grants: dict[str, tuple[SitePresence, list[Grant]]] = {}  # by session

    @property
    def lease_clock(self) -> float:
        """Elapsed seconds that count against a silent site's leases."""
        return self.now.elapsed - self.memory.excused_seconds

    def hold_off(self, pool: str, slices: tuple[Slice, ...]) -> None:
        """Do not offer this shape to this pool again for a while."""
        key = pool, sum(part.nodes for part in slices), slices[0].cards
        self.memory.holds[key] = self.now.elapsed + self.limits.hold_seconds
        self.memory.holds.move_to_end(key)
        while len(self.memory.holds) > self.limits.holds_max:
            self.memory.holds.popitem(last=False)

    def settle_transfers(self) -> None:
        """Book what attempts wait for by now, and release what they wait for no longer."""
        ahead = self.memory.ahead.wanted()
        self.memory.transfers.settle(self.state, self._city_of, self.now, ahead)

    def _city_of(self, site: str) -> str:
        presence = self.memory.presence.get(site)
        return presence.facts.profile.city if presence else ""

    def present(self, site: str, session: str) -> SitePresence | None:
        """The site's presence when this is its session; else None, and counted."""
        presence = self.memory.presence.get(site)
        if presence is not None and presence.session == session:
            return presence
        known = site in self.state.sites
        self.ignore(Ignored.OTHER_SESSION if known else Ignored.SITE_UNKNOWN)
        return None

    def open_site(self, name: str) -> SitePresence | None:
        """The site's presence while it takes new work."""
        row, presence = self.state.sites.get(name), self.memory.presence.get(name)
        if row is None or presence is None:
            return None
        return presence if presence.state(row.draining) is SiteState.OPEN else None

    def ignore(self, reason: Ignored) -> None:
        """Count something that was heard and has no effect."""
        self.memory.ignored[reason] = self.memory.ignored.get(reason, 0) + 1

    # --- rows -------------------------------------------------------------

    def put(self, row: Row) -> None:
        """Write a row: applied now, stored with the batch."""
        if isinstance(row, Job):
            usage = after(self.state, self.limits, row, self.now.wall)
            if usage is not None:
                self._put(usage)
        self._put(row)

    def _put(self, row: Row) -> None:
        record = Put(row)
        self.state.apply(record)
        self._records[row.key] = record

    def delete(self, key: str) -> None:
        record = Delete(key)
        self.state.apply(record)
        self._records[key] = record

    def change(
        self,
        job: Job,
        event: JobEvent,
        attempt: Attempt | None = None,
        failure: Failure | None = None,
    ) -> Job:
        """Move a job along its table; `attempt` replaces its newest or is appended to them.

        Raises InvalidTransition when the table has no such pair.
        """
        state = next_job_state(job.state, event, job)
        attempts = job.attempts if attempt is None else _with_attempt(job.attempts, attempt)
        if state in JOB_TERMINAL:
            attempts = tuple(self._closed(each) if each.live else each for each in attempts)
        changed = Job(
            job.id,
            job.tenant,
            job.project,
            job.user,
            job.name,
            job.spec_sha256,
            job.submitted_at,
            job.priority,
            job.array_id,
            job.array_index,
            state,
            attempts,
            failure,
            self.now.wall if state in JOB_TERMINAL else 0.0,
            self.state.revision + 1,
            job.checkpoint,
            job.outputs,
        )
        self.put(changed)
        return changed

    def _closed(self, copy: Attempt) -> Attempt:
        """A copy whose job has ended: of no more consequence; its site will be told to stop it."""
        state = next_attempt_state(copy.state, AttemptEvent.END, copy)
        return replace(copy, state=state, ended_at=self.now.wall, outcome="superseded")

    def update_attempt(self, job: Job, attempt: Attempt) -> Job:
        """Rewrite one attempt without moving the job."""
        changed = replace(
            job,
            attempts=_with_attempt(job.attempts, attempt),
            revision=self.state.revision + 1,
        )
        self.put(changed)
        return changed

    def spec_of(self, job: Job) -> Spec:
        return self.state.specs[job.spec_sha256]

    def audit(self, actor: str, action: str, subject: str, detail: str = "") -> None:
        """Append to the audit log, chained by hash to the entry before."""
        seq = self.state.audit_seq + 1
        text = "\x1f".join(
            (self.state.audit_hash, str(seq), repr(self.now.wall), actor, action, subject, detail)
        )
        digest = sha256(text.encode()).hexdigest()
        self.put(Audit(seq, self.now.wall, actor, action, subject, detail, digest))

    # --- sends ------------------------------------------------------------

    def send(self, presence: SitePresence, message: SiteMessage) -> None:
        """Send to a site's present session, after the batch is durable."""
        self._sends.append(Send(presence.gateway, presence.site, presence.session, message))

    def refuse_session(self, send: Send) -> None:
        """Answer a session that is not, and will not be, the site's present one."""
        self._sends.append(send)

    def grant(self, presence: SitePresence, grant: Grant) -> None:
        """Collect a grant: each session gets one message of them per batch.

        Its number and anchor mean nothing in any other session, so it goes to this one
        even when another has taken its place later in the batch.
        """
        self._grants.setdefault(presence.session, (presence, []))[1].append(grant)

    def close(self) -> tuple[tuple[Record, ...], tuple[Send, ...]]:
        """The batch's records and sends."""
        for presence, grants in self._grants.values():
            self.audit("broker", "dispatch", f"site/{presence.site}", _dispatch_detail(grants))
            specs = self._unsent_specs(presence, grants)
            self.send(presence, Grants(self.memory.term, tuple(grants), specs))
        return tuple(self._records.values()), tuple(self._sends)

    def _unsent_specs(
        self, presence: SitePresence, grants: list[Grant]
    ) -> tuple[tuple[str, bytes], ...]:
        wanted = dict.fromkeys(grant.spec_sha256 for grant in grants)
        unsent = [sha for sha in wanted if sha not in presence.specs_sent]
        if len(presence.specs_sent) < self.limits.specs_per_session_max:
            presence.specs_sent.update(unsent)
        return tuple((sha, self.state.specs[sha].data) for sha in unsent)


def _with_attempt(attempts: tuple[Attempt, ...], attempt: Attempt) -> tuple[Attempt, ...]:
    """Replace one attempt, or append; offers that a site refused are not kept."""
    if attempts and attempts[-1].epoch == attempt.epoch:
        return (*attempts[:-1], attempt)
    if attempts and attempts[-1].epoch > attempt.epoch:
        return tuple(attempt if each.epoch == attempt.epoch else each for each in attempts)
    return (*(a for a in attempts if a.outcome != "rejected"), attempt)


def _dispatch_detail(grants: list[Grant]) -> str:
    """How many attempts, and a hash over which, so that the log stays small."""
    listed = sha256("\n".join(f"{g.job_id}/{g.epoch}" for g in grants).encode()).hexdigest()
    first = f"{grants[0].job_id}/{grants[0].epoch}"
    return f"{len(grants)} attempts from {first} sha256:{listed[:32]}"
