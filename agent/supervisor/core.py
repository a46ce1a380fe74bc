"""The supervisor: decides what a site's agent does, and does none of it.

`handle(events, now)` returns records, which the daemon makes durable, and effects, which it
performs only then. The site's side of the lease protocol (reliability.md section 5) stands
in this package and nowhere else. No clock, no chance, no input or output: all are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from agent.supervisor.admission import JOURNAL_FULL
from agent.supervisor.attempts import Attempts
from agent.supervisor.dialogue import Dialogue
from agent.supervisor.draft import Decision, Draft
from agent.supervisor.ignored import Ignored
from agent.supervisor.messages import (
    CardsRecalled,
    Closed,
    CloseSession,
    Committed,
    Event,
    GrantsReceived,
    HeartbeatReplied,
    InventoryChanged,
    JournalFailed,
    JournalRecovered,
    ModeSet,
    Opened,
    Published,
    RecallReleased,
    ReportsAcknowledged,
    RunEnded,
    RunRefused,
    RunsFound,
    RunStarted,
    SendHello,
    StopReceived,
    Tick,
    VerdictsReceived,
)
from agent.supervisor.outcomes import CANCELLED, SITE_PAUSED, SUPERSEDED
from agent.supervisor.policing import Policing
from agent.supervisor.recovery import compare
from agent.supervisor.state import State
from agent.supervisor.values import PROTOCOL_MAX, PROTOCOL_MIN, Mode, Moment, Settings


class Supervisor:
    """One site's attempts and its side of the session. `jitter()` is in [0, 1)."""

    def __init__(self, state: State, settings: Settings, jitter: Callable[[], float]) -> None:
        self.state = state
        self._settings = settings
        self._draft = Draft(state)
        self._attempts = Attempts(state, self._draft, settings)
        self._policing = Policing(state, self._draft, self._attempts, settings)
        self._dialogue = Dialogue(state, self._draft, settings, jitter)
        self._sweep_due = 0.0

    @property
    def mode(self) -> Mode:
        return self._attempts.mode

    @property
    def journal_full(self) -> bool:
        return self._attempts.journal_full

    @property
    def paused(self) -> bool:
        """Whether the site takes nothing new."""
        return self.mode not in (Mode.OPEN, Mode.CANARY) or self.journal_full

    def handle(self, events: Iterable[Event], now: Moment) -> Decision:
        """What these events mean: records to make durable, then effects to perform."""
        for event in events:
            _HANDLERS[type(event)](self, event, now)
        self._dialogue.settle(self.paused, now.elapsed)
        return self._draft.finish()

    @property
    def ignored(self) -> Mapping[Ignored, int]:
        """How often something was heard and had no effect, since this agent started."""
        return MappingProxyType(self._draft.ignored)

    def next_due(self) -> float:
        """Elapsed seconds at which a Tick is wanted, if nothing else happens before."""
        return min(self._sweep_due, self._dialogue.due())

    @property
    def heard_at(self) -> float | None:
        """Elapsed seconds at the broker's last word in this session; None without one."""
        return self._dialogue.heard_at

    def hello(self, session: str, now: Moment) -> SendHello:
        """What would be said to the broker first, if a session began now."""
        return self._dialogue.hello(session, self.paused, now.elapsed)

    # --- the session -------------------------------------------------------------

    def _open(self, event: Opened, now: Moment) -> None:
        self._dialogue.open(event.session, self.paused, now.elapsed)

    def _close(self, event: Closed, now: Moment) -> None:
        self._dialogue.close(event.session)

    def _judge(self, event: VerdictsReceived, now: Moment) -> None:
        if not self._dialogue.hears(event.session, event.term, now.elapsed):
            return
        if not PROTOCOL_MIN <= event.protocol <= PROTOCOL_MAX:
            self._draft.ignore(Ignored.PROTOCOL_UNKNOWN)
            self._draft.effect(CloseSession(event.session, "ProtocolUnknown"))
            return
        for id in event.stop:
            self._attempts.stop(id, SUPERSEDED, now)
        for id in event.acknowledge:
            self._attempts.acknowledge(id, now)
        for id in event.expect:
            self._attempts.promise(id, now)
        self._dialogue.reconciled(event.heartbeat_seconds, event.hello, now.elapsed)

    def _renew(self, event: HeartbeatReplied, now: Moment) -> None:
        if not self._dialogue.hears(event.session, event.term, now.elapsed):
            return
        sent_at = self._dialogue.sent_at(event.seq)
        if sent_at is None:
            return
        self._dialogue.beat_every(event.heartbeat_seconds)
        self._attempts.expire(now.elapsed)  # an ended lease is beyond renewal
        for id in event.stop:
            self._attempts.stop(id, CANCELLED, now)
        self._attempts.renew(sent_at, event.extension_seconds)
        if event.extension_seconds > 0:
            self._dialogue.extended(event.seq)
        if event.reconcile:
            self._dialogue.reconcile(now.elapsed)

    def _take(self, event: GrantsReceived, now: Moment) -> None:
        if not self._dialogue.hears(event.session, event.term, now.elapsed):
            return
        anchors = self._dialogue.anchors
        for grant in event.grants:
            self._attempts.take(grant, anchors, now)
            self._dialogue.handled_grant(grant.grant_seq)

    def _stop(self, event: StopReceived, now: Moment) -> None:
        if self._dialogue.hears(event.session, None, now.elapsed):
            self._attempts.stop(event.id, event.reason, now)

    def _acknowledge(self, event: ReportsAcknowledged, now: Moment) -> None:
        heard = self._dialogue.hears(event.session, None, now.elapsed)
        if heard and self._dialogue.was_told(event.report_seq):
            self._attempts.acknowledge_reports(event.report_seq, now)
            self._dialogue.reports_acknowledged(event.report_seq, now.elapsed)

    # --- the site ----------------------------------------------------------------

    def _start(self, event: RunStarted, now: Moment) -> None:
        self._attempts.started(event.name, now)

    def _refuse(self, event: RunRefused, now: Moment) -> None:
        self._attempts.refused(event.name, event.failure, now, event.costs_try)

    def _end(self, event: RunEnded, now: Moment) -> None:
        self._attempts.ended(event.exit)

    def _commit(self, event: Committed, now: Moment) -> None:
        self._attempts.committed(event.name, event.commit, now)

    def _publish(self, event: Published, now: Moment) -> None:
        self._attempts.published(event.exit, event.failure)

    def _find(self, event: RunsFound, now: Moment) -> None:
        compare(event.runs, self._attempts, self._draft, now)

    def _recount(self, event: InventoryChanged, now: Moment) -> None:
        self.state.change_inventory(event.inventory, event.rules)
        self._policing.enforce(now)
        self._dialogue.tell_all()

    def _recall(self, event: CardsRecalled, now: Moment) -> None:
        self._policing.recall(event, now)

    def _release(self, event: RecallReleased, now: Moment) -> None:
        self._policing.release(event.pool, now)

    def _set_mode(self, event: ModeSet, now: Moment) -> None:
        self._attempts.mode, self._attempts.canary = event.mode, event.tenants
        if event.stop_jobs:
            self._attempts.stop_all(SITE_PAUSED)
        self._dialogue.tell_all()

    # --- the journal ---------------------------------------------------------------

    def _suffer(self, event: JournalFailed, now: Moment) -> None:
        """Nothing new until there is room; what was not begun is refused.

        All else goes on. Reports that are not durable here do no harm: after a restart the
        backend tells the same again, and the broker judges a report by its attempt.
        """
        self._attempts.journal_full = True
        for name in event.launches:
            self._attempts.refused(name, JOURNAL_FULL, now)
        self._dialogue.tell_all()

    def _recover(self, event: JournalRecovered, now: Moment) -> None:
        self._attempts.journal_full = False
        self._dialogue.tell_all()

    # --- time ------------------------------------------------------------------------

    def _tick(self, event: Tick, now: Moment) -> None:
        if now.elapsed < self._sweep_due:
            return
        self._sweep_due = now.elapsed + self._settings.sweep_seconds
        self._attempts.expire(now.elapsed)
        self._policing.enforce(now)
        self._attempts.sweep(now)
        self._dialogue.sweep(now.elapsed)


_HANDLERS: dict[type[Event], Any] = {
    Opened: Supervisor._open,
    Closed: Supervisor._close,
    VerdictsReceived: Supervisor._judge,
    HeartbeatReplied: Supervisor._renew,
    GrantsReceived: Supervisor._take,
    StopReceived: Supervisor._stop,
    ReportsAcknowledged: Supervisor._acknowledge,
    RunStarted: Supervisor._start,
    RunRefused: Supervisor._refuse,
    RunEnded: Supervisor._end,
    Committed: Supervisor._commit,
    Published: Supervisor._publish,
    RunsFound: Supervisor._find,
    InventoryChanged: Supervisor._recount,
    ModeSet: Supervisor._set_mode,
    CardsRecalled: Supervisor._recall,
    RecallReleased: Supervisor._release,
    JournalFailed: Supervisor._suffer,
    JournalRecovered: Supervisor._recover,
    Tick: Supervisor._tick,
}
