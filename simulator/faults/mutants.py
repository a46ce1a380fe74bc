"""Safety mechanisms, each switched off in turn: whoever cannot see that is blind.

A mutant patches the product or the simulation around it from here, for the length of one
run; the product has no such switch. Where two mechanisms guard against the same thing both
are taken away, and `with_it` says so. Those that may go unseen stand in REDUNDANT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from simulator.faults import without
from simulator.faults.schedule import Hunt
from simulator.faults.without import Patches


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mechanism and how to do without it."""

    name: str
    mechanism: str  # what is taken away
    switch_off: Callable[[Patches], None]
    likely: tuple[str, ...] = ()  # kinds of faults that need it
    lease_classes: tuple[str, ...] = ("restart",)
    with_it: str = ""  # what is taken away too, as either suffices; if redundant, what suffices

    @property
    def hunt(self) -> Hunt:
        return Hunt(self.likely)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The house without the mechanism."""
        with ExitStack() as undo:
            self.switch_off(Patches(undo))
            yield


_CUTS = ("cut", "slow")
MUTANTS = (
    Mutant(
        "new-leader-does-not-wait",
        "a new leader counts every lease anew from its own first moment",
        without.new_leader_does_not_wait,
        ("cut", "crash-broker", "isolate"),
    ),
    Mutant(
        "no-margin",
        "the broker waits longer than the lease: for clock drift and for the kill",
        without.no_margin,
        ("cut",),
    ),
    Mutant(
        "reports-of-any-epoch",
        "a report counts for its own epoch and site only",
        without.reports_of_any_epoch,
        _CUTS,
    ),
    Mutant(
        "capacity-not-checked",
        "leases stay within what the site offers",
        without.capacity_not_checked,
        ("change-cards",),
    ),
    Mutant(
        "strangers-promise",
        "only the agent that held an attempt can promise that it does not run",
        without.strangers_promise,
        ("move",),
    ),
    Mutant(
        "stale-not-stopped",
        "whoever holds an epoch that is over is told to stop it",
        without.stale_not_stopped,
        _CUTS,
        ("overlap",),
    ),
    Mutant(
        "copies-not-counted",
        "an overlapping job is replaced only while few of its copies are unproved",
        without.copies_not_counted,
        _CUTS,
        ("overlap",),
    ),
    Mutant(
        "maintenance-not-waited-for",
        "no lease that was extended for maintenance is taken back before it is over",
        without.maintenance_not_waited_for,
        ("maintain", "cut", "crash-agent"),
    ),
    Mutant(
        "ages-by-any-wall",
        "nothing is forgotten for its age right after the wall clock jumped",
        without.ages_by_any_wall,
        ("jump-wall", "submit-again"),
    ),
    Mutant(
        "preempted-at-once",
        "who makes room for another is queued again only when its site has told of the end",
        without.preempted_at_once,
    ),
    Mutant(
        "sends-before-commit",
        "what is sent to sites waits until it is durable",
        without.sends_before_commit,
        ("crash-broker-at", "exile", "fill-store"),
    ),
    Mutant(
        "replies-before-commit",
        "answers to clients wait until what they say is durable",
        without.replies_before_commit,
    ),
    Mutant(
        "gaps-acknowledged",
        "an acknowledgement never covers reports that the broker had no room for",
        without.gaps_acknowledged,
        ("deafen",),
    ),
    Mutant(
        "led-deadline-ignored",
        "a leader answers only while no other can have begun to lead",
        without.led_deadline_ignored,
        ("exile", "pause-broker"),
    ),
    Mutant(
        "writes-of-any-term",
        "the store takes writes of the leader's own term only",
        without.writes_of_any_term,
        ("exile", "pause-broker-at"),
    ),
    Mutant(
        "late-copies-of-writes",
        "a late copy of a write that was made changes nothing",
        without.late_copies_of_writes,
    ),
    Mutant(
        "guard-inside-the-agent",
        "the guard beside a run lives without the agent",
        without.guard_inside_the_agent,
        ("pause-agent", "crash-agent"),
    ),
    Mutant(
        "lease-from-receipt",
        "a lease counts from when the agent sent the heartbeat, not from the answer",
        without.lease_from_receipt,
        ("slow", "pause-agent", "cut"),
    ),
    Mutant(
        "any-session-at-site",
        "the agent hears the broker in its present session only",
        without.any_session_at_site,
        ("echo", "tear"),
    ),
    Mutant(
        "marks-not-durable",
        "the high-water mark of each job outlives the agent",
        without.marks_not_durable,
        ("tear", "crash-agent", "crash-agent-at"),
        ("proof",),
        with_it="any-session-at-site",
    ),
    Mutant(
        "journal-not-moved",
        "leases in the journal are on the clock of the process that the journal names",
        without.journal_not_moved,
        ("crash-agent", "crash-agent-at", "cut", "maintain"),
    ),
    Mutant(
        "promise-not-kept",
        "what was promised never to start never starts",
        without.promise_not_kept,
        ("cut", "tear", "slow"),
        ("proof",),
        with_it="any-session-at-site",
    ),
    Mutant(
        "starts-after-restart",
        "after a restart the agent starts nothing that it had only accepted",
        without.starts_after_restart,
        ("crash-agent-at", "crash-agent"),
    ),
    Mutant(
        "late-start",
        "no run begins after its lease has ended",
        without.late_start,
        ("pause-agent-at", "pause-agent"),
    ),
    Mutant(
        "half-a-gang",
        "a gang is placed whole or not at all",
        without.half_a_gang,
    ),
)
# Mechanisms that may be taken away by themselves unseen, and what stands in for each.
REDUNDANT = (
    Mutant(
        "any-session-at-broker",
        "the broker hears a site in its present session only",
        without.any_session_at_broker,
        ("tear", "cut", "replay"),
        with_it="epochs on reports, and what the agent checks of answers",
    ),
    Mutant(
        "any-term-at-site",
        "the agent hears no leader older than one it has heard",
        without.any_term_at_site,
        ("exile", "pause-broker"),
        with_it="each leader has sessions of its own, and the led deadline",
    ),
)
BY_NAME = {mutant.name: mutant for mutant in (*MUTANTS, *REDUNDANT)}
