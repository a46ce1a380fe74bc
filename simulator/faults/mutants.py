"""Safety mechanisms, each switched off in turn: whoever cannot see that is blind.

A mutant patches the product or the simulation around it from here, for the length of one
run; the product has no such switch. Where two mechanisms guard against the same thing both
are taken away, and `with_it` says so. Those that may go unseen stand in REDUNDANT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from agent.backends import RunOrder, run_name
from agent.supervisor import admission, attempts, recovery
from agent.supervisor.attempts import Attempts
from agent.supervisor.core import _HANDLERS as SITE_HANDLERS
from agent.supervisor.dialogue import Dialogue
from agent.supervisor.messages import HeartbeatReplied, Launch, MarkRaised
from agent.supervisor.values import Phase
from broker.core import dispatch, liveness, reconcile, reports
from broker.core.core import Core
from broker.core.limits import Limits
from broker.core.transaction import Transaction
from broker.gaps import Gaps
from simulator.faults import journal
from simulator.faults.broker_lead import Batch, BrokerLead
from simulator.faults.broker_node import BrokerNode
from simulator.faults.machine import Run
from simulator.faults.schedule import Hunt
from simulator.faults.shared_store import SharedStore
from simulator.faults.site_node import SiteNode

LONG_SECONDS = 1e6


class Patches:
    """What was changed, so that it can be put back."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Put `value` in an attribute's place; what was there before."""
        before = getattr(owner, name)
        self._undo.callback(setattr, owner, name, before)
        setattr(owner, name, value)
        return before

    def put(self, table: dict[Any, Any], key: Any, value: Any) -> Any:
        """Put `value` in an entry's place; what was there before."""
        before = table[key]
        self._undo.callback(table.__setitem__, key, before)
        table[key] = value
        return before


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


def _always(value: object) -> Callable[..., Any]:
    return lambda *_args, **_named: value


# --- the broker's side --------------------------------------------------------------


def _new_leader_does_not_wait(patches: Patches) -> None:
    def begin(core: Core, *args: Any) -> None:
        before(core, *args)
        core.memory.started_elapsed = -LONG_SECONDS

    before = patches.set(Core, "__init__", begin)


def _reports_of_any_epoch(patches: Patches) -> None:
    patches.set(reports, "_is_current", _always(True))


def _no_margin(patches: Patches) -> None:
    patches.set(Limits, "takeback_seconds", lambda _limits, lease_seconds: lease_seconds)


def _any_session_at_broker(patches: Patches) -> None:
    patches.set(Transaction, "present", lambda tx, site, _: tx.memory.presence.get(site))


def _capacity_not_checked(patches: Patches) -> None:
    patches.set(dispatch, "_offered", _always(True))


def _strangers_promise(patches: Patches) -> None:
    patches.set(reconcile, "_not_its_own", _always(None))


def _stale_not_stopped(patches: Patches) -> None:
    def judge(tx: Any, site: str, item: Any) -> str:
        verdict: str = before(tx, site, item)
        return "keep" if verdict == "stop" else verdict

    before = patches.set(reconcile, "_judge", judge)


def _copies_not_counted(patches: Patches) -> None:
    def may_replace(tx: Any, job: Any) -> bool:
        return tx.spec_of(job).lease_class == "overlap" and job.live_attempt is not None

    patches.set(liveness, "may_replace", may_replace)


def _sends_before_commit(patches: Patches) -> None:
    def keep(lead: BrokerLead, batch: Batch) -> None:
        before(lead, batch)
        lead._send(batch)

    before = patches.set(BrokerLead, "_keep", keep)
    patches.set(BrokerLead, "_release", BrokerLead._reply)


def _replies_before_commit(patches: Patches) -> None:
    def keep(lead: BrokerLead, batch: Batch) -> None:
        before(lead, batch)
        lead._reply(batch)

    before = patches.set(BrokerLead, "_keep", keep)
    patches.set(BrokerLead, "_release", BrokerLead._send)


def _gaps_acknowledged(patches: Patches) -> None:
    patches.set(Gaps, "admit", _always(True))


def _led_deadline_ignored(patches: Patches) -> None:
    patches.set(BrokerNode, "led_seconds", _always(LONG_SECONDS))


def _writes_of_any_term(patches: Patches) -> None:
    patches.set(SharedStore, "_is_stale", _always(False))


def _late_copies_of_writes(patches: Patches) -> None:
    patches.set(SharedStore, "_is_repeated", _always(False))


# --- the site's side ----------------------------------------------------------------


def _guard_inside_the_agent(patches: Patches) -> None:
    def works(site: SiteNode) -> bool:
        return site.up and site.world.now >= site.paused_until

    patches.set(SiteNode, "_guard_works", works)


def _lease_from_receipt(patches: Patches) -> None:
    def renew(supervisor: Any, event: Any, now: Any) -> None:
        talk = supervisor._dialogue._talk
        if talk is not None and event.seq in talk.anchors:
            talk.anchors[event.seq] = now.elapsed
        before(supervisor, event, now)

    before = patches.put(SITE_HANDLERS, HeartbeatReplied, renew)


def _any_session_at_site(patches: Patches) -> None:
    def hears(dialogue: Any, session: str, term: int | None, now: float) -> bool:
        talk = dialogue._talk
        heard: bool = before(dialogue, talk.session if talk else session, term, now)
        return heard

    before = patches.set(Dialogue, "hears", hears)


def _any_term_at_site(patches: Patches) -> None:
    def hears(dialogue: Any, session: str, _term: int | None, now: float) -> bool:
        heard: bool = before(dialogue, session, None, now)
        return heard

    before = patches.set(Dialogue, "hears", hears)


def _marks_not_durable(patches: Patches) -> None:
    _any_session_at_site(patches)
    patches.put(journal._WRITERS, MarkRaised, _always(None))


def _promise_not_kept(patches: Patches) -> None:
    def promise(held: Any, id: Any, now: Any) -> None:
        if not held._state.knows(run_name(id.job_id, id.epoch)):
            held._reject(id.job_id, id.epoch, attempts.NOT_STARTED, now)

    _any_session_at_site(patches)
    patches.set(Attempts, "promise", promise)


def _starts_after_restart(patches: Patches) -> None:
    orders: dict[str, RunOrder] = {}

    def order_of(*args: Any) -> RunOrder:
        order: RunOrder = before(*args)
        orders[order.name] = order
        return order

    def miss(attempt: Any, held: Any, draft: Any, now: Any) -> None:
        if attempt.phase is Phase.ACCEPTED and attempt.name in orders:
            order = orders[attempt.name]
            draft.effect(Launch(order, now.elapsed + attempt.lease_seconds))
        else:
            missed(attempt, held, draft, now)

    before = patches.set(attempts, "order_of", order_of)
    missed = patches.set(recovery, "_miss", miss)


def _late_start(patches: Patches) -> None:
    patches.set(Run, "_is_late", _always(False))


def _half_a_gang(patches: Patches) -> None:
    def find_place(*args: Any) -> Any:
        place = before(*args)
        return place[:1] if isinstance(place, tuple) else place

    before = patches.set(admission, "find_place", find_place)


def _maintenance_not_waited_for(patches: Patches) -> None:
    patches.set(liveness, "holds_leases", _always(False))


_CUTS = ("cut", "slow")
MUTANTS = (
    Mutant(
        "new-leader-does-not-wait",
        "a new leader counts every lease anew from its own first moment",
        _new_leader_does_not_wait,
        ("cut", "crash-broker", "isolate"),
    ),
    Mutant(
        "no-margin",
        "the broker waits longer than the lease: for clock drift and for the kill",
        _no_margin,
        ("cut",),
    ),
    Mutant(
        "reports-of-any-epoch",
        "a report counts for its own epoch and site only",
        _reports_of_any_epoch,
        _CUTS,
    ),
    Mutant(
        "capacity-not-checked",
        "leases stay within what the site offers",
        _capacity_not_checked,
        ("change-cards",),
    ),
    Mutant(
        "strangers-promise",
        "only the agent that held an attempt can promise that it does not run",
        _strangers_promise,
        ("move",),
    ),
    Mutant(
        "stale-not-stopped",
        "whoever holds an epoch that is over is told to stop it",
        _stale_not_stopped,
        _CUTS,
        ("overlap",),
    ),
    Mutant(
        "copies-not-counted",
        "an overlapping job is replaced only while few of its copies are unproved",
        _copies_not_counted,
        _CUTS,
        ("overlap",),
    ),
    Mutant(
        "maintenance-not-waited-for",
        "no lease that was extended for maintenance is taken back before it is over",
        _maintenance_not_waited_for,
        ("maintain", "cut", "crash-agent"),
    ),
    Mutant(
        "sends-before-commit",
        "what is sent to sites waits until it is durable",
        _sends_before_commit,
        ("crash-broker-at", "exile", "fill-store"),
    ),
    Mutant(
        "replies-before-commit",
        "answers to clients wait until what they say is durable",
        _replies_before_commit,
    ),
    Mutant(
        "gaps-acknowledged",
        "an acknowledgement never covers reports that the broker had no room for",
        _gaps_acknowledged,
        ("deafen",),
    ),
    Mutant(
        "led-deadline-ignored",
        "a leader answers only while no other can have begun to lead",
        _led_deadline_ignored,
        ("exile", "pause-broker"),
    ),
    Mutant(
        "writes-of-any-term",
        "the store takes writes of the leader's own term only",
        _writes_of_any_term,
        ("exile", "pause-broker-at"),
    ),
    Mutant(
        "late-copies-of-writes",
        "a late copy of a write that was made changes nothing",
        _late_copies_of_writes,
    ),
    Mutant(
        "guard-inside-the-agent",
        "the guard beside a run lives without the agent",
        _guard_inside_the_agent,
        ("pause-agent", "crash-agent"),
    ),
    Mutant(
        "lease-from-receipt",
        "a lease counts from when the agent sent the heartbeat, not from the answer",
        _lease_from_receipt,
        ("slow", "pause-agent", "cut"),
    ),
    Mutant(
        "any-session-at-site",
        "the agent hears the broker in its present session only",
        _any_session_at_site,
        ("echo", "tear"),
    ),
    Mutant(
        "marks-not-durable",
        "the high-water mark of each job outlives the agent",
        _marks_not_durable,
        ("tear", "crash-agent", "crash-agent-at"),
        ("proof",),
        with_it="any-session-at-site",
    ),
    Mutant(
        "promise-not-kept",
        "what was promised never to start never starts",
        _promise_not_kept,
        ("cut", "tear", "slow"),
        ("proof",),
        with_it="any-session-at-site",
    ),
    Mutant(
        "starts-after-restart",
        "after a restart the agent starts nothing that it had only accepted",
        _starts_after_restart,
        ("crash-agent-at", "crash-agent"),
    ),
    Mutant(
        "late-start",
        "no run begins after its lease has ended",
        _late_start,
        ("pause-agent-at", "pause-agent"),
    ),
    Mutant(
        "half-a-gang",
        "a gang is placed whole or not at all",
        _half_a_gang,
    ),
)
# Mechanisms that may be taken away by themselves unseen, and what stands in for each.
REDUNDANT = (
    Mutant(
        "any-session-at-broker",
        "the broker hears a site in its present session only",
        _any_session_at_broker,
        ("tear", "cut", "replay"),
        with_it="epochs on reports, and what the agent checks of answers",
    ),
    Mutant(
        "any-term-at-site",
        "the agent hears no leader older than one it has heard",
        _any_term_at_site,
        ("exile", "pause-broker"),
        with_it="each leader has sessions of its own, and the led deadline",
    ),
)
BY_NAME = {mutant.name: mutant for mutant in (*MUTANTS, *REDUNDANT)}
