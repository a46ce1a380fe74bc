"""A model agent: the site's side of the lease protocol as reliability.md section 5 has it.

Written a second time and from the page, not from `agent.supervisor`, so that the two ends
of the protocol are not judged by one reading of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support_core import facts_of
from support_sim_attempts import Attempts
from support_sim_rules import Key
from support_sim_stream import AgentStream

from broker.core.digest import attempt_digest
from broker.core.messages import (
    Capacity,
    CapacityReport,
    Event,
    Goodbye,
    Grants,
    Heartbeat,
    HeartbeatReply,
    Held,
    Hello,
    Reconcile,
    ReportAck,
    SiteMessage,
    Stops,
    Verdicts,
)

SILENCE_SECONDS = 45.0
RESEND_SECONDS = 30.0


class Agent(Attempts):
    """Says Hello, beats, and hears the broker; what it knows of a session dies with it."""

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
        self._tell_capacity()
        if self.stream is not None:
            if self.machine.elapsed() - self._heard_at > SILENCE_SECONDS:
                self._leave()
            elif self.machine.elapsed() - self._progress_at > RESEND_SECONDS:
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
            _HANDLERS[type(message)](self, message)

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

    def _tell_capacity(self) -> None:
        if self.stream is not None and self._reconciled:
            self._capacity_seq += 1
            report = CapacityReport(self._capacity_seq, (self._pool(),), self._grant_seq, full=True)
            self._up(Capacity(self.site, self.stream.session, report))

    def _on_grants(self, message: Grants) -> None:
        for grant in message.grants:
            self._grant_seq = max(self._grant_seq, grant.grant_seq)
            self._take(grant)
        self._later(self.world.between(0.0, 1.0), self._tell_capacity)

    def _on_ack(self, message: ReportAck) -> None:
        self._progress_at = self.machine.elapsed()
        for seq in [seq for seq in self.disk.outbox if seq <= message.report_seq]:
            report = self.disk.outbox.pop(seq)
            if report.kind != "started":
                self.disk.attempts.pop((report.job_id, report.epoch), None)

    def _on_stops(self, message: Stops) -> None:
        for job_id, epoch, reason in message.stops:
            self._stop((job_id, epoch), reason)


_HANDLERS: dict[type, Callable[[Agent, Any], None]] = {
    Verdicts: Agent._on_verdicts,
    HeartbeatReply: Agent._on_heartbeat_reply,
    Grants: Agent._on_grants,
    Stops: Agent._on_stops,
    ReportAck: Agent._on_ack,
    Goodbye: Agent._on_goodbye,
}
