"""Sessions: Hello and Reconcile with a verdict on every attempt, heartbeats, capacity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from broker.core.ignored import Ignored, out_of_range
from broker.core.lifecycle import AttemptEvent, JobState, next_attempt_state
from broker.core.maintenance import extend
from broker.core.messages import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    AttemptKey,
    Capacity,
    Goodbye,
    Heartbeat,
    HeartbeatReply,
    Held,
    Hello,
    Reconcile,
    Send,
    SessionClosed,
    Verdicts,
)
from broker.core.overlap import take_back
from broker.core.preempting import press_yielding
from broker.core.presence import SitePresence
from broker.core.rows import Job
from broker.core.sites import press_drain
from broker.core.transaction import Transaction
from scheduler.model import SiteState

STOPS_PER_REPLY_MAX = 1_000
SESSIONS_KEPT = 16  # of one site: a message of theirs that comes late is known for what it is


def on_hello(tx: Transaction, event: Hello) -> None:
    """Open a session: refuse a second agent, take over capacity, judge each attempt."""
    goodbye = _unwelcome(tx, event)
    if goodbye is not None:
        tx.refuse_session(Send(event.gateway, event.site, event.session, goodbye))
        return
    before = tx.memory.presence.get(event.site)
    sessions = (before.session, *before.earlier) if before else ()
    if event.session in sessions:
        tx.ignore(Ignored.HELLO_REPEATED)
        return
    presence = SitePresence(
        site=event.site,
        session=event.session,
        gateway=event.gateway,
        agent_id=event.agent_id,
        boot_id=event.boot_id,
        facts=event.facts,
        heard_at_clock=tx.lease_clock,
        heard_wall=tx.now.wall,
        protocol=min(event.protocols[1], PROTOCOL_MAX),
        heartbeat_seconds=heartbeat_seconds(tx),
        earlier=sessions[:SESSIONS_KEPT],
    )
    presence.take_report(event.capacity)
    tx.memory.presence[event.site] = presence
    tx.memory.ahead.hold(event.site, ())  # until it says what its cache holds
    site = tx.state.sites[event.site]
    if site.agent_id != event.agent_id:
        tx.put(replace(site, agent_id=event.agent_id))
    _adopt(tx, event.site, ((item.job_id, item.epoch) for item in event.held))
    tx.send(presence, _verdicts(tx, presence, event.held, grant_seq_seen=None))


def _unwelcome(tx: Transaction, event: Hello) -> Goodbye | None:
    site = tx.state.sites.get(event.site)
    if site is None:
        tx.ignore(Ignored.SITE_UNKNOWN)
        return Goodbye("SiteUnknown", f"site {event.site} is not registered here")
    tx.memory.heard_elapsed = tx.now.elapsed  # welcome or not: our road to the sites is open
    lowest, highest = event.protocols
    if lowest > PROTOCOL_MAX or highest < PROTOCOL_MIN:
        tx.ignore(Ignored.PROTOCOL_UNKNOWN)
        return _no_common_protocol(lowest, highest)
    if event.term_seen > tx.memory.term:
        tx.ignore(Ignored.TERM_PASSED)
        return Goodbye("TermPassed", "this broker is no longer the leader")
    if site.agent_id in ("", event.agent_id):
        return None
    present = tx.memory.presence.get(event.site)
    silence = tx.lease_clock - present.heard_at_clock if present else 0.0
    if present is None or not present.connected or silence > suspect_seconds(tx, present):
        return _not_its_own(tx, event)
    tx.ignore(Ignored.OTHER_AGENT)
    return Goodbye(
        "SiteNameTaken", f"another agent is connected as {event.site}; stop it or use another name"
    )


def _no_common_protocol(lowest: int, highest: int) -> Goodbye:
    spoken = f"this broker speaks versions {PROTOCOL_MIN} to {PROTOCOL_MAX} of the protocol"
    older = "agent" if highest < PROTOCOL_MIN else "broker"
    return Goodbye(
        "ProtocolUnknown",
        f"{spoken}, the agent {lowest} to {highest}; the {older} must be updated",
    )


def _not_its_own(tx: Transaction, event: Hello) -> Goodbye | None:
    """A new agent cannot promise what the one before it may still be running."""
    named = {(item.job_id, item.epoch) for item in event.held}
    others = sum(1 for key in _believed(tx, event.site) if key not in named)
    if not others:
        return None
    tx.ignore(Ignored.OTHER_AGENT)
    return Goodbye(
        "SiteNameTaken",
        f"{others} attempts may still run under another agent of {event.site}; start that agent"
        " with its own state directory, or wait until their leases have ended",
    )


def on_reconcile(tx: Transaction, event: Reconcile) -> None:
    """The full list again: judge each attempt, but expect nothing still on its way."""
    presence = tx.present(event.site, event.session)
    if presence is None:
        return
    _adopt(tx, event.site, ((item.job_id, item.epoch) for item in event.held))
    tx.send(presence, _verdicts(tx, presence, event.held, event.grant_seq_seen))


def _verdicts(
    tx: Transaction, presence: SitePresence, held: tuple[Held, ...], grant_seq_seen: int | None
) -> Verdicts:
    keep: list[AttemptKey] = []
    stop: list[AttemptKey] = []
    acknowledge: list[AttemptKey] = []
    for item in held:
        verdict = _judge(tx, presence.site, item)
        {"keep": keep, "stop": stop, "ack": acknowledge}[verdict].append((item.job_id, item.epoch))
    named = {(item.job_id, item.epoch) for item in held}
    in_flight = grant_seq_seen is not None and grant_seq_seen < presence.grant_seq
    expect = () if in_flight else tuple(k for k in _believed(tx, presence.site) if k not in named)
    return Verdicts(
        term=tx.memory.term,
        keep=tuple(keep),
        stop=tuple(stop),
        acknowledge=tuple(acknowledge),
        expect=expect,
        heartbeat_seconds=heartbeat_seconds(tx),
        hello=grant_seq_seen is None,
        protocol=presence.protocol,
    )


def _believed(tx: Transaction, site: str) -> list[AttemptKey]:
    held = tx.state.attempts.get(site)
    return [*held.epochs.items(), *held.copies] if held else []


def _judge(tx: Transaction, site: str, item: Held) -> str:
    job = tx.state.jobs.get(item.job_id)
    attempt = job.attempt if job else None
    current = (
        job is not None
        and attempt is not None
        and attempt.live
        and (attempt.epoch, attempt.site) == (item.epoch, site)
    )
    if not current:
        tx.ignore(_why_not(job, site, item.epoch))
        return "ack" if item.ended else "stop"
    assert job is not None
    return "stop" if job.state is JobState.CANCELLING and not item.ended else "keep"


def _why_not(job: Job | None, site: str, epoch: int) -> Ignored:
    attempt = job.attempt_of(epoch) if job else None
    if job is None or attempt is None:
        return Ignored.ATTEMPT_UNKNOWN
    if attempt.site != site:
        return Ignored.ATTEMPT_FOREIGN
    return Ignored.REPORT_REPEATED if attempt is job.attempt else Ignored.ATTEMPT_SUPERSEDED


def _adopt(tx: Transaction, site: str, held: Iterable[AttemptKey]) -> None:
    """Orphaned attempts that the site still holds are back, and copies that nothing replaced."""
    believed = tx.state.attempts.get(site)
    if believed is None or not (believed.orphaned or believed.copies):
        return
    for job_id, epoch in tuple(held):
        if believed.orphaned.get(job_id) != epoch and (job_id, epoch) not in believed.copies:
            continue
        job = tx.state.jobs[job_id]
        attempt = job.attempts[-1]
        if (job_id, epoch) in believed.copies:
            if job.state is JobState.QUEUED and attempt.epoch == epoch:
                take_back(tx, job, attempt)
            continue
        running = attempt.started_at > 0
        event = AttemptEvent.RETURN_RUNNING if running else AttemptEvent.RETURN_OFFERED
        state = next_attempt_state(attempt.state, event, job)
        tx.update_attempt(job, replace(attempt, state=state))


def on_heartbeat(tx: Transaction, event: Heartbeat) -> None:
    """Renew the site's leases by answering; ask for the full list when digests differ."""
    presence = tx.present(event.site, event.session)
    if presence is None:
        return
    if out_of_range(event.seq, event.grant_seq_seen, event.report_seq_head, event.extended_seq):
        tx.ignore(Ignored.NUMBER_OUT_OF_RANGE)
        return
    if event.seq <= presence.heartbeat_seq:
        tx.ignore(Ignored.HEARTBEAT_REPEATED)
        return
    presence.heartbeat_seq = event.seq
    presence.heard_at_clock = tx.lease_clock
    presence.heard_wall = tx.now.wall
    presence.silence = SiteState.OPEN
    tx.memory.heard_elapsed = tx.now.elapsed
    held = tx.state.attempts.get(event.site)
    stopping = tuple(held.stopping.items())[:STOPS_PER_REPLY_MAX] if held else ()
    settled = (
        event.grant_seq_seen == presence.grant_seq and event.report_seq_head <= presence.report_seq
    )
    differs = event.digest != (held.digest if held else 0)
    if held and not differs:
        _adopt(tx, event.site, held.orphaned.items())
    if settled and differs:
        tx.ignore(Ignored.DIGEST_DIFFERS)
    tx.send(
        presence,
        HeartbeatReply(
            event.seq,
            tx.memory.term,
            settled and differs,
            stopping,
            _told_interval(tx, presence),
            extend(tx, presence, event),
        ),
    )
    press_drain(tx, presence)
    press_yielding(tx, presence)


def _told_interval(tx: Transaction, presence: SitePresence) -> float:
    """The interval of now. Suspicion goes by the longest told: an older agent keeps to that."""
    interval = heartbeat_seconds(tx)
    presence.heartbeat_seconds = max(presence.heartbeat_seconds, interval)
    return interval


def on_capacity(tx: Transaction, event: Capacity) -> None:
    """Take over what the site says is free."""
    presence = tx.present(event.site, event.session)
    if presence is None:
        return
    report = event.report
    if out_of_range(report.seq, report.reflects_grant_seq):
        tx.ignore(Ignored.NUMBER_OUT_OF_RANGE)
    elif not presence.take_report(report):
        tx.ignore(Ignored.CAPACITY_REPEATED)


def on_session_closed(tx: Transaction, event: SessionClosed) -> None:
    """The stream ended: send nothing more there. Leases run on."""
    presence = tx.memory.presence.get(event.site)
    if presence is not None and presence.session == event.session:
        presence.connected = False


def heartbeat_seconds(tx: Transaction) -> float:
    """The interval that keeps all sites together under the broker's rate."""
    sites = len(tx.state.sites)
    return max(tx.limits.heartbeat_seconds, sites / tx.limits.heartbeats_per_second_max)


def suspect_seconds(tx: Transaction, presence: SitePresence | None = None) -> float:
    """Silence after which nothing new is placed: at a site, or at any as a rule."""
    interval = max(heartbeat_seconds(tx), presence.heartbeat_seconds if presence else 0.0)
    return interval * tx.limits.suspect_heartbeats
