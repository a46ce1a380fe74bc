"""What is said to the broker, and when: hello, heartbeats, capacity, reports.

One `Conversation` at a time; without one nothing is said. Decides nothing about attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.supervisor.conversation import Conversation
from agent.supervisor.draft import Draft
from agent.supervisor.ignored import NUMBER_MAX, Ignored
from agent.supervisor.messages import (
    CloseSession,
    SendCapacity,
    SendHeartbeat,
    SendHello,
    SendReconcile,
    SendReports,
    TermRaised,
)
from agent.supervisor.state import State
from agent.supervisor.values import AttemptId, Held, Settings

HEARTBEAT_SECONDS_MIN, HEARTBEAT_SECONDS_MAX = 0.05, 300.0


class Dialogue:
    """The supervisor's mouth. All times are elapsed seconds; `jitter()` is in [0, 1)."""

    def __init__(
        self, state: State, draft: Draft, settings: Settings, jitter: Callable[[], float]
    ) -> None:
        self._state = state
        self._draft = draft
        self._settings = settings
        self._jitter = jitter
        self._talk: Conversation | None = None

    # --- the session ---------------------------------------------------------------

    def open(self, session: str, paused: bool, now: float) -> None:
        """Say Hello: it is the first anchor."""
        interval = self._settings.heartbeat_seconds
        talk = Conversation(session, now, interval, now + interval)
        talk.anchor(0, now, self._settings.anchors_max)
        self._talk = talk
        self._state.changed_pools.clear()
        self._draft.effect(self.hello(talk.session, paused, now))
        talk.capacity_seq, talk.capacity_at, talk.capacity_full_at = 1, now, now

    def close(self, session: str) -> None:
        if self._talk is not None and self._talk.session == session:
            self._talk = None

    def hears(self, session: str, term: int | None, now: float) -> bool:
        """Whether a word of the broker counts: said in this session, by no earlier leader."""
        talk = self._talk
        if talk is None or talk.session != session:
            self._draft.ignore(Ignored.OTHER_SESSION)
            return False
        if term is not None:
            if not 0 <= term <= NUMBER_MAX:
                self._draft.ignore(Ignored.NUMBER_OUT_OF_RANGE)
                return False
            if term < self._state.term:
                self._draft.ignore(Ignored.TERM_PASSED)
                return False
            if term > self._state.term:
                self._draft.record(TermRaised(term))
        talk.heard_at = now
        return True

    @property
    def anchors(self) -> Mapping[int, float] | None:
        """When each heartbeat was sent; None while grants do not count."""
        talk = self._talk
        return talk.anchors if talk is not None and talk.reconciled else None

    def reconciled(self, heartbeat_seconds: float, hello: bool, now: float) -> None:
        """The broker has judged all that we hold. After a Hello a heartbeat follows at once;
        else in its time, for while both sides differ each heartbeat asks for a reconcile."""
        talk = self._talk
        assert talk is not None
        self.beat_every(heartbeat_seconds)
        if hello:
            talk.heartbeat_due = now
            talk.reconciled = True
            talk.send_again(self._state.outbox, now)

    def beat_every(self, seconds: float) -> None:
        """The interval that the broker wants; 0: as before."""
        if self._talk is not None and seconds > 0:
            bounded = min(seconds, HEARTBEAT_SECONDS_MAX)
            self._talk.heartbeat_seconds = max(bounded, HEARTBEAT_SECONDS_MIN)

    def sent_at(self, seq: int) -> float | None:
        """When this heartbeat was sent; None, and counted, when an answer to it means nothing."""
        talk = self._talk
        if talk is None or not talk.reconciled:
            return None
        found = talk.anchors.get(seq)
        if found is None:
            sent = 0 <= seq <= talk.seq
            self._draft.ignore(Ignored.REPLY_TOO_LATE if sent else Ignored.SEQ_NEVER_SENT)
        return found

    def extended(self, seq: int) -> None:
        """The answer to this heartbeat extended leases: the broker is told with the next one."""
        if self._talk is not None:
            self._talk.extended_seq = max(self._talk.extended_seq, seq)

    def was_told(self, report_seq: int) -> bool:
        """Whether reports up to this one were sent in this session; counts when not."""
        told = self._talk is not None and 0 <= report_seq <= self._talk.told
        if not told:
            self._draft.ignore(Ignored.REPORT_NEVER_SENT)
        return told

    def handled_grant(self, grant_seq: int) -> None:
        if self._talk is not None:
            self._talk.grant_seq = max(self._talk.grant_seq, grant_seq)
            self._talk.tell_grants = True

    def reports_acknowledged(self, report_seq: int, now: float) -> None:
        if (talk := self._talk) is not None:
            talk.progress_at = now
            while talk.unsent and talk.unsent[0] <= report_seq:
                talk.unsent.popleft()

    @property
    def heard_at(self) -> float | None:
        """When the broker last spoke in this session; None without one."""
        return self._talk.heard_at if self._talk is not None else None

    # --- what is said ----------------------------------------------------------------

    def reconcile(self, now: float) -> None:
        """Name all that we hold once more."""
        if (talk := self._talk) is not None:
            held = self._held(now)
            self._draft.effect(SendReconcile(talk.session, held, talk.grant_seq))

    def tell_all(self) -> None:
        """The next capacity is full: mode or cards have changed."""
        if self._talk is not None:
            self._talk.tell_all = True

    def settle(self, paused: bool, now: float) -> None:
        """Say what this step made worth saying; heartbeats first, capacity after reports."""
        talk, draft = self._talk, self._draft
        reports = tuple(draft.reports)
        draft.reports.clear()
        if talk is None:
            return
        told = talk.unsent[-1] if talk.unsent else 0  # a resend may hold them already
        talk.unsent.extend(number for number in reports if number > told)
        if not talk.reconciled:
            return
        if now >= talk.heartbeat_due:
            self._beat(talk, now)
        self._tell_reports(talk, now)
        if self._capacity_due(talk) <= now:
            full = (
                talk.tell_all or now - talk.capacity_full_at >= self._settings.capacity_full_seconds
            )
            draft.effect(self._capacity(talk, full=full, paused=paused, now=now))

    def sweep(self, now: float) -> None:
        """A silent broker ends the session; reports without an answer are sent again."""
        if (talk := self._talk) is None:
            return
        silence = max(self._settings.silence_seconds, 4 * talk.heartbeat_seconds)
        if now - talk.heard_at >= silence:
            self._draft.effect(CloseSession(talk.session, "BrokerSilent"))
            talk.heard_at = now  # ask once, not at every sweep
        in_flight = len(self._state.outbox) > len(talk.unsent)
        if in_flight and now - talk.progress_at >= self._settings.report_resend_seconds:
            talk.send_again(self._state.outbox, now)

    def due(self) -> float:
        """When something is to be said next."""
        talk = self._talk
        if talk is None or not talk.reconciled:
            return float("inf")
        return min(talk.heartbeat_due, self._capacity_due(talk))

    # --- the messages ------------------------------------------------------------------

    def hello(self, session: str, paused: bool, now: float) -> SendHello:
        """The first word of a session: all that is held and all that is free."""
        pools = self._state.inventory.pools()
        rules = self._state.rules
        capacity = SendCapacity(session, 1, pools, 0, full=True, paused=paused, rules=rules)
        head = self._state.outbox_head
        return SendHello(session, self._state.term, self._held(now), capacity, head)

    def _beat(self, talk: Conversation, now: float) -> None:
        seq = talk.seq + 1
        talk.anchor(seq, now, self._settings.anchors_max)
        spread = self._settings.heartbeat_jitter * (2 * self._jitter() - 1)
        talk.heartbeat_due = now + talk.heartbeat_seconds * (1 + spread)
        state = self._state
        self._draft.effect(
            SendHeartbeat(
                talk.session,
                seq,
                state.digest,
                talk.grant_seq,
                state.outbox_head,
                talk.extended_seq,
            )
        )

    def _held(self, now: float) -> tuple[Held, ...]:
        deadlines = self._state.deadlines
        return tuple(
            Held(
                AttemptId(attempt.job_id, attempt.epoch),
                attempt.phase,
                max(0.0, deadlines.get(attempt.name, now) - now),
            )
            for attempt in self._state.attempts.values()
        )

    def _capacity_due(self, talk: Conversation) -> float:
        if talk.tell_all or talk.tell_grants or self._state.changed_pools:
            return talk.capacity_at + self._settings.capacity_pause_seconds
        return talk.capacity_full_at + self._settings.capacity_full_seconds

    def _capacity(
        self, talk: Conversation, *, full: bool, paused: bool, now: float
    ) -> SendCapacity:
        pools = self._state.inventory.pools()
        if not full:
            changed = self._state.changed_pools
            pools = tuple(pool for pool in pools if pool.name in changed)
        self._state.changed_pools.clear()
        talk.tell_all = talk.tell_grants = False
        talk.capacity_seq += 1
        talk.capacity_at = now
        if full:
            talk.capacity_full_at = now
        return SendCapacity(
            talk.session,
            talk.capacity_seq,
            pools,
            talk.grant_seq,
            full,
            paused,
            self._state.rules if full else (),
        )

    def _tell_reports(self, talk: Conversation, now: float) -> None:
        outbox, settings = self._state.outbox, self._settings
        room = settings.reports_in_flight_max - (len(outbox) - len(talk.unsent))
        if talk.unsent and len(outbox) == len(talk.unsent):
            talk.progress_at = now  # nothing was in flight: the wait begins
        while talk.unsent and room > 0:
            size = min(room, settings.report_batch_max, len(talk.unsent))
            numbers = [talk.unsent.popleft() for _ in range(size)]
            room -= size
            talk.told = max(talk.told, numbers[-1])
            reports = tuple(outbox[number] for number in numbers if number in outbox)
            if reports:
                self._draft.effect(SendReports(talk.session, reports, next(iter(outbox))))
