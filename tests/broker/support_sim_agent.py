"""A model agent: the site's side of the lease protocol as reliability.md section 5 has it.

Written a second time and from the page, not from `agent.supervisor`, so that the two ends
of the protocol are not judged by one reading of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from support_core import WALL, facts_of, pool_of
from support_sim_broker import BrokerModel
from support_sim_rules import Key
from support_sim_run import Machine, Run
from support_sim_stream import AgentStream
from support_sim_world import World

from broker.core.digest import attempt_digest
from broker.core.messages import (
    Capacity,
    CapacityReport,
    Event,
    Goodbye,
    Grant,
    Grants,
    Heartbeat,
    HeartbeatReply,
    Held,
    Hello,
    Reconcile,
    Report,
    ReportAck,
    Reports,
    SiteMessage,
    Stops,
    Verdicts,
)
from broker.core.rows import Failure
from scheduler.model import Pool, Slice, Supernode

START_MARGIN_SECONDS = 5.0
SILENCE_SECONDS = 45.0
RESEND_SECONDS = 30.0
NOT_STARTED = Failure("site", "NotStarted", "it was never started here and never will be")
NO_CARDS = Failure("site", "NotEnoughCards", "the cards are no longer free")
TOO_SHORT = Failure("network", "LeaseTooShort", "too little of the lease is left")
ENDINGS = {  # why a run is over -> outcome, failure
    "succeeded": ("succeeded", None),
    "failed": ("failed", Failure("user", "NonZeroExit")),
    "LeaseEnded": ("lost", Failure("network", "LeaseEnded")),
    "Cancelled": ("cancelled", Failure("user", "Cancelled")),
    "Superseded": ("cancelled", Failure("broker", "Superseded")),
    "MachineRebooted": ("lost", Failure("site", "MachineRebooted")),
}


@dataclass
class Attempt:
    key: Key
    slices: tuple[Slice, ...]
    lease_seconds: float
    deadline: float  # elapsed seconds of the machine; inf: time does not end it
    accepted_at: float
    phase: str = "accepted"  # accepted | running | ended
    stop: str = ""


@dataclass
class Disk:
    """What an agent still knows after a crash."""

    agent_id: str
    term: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    attempts: dict[Key, Attempt] = field(default_factory=dict)
    outbox: dict[int, Report] = field(default_factory=dict)
    report_seq: int = 0


class Agent:
    """One site. The attributes below `disk` are lost in a crash."""

    guard_lives_apart = True  # a mutant puts it into the agent
    lease_from_receipt = False  # a mutant counts leases from when the answer came

    def __init__(
        self, world: World, broker: BrokerModel, site: str, nodes: int, drift: float
    ) -> None:
        self.world = world
        self.broker = broker
        self.site = site
        self.up_blocked_until = self.down_blocked_until = 0.0
        self.paused_until = 0.0
        self._nodes = nodes
        self._drift = drift
        self._lives = 0
        self._disks = 0
        self._local, self._faulty = 0, 0
        self.up = False
        self._settle_on_new_machine()

    def _settle_on_new_machine(self) -> None:
        self._disks += 1
        self.machine = self._machine()
        self.disk = Disk(f"{self.site}-{self._disks}")

    def _machine(self) -> Machine:
        return Machine(self.world, self.site, 1.0 + self.world.between(-self._drift, self._drift))

    # --- life -----------------------------------------------------------------------

    def start(self) -> None:
        self.up = True
        self._lives += 1
        self.stream: AgentStream | None = None
        self._reconciled = False
        self._recover()
        self._later(self.world.between(0.0, 3.0), self._connect)
        self._later(10.0, self._sweep)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do it then, if this life of the agent lasts; a paused agent does it when it goes on."""
        life = self._lives

        def do() -> None:
            if not self.up or life != self._lives:
                return
            if self.world.now < self.paused_until:
                self.world.after(self.paused_until - self.world.now + 1e-6, do)
            else:
                act()

        self.world.after(seconds, do)

    def crash(self, seconds: float) -> None:
        if self.up:
            self.up = False
            self._tell_all("agent crashes")
            if self.stream is not None:
                self.stream.tear()
            self.world.after(seconds, self.start)

    def pause(self, seconds: float) -> None:
        self.paused_until = max(self.paused_until, self.world.now + seconds)
        self._tell_all(f"agent paused for {seconds:.0f} s")

    def reboot(self, seconds: float) -> None:
        """The machine goes down with all that runs on it."""
        if self.up:
            for run in list(self.machine.runs.values()):
                run.end("MachineRebooted")
            gone, self.machine = self.machine, self._machine()
            self.machine.runs = gone.runs
            for attempt in self.disk.attempts.values():
                attempt.deadline = -inf
            self.crash(seconds)

    def move(self, seconds: float) -> None:
        """The agent's machine is given up; another takes the site's name, with an empty disk.

        What ran goes on where it is, with the guards beside it.
        """
        if self.up:
            self.crash(seconds)
            self._tell_all("agent's disk is lost")
            self._settle_on_new_machine()

    def partition(self, seconds: float) -> None:
        ways = self.world.random.choice(("up", "down", "both"))
        until = self.world.now + seconds
        self._tell_all(f"cut off for {seconds:.0f} s ({ways})")
        if ways != "down":
            self.up_blocked_until = max(self.up_blocked_until, until)
        if ways != "up":
            self.down_blocked_until = max(self.down_blocked_until, until)

    def break_stream(self) -> None:
        if self.up and self.stream is not None:
            self.stream.tear()

    def local_change(self) -> None:
        """The site's own users come or go, or cards break."""
        self._local = self.world.random.randint(0, 6)
        self._faulty = self.world.random.choice((0, 0, 1, 4))
        if self.up:
            self._later(0.1, self._tell_capacity)

    def heal(self) -> None:
        self.up_blocked_until = self.down_blocked_until = self.paused_until = self.world.now
        self._local = self._faulty = 0
        if self.up:
            self._later(0.1, self._tell_capacity)

    @property
    def busy(self) -> list[Key]:
        """Attempts that have not come to their end here."""
        runs = [(job, epoch) for job, (site, epoch) in self.world.rules.alive.items()]
        return [*self.disk.attempts, *(key for key in runs if key[0] in self.world.rules.alive)]

    def _tell_all(self, text: str) -> None:
        for job_id, _ in {*self.disk.attempts, *self.machine.runs}:
            self.world.rules.tell(job_id, self.site, text)

    # --- the session ------------------------------------------------------------------

    def _connect(self) -> None:
        if self.stream is not None:
            return
        if not self.broker.up:
            self._later(self.world.between(1.0, 10.0), self._connect)
            return
        session = f"{self.site}.{self.world.random.getrandbits(32):08x}"
        life = self._lives
        self.stream = AgentStream(
            self.world,
            self.broker,
            self,
            self.site,
            session,
            lambda message: self._hear(life, session, message),
            lambda: self._hung_up(life, session),
        )
        self._reconciled = False
        self._seq = self._grant_seq = 0
        self._capacity_seq = 1
        self._heard_at = self._progress_at = self.machine.elapsed()
        self._anchors = {0: self.machine.elapsed()}
        self._up(
            Hello(
                site=self.site,
                session=session,
                agent_id=self.disk.agent_id,
                boot_id="boot",
                gateway="g",
                held=self._held(),
                facts=facts_of(self.site),
                capacity=CapacityReport(1, (self._pool(),), 0, full=True),
                term_seen=self.disk.term,
            )
        )

    def _up(self, event: Event) -> None:
        assert self.stream is not None
        self.stream.up(event)

    def _hung_up(self, life: int, session: str) -> None:
        def gone() -> None:
            if self.stream is not None and self.stream.session == session:
                self.stream = None
                self._later(self.world.between(0.5, 15.0), self._connect)

        if life == self._lives:
            self._later(0.0, gone)

    def _leave(self) -> None:
        if self.stream is not None:
            self.stream.close()
            self.stream = None
            self._later(self.world.between(0.5, 15.0), self._connect)

    def _sweep(self) -> None:
        if self.stream is not None:
            if self.machine.elapsed() - self._heard_at > SILENCE_SECONDS:
                self._leave()
            elif self._reconciled and self.disk.outbox:
                if self.machine.elapsed() - self._progress_at > RESEND_SECONDS:
                    self._send_outbox()
        self._later(10.0, self._sweep)

    def _hear(self, life: int, session: str, message: SiteMessage) -> None:
        def hear() -> None:
            if self.stream is None or self.stream.session != session:
                return
            self._heard_at = self.machine.elapsed()
            term = getattr(message, "term", None)
            if term is not None:
                if term < self.disk.term:
                    return
                self.disk.term = term
            self._handlers[type(message)](self, message)

        if life == self._lives:
            self._later(0.0, hear)

    def _on_goodbye(self, message: Goodbye) -> None:
        self._leave()

    def _on_verdicts(self, message: Verdicts) -> None:
        for key in message.stop:
            self._stop(key, "Superseded")
        for key in message.acknowledge:
            attempt = self.disk.attempts.get(key)
            if attempt is not None and attempt.phase == "ended":
                del self.disk.attempts[key]
        for key in message.expect:
            self._promise(key)
        if message.hello:
            self._renew(0, set(message.keep))
            self._reconciled = True
            self._send_outbox()
            self._beat(self.stream)

    def _beat(self, stream: AgentStream | None) -> None:
        if stream is None or self.stream is not stream:
            return
        self._seq += 1
        self._anchors[self._seq] = self.machine.elapsed()
        digest = 0
        for key, attempt in self.disk.attempts.items():
            if attempt.phase != "ended":
                digest ^= attempt_digest(*key)
        head = max(self.disk.outbox, default=0)
        self._up(Heartbeat(self.site, stream.session, self._seq, digest, self._grant_seq, head))
        self._later(self.world.between(9.0, 11.0), lambda: self._beat(stream))

    def _on_heartbeat_reply(self, message: HeartbeatReply) -> None:
        for key in message.stop:
            self._stop(key, "Cancelled")
        self._renew(message.seq, set(self.disk.attempts))
        if message.reconcile:
            assert self.stream is not None
            self._up(Reconcile(self.site, self.stream.session, self._held(), self._grant_seq))

    def _renew(self, seq: int, keys: set[Key]) -> None:
        sent_at = self._anchors.get(seq)
        if sent_at is None:
            return
        now = self.machine.elapsed()
        origin = now if self.lease_from_receipt else sent_at
        for key in keys:
            attempt = self.disk.attempts.get(key)
            if attempt is None or attempt.phase == "ended" or attempt.accepted_at > sent_at:
                continue
            if attempt.deadline > now:
                attempt.deadline = max(attempt.deadline, origin + attempt.lease_seconds)
                if key in self.machine.runs:
                    self.machine.runs[key].deadline = attempt.deadline

    def _held(self) -> tuple[Held, ...]:
        return tuple(
            Held(*key, running=attempt.phase == "running", ended=attempt.phase == "ended")
            for key, attempt in self.disk.attempts.items()
        )

    # --- capacity ---------------------------------------------------------------------

    def _node(self) -> Supernode:
        whole = pool_of(self.site, nodes=self._nodes).supernodes[0]
        taken = [(1, self._faulty), (1, self._local)]
        for attempt in self.disk.attempts.values():
            if attempt.phase != "ended":
                taken += [(part.nodes, part.cards) for part in attempt.slices]
        for nodes, cards in taken:
            if cards and whole.nodes_fitting(cards) >= nodes:
                whole = whole.take(nodes, cards)
        return whole

    def _pool(self) -> Pool:
        usable = 8 * self._nodes - self._faulty
        pool = pool_of(self.site, nodes=self._nodes)
        return replace(pool, cards_usable=usable, supernodes=(self._node(),))

    def _tell_capacity(self) -> None:
        if self.stream is not None and self._reconciled:
            self._capacity_seq += 1
            report = CapacityReport(self._capacity_seq, (self._pool(),), self._grant_seq, full=True)
            self._up(Capacity(self.site, self.stream.session, report))

    # --- attempts -----------------------------------------------------------------------

    def _on_grants(self, message: Grants) -> None:
        for grant in message.grants:
            self._grant_seq = max(self._grant_seq, grant.grant_seq)
            self._take(grant)
        self._later(self.world.between(0.0, 1.0), self._tell_capacity)

    def _take(self, grant: Grant) -> None:
        key = grant.job_id, grant.epoch
        if grant.epoch <= self.disk.marks.get(grant.job_id, 0):
            return  # held already, or promised never to start
        self.disk.marks[grant.job_id] = grant.epoch
        now = self.machine.elapsed()
        sent_at = self._anchors.get(grant.anchor_seq, -inf)
        origin = now if self.lease_from_receipt else sent_at
        deadline = inf if grant.lease_class == "proof" else origin + grant.lease_seconds
        if deadline - now <= START_MARGIN_SECONDS:
            self._report(key, "rejected", "rejected", TOO_SHORT)
            return
        free = self._node()
        if any(free.nodes_fitting(part.cards) < part.nodes for part in grant.slices):
            self._report(key, "rejected", "rejected", NO_CARDS)
            return
        self.disk.attempts[key] = Attempt(key, grant.slices, grant.lease_seconds, deadline, now)
        self._tell(key, f"accepts {key[1]}")
        slow = self.world.between(0.0, 30.0 if self.world.chance(0.1) else 2.0)
        self._later(slow, lambda: self._begin(key))

    def _begin(self, key: Key) -> None:
        attempt = self.disk.attempts.get(key)
        if attempt is None or attempt.phase != "accepted":
            return
        if attempt.stop or attempt.deadline <= self.machine.elapsed():
            self._never_started(attempt)
            return
        self.machine.runs[key] = Run(
            self.machine, key, attempt.deadline, self._over, self._is_guarded
        )
        if self.world.chance(0.05):
            self.crash(self.world.between(1.0, 60.0))  # before it is written down
        else:
            self._adopt(attempt)

    def _is_guarded(self) -> bool:
        return self.guard_lives_apart or (self.up and self.world.now >= self.paused_until)

    def _adopt(self, attempt: Attempt) -> None:
        attempt.phase = "running"
        self._report(attempt.key, "started")
        if attempt.stop:
            self.machine.runs[attempt.key].kill(attempt.stop, self.world.between(0.0, 8.0))

    def _never_started(self, attempt: Attempt) -> None:
        attempt.phase = "ended"
        self._report(attempt.key, "rejected", "rejected", NOT_STARTED)

    def _over(self, run: Run) -> None:
        if run.machine is self.machine:
            self._later(0.0, lambda: self._ended(run))

    def _ended(self, run: Run) -> None:
        attempt = self.disk.attempts.get(run.key)
        if attempt is None or attempt.phase == "ended":
            return
        if attempt.phase == "accepted":
            self._report(attempt.key, "started")
        attempt.phase = "ended"
        outcome, failure = ENDINGS[run.result]
        self._report(run.key, "ended", outcome, failure)
        self._later(self.world.between(0.0, 1.0), self._tell_capacity)

    def _recover(self) -> None:
        """After a crash nothing is started: what the machine has is adopted or told."""
        for attempt in list(self.disk.attempts.values()):
            if attempt.phase == "ended":
                continue
            run = self.machine.runs.get(attempt.key)
            if run is None:
                self._never_started(attempt)
            elif not run.alive:
                self._ended(run)
            elif attempt.phase == "accepted":
                self._adopt(attempt)

    def _stop(self, key: Key, reason: str) -> None:
        attempt = self.disk.attempts.get(key)
        if attempt is None:
            if self.disk.marks.get(key[0], 0) < key[1]:
                self._promise(key)
            return
        if attempt.phase == "accepted":
            attempt.stop = attempt.stop or reason
            if key not in self.machine.runs:
                self._never_started(attempt)
        elif attempt.phase == "running":
            attempt.stop = attempt.stop or reason
            self.machine.runs[key].kill(attempt.stop, self.world.between(0.0, 8.0))

    def _promise(self, key: Key) -> None:
        """Never to start it. What is held, or known to have been here, is no promise."""
        if key in self.disk.attempts:
            return
        self.disk.marks[key[0]] = max(self.disk.marks.get(key[0], 0), key[1])
        self._tell(key, f"promises never to start {key[1]}")
        self._report(key, "rejected", "rejected", NOT_STARTED)

    # --- reports ----------------------------------------------------------------------

    def _report(
        self, key: Key, kind: str, outcome: str = "", failure: Failure | None = None
    ) -> None:
        self._tell(key, f"reports {kind} {key[1]} {outcome}")
        self.disk.report_seq += 1
        report = Report(
            self.disk.report_seq, *key, kind, WALL + self.world.now, outcome, failure=failure
        )
        self.disk.outbox[report.report_seq] = report
        if self.stream is not None and self._reconciled:
            self._up(Reports(self.site, self.stream.session, (report,)))

    def _send_outbox(self) -> None:
        self._progress_at = self.machine.elapsed()
        if self.disk.outbox and self.stream is not None:
            reports = tuple(self.disk.outbox.values())
            self._up(Reports(self.site, self.stream.session, reports))

    def _on_ack(self, message: ReportAck) -> None:
        self._progress_at = self.machine.elapsed()
        for seq in [seq for seq in self.disk.outbox if seq <= message.report_seq]:
            report = self.disk.outbox.pop(seq)
            if report.kind != "started":
                self.disk.attempts.pop((report.job_id, report.epoch), None)

    def _on_stops(self, message: Stops) -> None:
        for job_id, epoch, reason in message.stops:
            self._stop((job_id, epoch), reason)

    def _tell(self, key: Key, text: str) -> None:
        self.world.rules.tell(key[0], self.site, text)

    _handlers = {
        Verdicts: _on_verdicts,
        HeartbeatReply: _on_heartbeat_reply,
        Grants: _on_grants,
        Stops: _on_stops,
        ReportAck: _on_ack,
        Goodbye: _on_goodbye,
    }
