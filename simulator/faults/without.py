"""How each safety mechanism is taken away: by patching the product, or what is simulated.

Only `mutants` calls these. What they change is put back when the run is over.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
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
from broker.core.lifecycle import JobState
from broker.core.limits import Limits
from broker.core.transaction import Transaction
from broker.gaps import Gaps
from simulator.faults import journal
from simulator.faults.broker_lead import Batch, BrokerLead
from simulator.faults.broker_node import BrokerNode
from simulator.faults.machine import Run
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


def _always(value: object) -> Callable[..., Any]:
    return lambda *_args, **_named: value


# --- the broker's side --------------------------------------------------------------


def new_leader_does_not_wait(patches: Patches) -> None:
    def begin(core: Core, *args: Any) -> None:
        before(core, *args)
        core.memory.started_elapsed = -LONG_SECONDS

    before = patches.set(Core, "__init__", begin)


def reports_of_any_epoch(patches: Patches) -> None:
    patches.set(reports, "_is_current", _always(True))


def no_margin(patches: Patches) -> None:
    patches.set(Limits, "takeback_seconds", lambda _limits, lease_seconds: lease_seconds)


def any_session_at_broker(patches: Patches) -> None:
    patches.set(Transaction, "present", lambda tx, site, _: tx.memory.presence.get(site))


def capacity_not_checked(patches: Patches) -> None:
    patches.set(dispatch, "_offered", _always(True))


def strangers_promise(patches: Patches) -> None:
    patches.set(reconcile, "_not_its_own", _always(None))


def stale_not_stopped(patches: Patches) -> None:
    def judge(tx: Any, site: str, item: Any) -> str:
        verdict: str = before(tx, site, item)
        return "keep" if verdict == "stop" else verdict

    before = patches.set(reconcile, "_judge", judge)


def copies_not_counted(patches: Patches) -> None:
    def may_replace(tx: Any, job: Any) -> bool:
        overlaps = tx.spec_of(job).lease_class == "overlap"
        return overlaps and job.state in (JobState.PLACED, JobState.RUNNING)

    patches.set(liveness, "may_replace", may_replace)


def preempted_at_once(patches: Patches) -> None:
    def preempt(tx: Any, proposal: Any, quotas: Any) -> bool:
        done: bool = before(tx, proposal, quotas)
        for victim in proposal.victims if done else ():
            job = tx.state.jobs[victim.job_id]
            reports.lose_attempt(tx, job, job.attempts[-1], "Preempted", "it was asked to stop")
        return done

    before = patches.set(dispatch, "preempt", preempt)


def sends_before_commit(patches: Patches) -> None:
    def keep(lead: BrokerLead, batch: Batch) -> None:
        before(lead, batch)
        lead._send(batch)

    before = patches.set(BrokerLead, "_keep", keep)
    patches.set(BrokerLead, "_release", BrokerLead._reply)


def replies_before_commit(patches: Patches) -> None:
    def keep(lead: BrokerLead, batch: Batch) -> None:
        before(lead, batch)
        lead._reply(batch)

    before = patches.set(BrokerLead, "_keep", keep)
    patches.set(BrokerLead, "_release", BrokerLead._send)


def gaps_acknowledged(patches: Patches) -> None:
    patches.set(Gaps, "admit", _always(True))


def led_deadline_ignored(patches: Patches) -> None:
    patches.set(BrokerNode, "led_seconds", _always(LONG_SECONDS))


def writes_of_any_term(patches: Patches) -> None:
    patches.set(SharedStore, "_is_stale", _always(False))


def late_copies_of_writes(patches: Patches) -> None:
    patches.set(SharedStore, "_is_repeated", _always(False))


# --- the site's side ----------------------------------------------------------------


def guard_inside_the_agent(patches: Patches) -> None:
    def works(site: SiteNode) -> bool:
        return site.up and site.world.now >= site.paused_until

    patches.set(SiteNode, "guard_works", works)


def lease_from_receipt(patches: Patches) -> None:
    def renew(supervisor: Any, event: Any, now: Any) -> None:
        talk = supervisor._dialogue._talk
        if talk is not None and event.seq in talk.anchors:
            talk.anchors[event.seq] = now.elapsed
        before(supervisor, event, now)

    before = patches.put(SITE_HANDLERS, HeartbeatReplied, renew)


def any_session_at_site(patches: Patches) -> None:
    def hears(dialogue: Any, session: str, term: int | None, now: float) -> bool:
        talk = dialogue._talk
        heard: bool = before(dialogue, talk.session if talk else session, term, now)
        return heard

    before = patches.set(Dialogue, "hears", hears)


def any_term_at_site(patches: Patches) -> None:
    def hears(dialogue: Any, session: str, _term: int | None, now: float) -> bool:
        heard: bool = before(dialogue, session, None, now)
        return heard

    before = patches.set(Dialogue, "hears", hears)


def marks_not_durable(patches: Patches) -> None:
    any_session_at_site(patches)
    patches.put(journal._WRITERS, MarkRaised, _always(None))


def journal_not_moved(patches: Patches) -> None:
    patches.set(journal.SimulatedJournal, "_move", _always(None))


def promise_not_kept(patches: Patches) -> None:
    def promise(held: Any, id: Any, now: Any) -> None:
        if not held._state.knows(run_name(id.job_id, id.epoch)):
            held._reject(id.job_id, id.epoch, attempts.NOT_STARTED, now)

    any_session_at_site(patches)
    patches.set(Attempts, "promise", promise)


def starts_after_restart(patches: Patches) -> None:
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


def late_start(patches: Patches) -> None:
    patches.set(Run, "_is_late", _always(False))


def half_a_gang(patches: Patches) -> None:
    def find_place(*args: Any) -> Any:
        place = before(*args)
        return place[:1] if isinstance(place, tuple) else place

    before = patches.set(admission, "find_place", find_place)


def maintenance_not_waited_for(patches: Patches) -> None:
    patches.set(liveness, "holds_leases", _always(False))


def ages_by_any_wall(patches: Patches) -> None:
    patches.set(liveness, "_wall_is_steady", _always(True))
