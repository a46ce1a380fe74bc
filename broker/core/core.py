"""`handle(events, now)`: the broker's decisions, one batch at a time.

It returns records, sends and replies. The shell stores the records, then releases the
rest. Nothing else in the house decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from broker.core import (
    admin,
    commands,
    datasets,
    dispatch,
    liveness,
    maintenance,
    prestaging,
    reconcile,
    reports,
    sites,
    submission,
)
from broker.core.command_messages import BeginCommand
from broker.core.data_messages import CacheReport, DeleteDataset, StagingReport
from broker.core.limits import Limits
from broker.core.messages import (
    AnnounceMaintenance,
    Approve,
    Cancel,
    Capacity,
    ConfirmDead,
    CreateToken,
    Event,
    Heartbeat,
    Hello,
    Join,
    Now,
    Proposals,
    PutBundle,
    PutRow,
    Reconcile,
    RemoveSite,
    Reply,
    Reports,
    SessionClosed,
    SetDrain,
    Step,
    Submit,
    Tick,
)
from broker.core.state import State
from broker.core.transaction import Memory, Transaction
from scheduler.model import Accelerator

REVISION_BITS = 32  # changes in one leader's term

HANDLERS: dict[type, Callable[[Transaction, Any], Reply | None]] = {
    Submit: submission.on_submit,
    Cancel: submission.on_cancel,
    BeginCommand: commands.on_begin_command,
    PutBundle: submission.on_put_bundle,
    CreateToken: admin.on_create_token,
    Join: admin.on_join,
    Approve: admin.on_approve,
    SetDrain: sites.on_set_drain,
    RemoveSite: sites.on_remove_site,
    ConfirmDead: sites.on_confirm_dead,
    AnnounceMaintenance: maintenance.on_announce,
    PutRow: admin.on_put_row,
    DeleteDataset: datasets.on_delete_dataset,
    Hello: reconcile.on_hello,
    Reconcile: reconcile.on_reconcile,
    Heartbeat: reconcile.on_heartbeat,
    Capacity: reconcile.on_capacity,
    SessionClosed: reconcile.on_session_closed,
    Reports: reports.on_reports,
    CacheReport: prestaging.on_cache_report,
    StagingReport: prestaging.on_staging_report,
    Proposals: dispatch.on_proposals,
    Tick: liveness.on_tick,
}


class Core:
    """The pure core over a state that was loaded; `term` is the leader's own."""

    def __init__(
        self,
        state: State,
        limits: Limits,
        term: int,
        now: Now,
        accelerators: tuple[Accelerator, ...] = (),
    ) -> None:
        # Revisions rise from leader to leader, also past those that were never durable.
        state.revision = max(state.revision, term << REVISION_BITS)
        self.memory = Memory(
            state,
            limits,
            term,
            accelerators,
            started_elapsed=now.elapsed,
            ticked_elapsed=now.elapsed,
            heard_elapsed=now.elapsed,
            wall_ahead=now.wall - now.elapsed,
            wall_steady_since=now.elapsed,
        )
        maintenance.resume(self.memory, now.elapsed)

    def handle(self, events: Sequence[Event], now: Now) -> Step:
        """Apply a batch in order. `replies[i]` answers `events[i]`."""
        transaction = Transaction(self.memory, now)
        replies = tuple(HANDLERS[type(event)](transaction, event) for event in events)
        records, sends = transaction.close()
        return Step(records, sends, replies)
