"""Planned maintenance: leases that outlast an announced absence of the broker.

An announcement of D seconds is a row. Once it is durable, each answer to a heartbeat h says
that the site's leases last at least E more seconds from when h was sent, E being what is
left of D. While the row is there, no lease is taken back before D has passed with its
margins, counted from the announcement, or from a later leader's own first moment.

Why this is safe. The agent ends a lease at send(h) + max(T, E), by a clock that errs long,
and what it guards is dead K later. The broker answered h at b ≥ send(h) with
E = D − (b − announced), so death comes at most (D + K)/(1−ρ) after the announcement, or
(T + K)/(1−ρ) after b. It takes back only when both takeback(D) have passed since the
announcement and takeback(T) since it last heard the site; takeback(x) lasts at least
(x + K)/(1−ρ) by any clock within ρ. A later leader began after b and waits takeback(D) from
there, with the greatest D that was announced, since the row goes only when such a wait is
over. An answer with an extension never leaves before the row is durable (`broker.loop`).
"""

from __future__ import annotations

from broker.core.messages import AnnounceMaintenance, Done, Heartbeat, Refusal, Reply
from broker.core.presence import SitePresence
from broker.core.rows import Maintenance
from broker.core.transaction import Memory, Transaction


def on_announce(tx: Transaction, event: AnnounceMaintenance) -> Reply:
    """Extend every lease to `seconds` from now, and wait as long before any is taken back."""
    longest = tx.limits.maintenance_seconds_max
    if not 0 < event.seconds <= longest:
        return Refusal(
            "MaintenanceTooLong",
            f"maintenance of {event.seconds:g} s; it may last up to {longest:g} s",
            "INVALID_ARGUMENT",
            "announce a shorter one; it can be announced again before it is over",
        )
    known = tx.state.maintenance
    row = Maintenance(
        seconds=max(event.seconds, known.seconds if known else 0.0),
        announced_at=tx.now.wall,
        announced_by=event.actor,
    )
    tx.audit(event.actor, "maintenance.announce", row.key, f"{event.seconds:g} s")
    tx.put(row)
    memory = tx.memory
    memory.extended_until = max(memory.extended_until, tx.now.elapsed + event.seconds)
    ends = tx.now.elapsed + tx.limits.takeback_seconds(event.seconds)
    memory.takeback_after = max(memory.takeback_after, ends)
    for presence in memory.presence.values():
        presence.extension_seq, presence.extended = 0, False
    return Done()


def resume(memory: Memory, elapsed: float) -> None:
    """A new leader: what was announced may have begun only just before."""
    row = memory.state.maintenance
    if row is not None:
        memory.takeback_after = elapsed + memory.limits.takeback_seconds(row.seconds)


def holds_leases(tx: Transaction) -> bool:
    """Whether no lease may be taken back now, however long its site has been silent."""
    return tx.state.maintenance is not None and tx.now.elapsed <= tx.memory.takeback_after


def extend(tx: Transaction, presence: SitePresence, beat: Heartbeat) -> float:
    """Seconds for which leases last at least from this heartbeat; notes who has made it durable."""
    left = tx.memory.extended_until - tx.now.elapsed
    if tx.state.maintenance is None or left <= 0:
        return 0.0
    if presence.extension_seq == 0:
        presence.extension_seq = beat.seq
    elif beat.extended_seq >= presence.extension_seq:
        presence.extended = True
    return left


def end_maintenance(tx: Transaction) -> None:
    """Drop the row once no extended lease can run any more."""
    row = tx.state.maintenance
    if row is not None and not holds_leases(tx):
        tx.audit("broker", "maintenance.end", row.key)
        tx.delete(row.key)
