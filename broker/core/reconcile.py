"""Sessions: Hello and Reconcile with a verdict on every attempt, heartbeats, capacity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from broker.core.lifecycle import AttemptEvent, JobState, next_attempt_state
from broker.core.messages import (
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
from broker.core.presence import SitePresence
from broker.core.transaction import Transaction
from scheduler.model import SiteState

STOPS_PER_REPLY_MAX = 1_000


def on_hello(tx: Transaction, event: Hello) -> None:
    """Open a session: refuse a second agent, take over capacity, judge each attempt."""
    goodbye = _unwelcome(tx, event)
    if goodbye is not None:
        tx.refuse_session(Send(event.gateway, event.site, event.session, goodbye))
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
    )
    presence.take_report(event.capacity)
    tx.memory.presence[event.site] = presence
    site = tx.state.sites[event.site]
    if site.agent_id != event.agent_id:
        tx.put(replace(site, agent_id=event.agent_id))
    _adopt(tx, event.site, ((item.job_id, item.epoch) for item in event.held))
    tx.send(presence, _verdicts(tx, presence, event.held, grant_seq_seen=None))


def _unwelcome(tx: Transaction, event: Hello) -> Goodbye | None:
    site = tx.state.sites.get(event.site)
    if site is None:
        return Goodbye("SiteUnknown", f"site {event.site} is not registered here")
    tx.memory.heard_elapsed = tx.now.elapsed  # welcome or not: our road to the sites is open
    if event.term_seen > tx.memory.term:
        return Goodbye("TermPassed", "this broker is no longer the leader")
    if site.agent_id in ("", event.agent_id):
        return None
    present = tx.memory.presence.get(event.site)
    silence = tx.lease_clock - present.heard_at_clock if present else 0.0
    if present is None or not present.connected or silence > suspect_seconds(tx):
        return _not_its_own(tx, event)
    return Goodbye(
        "SiteNameTaken", f"another agent is connected as {event.site}; stop it or use another name"
    )


def _not_its_own(tx: Transaction, event: Hello) -> Goodbye | None:
    """A new agent cannot promise what the one before it may still be running."""
    named = {(item.job_id, item.epoch) for item in event.held}
    others = sum(1 for key in _believed(tx, event.site) if key not in named)
    if not others:
        return None
    return Goodbye(
        "SiteNameTaken",
        f"{others} attempts may still run under another agent of {event.site}; start that agent"
        " with its own state directory, or wait until their leases have ended",
    )


def on_reconcile(tx: Transaction, event: Reconcile) -> None:
    """The full list again: judge each attempt, but expect nothing still on its way."""
    presence = tx.memory.presence.get(event.site)
    if presence is None or presence.session != event.session:
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
    )


def _believed(tx: Transaction, site: str) -> list[AttemptKey]:
    held = tx.state.attempts.get(site)
    return list(held.epochs.items()) if held else []


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
        return "ack" if item.ended else "stop"
    assert job is not None
    return "stop" if job.state is JobState.CANCELLING and not item.ended else "keep"


def _adopt(tx: Transaction, site: str, held: Iterable[AttemptKey]) -> None:
    """Orphaned attempts that the site still holds are back."""
    believed = tx.state.attempts.get(site)
    if believed is None or not believed.orphaned:
        return
    for job_id, epoch in tuple(held):
        if believed.orphaned.get(job_id) != epoch:
            continue
        job = tx.state.jobs[job_id]
        attempt = job.attempts[-1]
        running = attempt.started_at > 0
        event = AttemptEvent.RETURN_RUNNING if running else AttemptEvent.RETURN_OFFERED
        state = next_attempt_state(attempt.state, event, job)
        tx.update_attempt(job, replace(attempt, state=state))


def on_heartbeat(tx: Transaction, event: Heartbeat) -> None:
    """Renew the site's leases by answering; ask for the full list when digests differ."""
    presence = tx.memory.presence.get(event.site)
    if presence is None or presence.session != event.session:
        return
    if event.seq <= presence.heartbeat_seq:
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
    tx.send(presence, HeartbeatReply(event.seq, tx.memory.term, settled and differs, stopping))


def on_capacity(tx: Transaction, event: Capacity) -> None:
    """Take over what the site says is free."""
    presence = tx.memory.presence.get(event.site)
    if presence is not None and presence.session == event.session:
        presence.take_report(event.report)


def on_session_closed(tx: Transaction, event: SessionClosed) -> None:
    """The stream ended: send nothing more there. Leases run on."""
    presence = tx.memory.presence.get(event.site)
    if presence is not None and presence.session == event.session:
        presence.connected = False


def heartbeat_seconds(tx: Transaction) -> float:
    """The interval that keeps all sites together under the broker's rate."""
    sites = len(tx.state.sites)
    return max(tx.limits.heartbeat_seconds, sites / tx.limits.heartbeats_per_second_max)


def suspect_seconds(tx: Transaction) -> float:
    """Silence after which nothing new is placed."""
    return heartbeat_seconds(tx) * tx.limits.suspect_heartbeats
