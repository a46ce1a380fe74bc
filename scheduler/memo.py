"""What the taker of rounds keeps from one to the next, so as not to work it out again.

Nothing here decides: all of it follows from the snapshot, and what no longer follows is
dropped. A round with a fresh memo is the same round. Not to be shared by two rounds at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.corrections import Past
from scheduler.estimate import past_of
from scheduler.feasibility import Prospect, look_into, relearned
from scheduler.fleet import Fleet
from scheduler.length import Lengths, Wishes
from scheduler.model import Demand, Policy, QueueClass, Snapshot
from scheduler.network import Routes, routes_of
from scheduler.supply import Supply


@dataclass(slots=True)
class ClassNotes:
    """What is known of one class of the queue, whatever is free."""

    fleet: Fleet
    demand: Demand
    shortest_seconds: float  # expected run, where that is least
    wishes: Wishes  # of this class alone, on the fleet's models
    prospect: Prospect | None = None

    def look(self, supply: Supply, tenant: str, policy: Policy) -> Prospect:
        """What the fleet offers the class, estimated by what past runs taught."""
        past = past_of(supply, self.demand, tenant)
        if self.prospect is None:
            self.prospect = look_into(self.fleet, self.demand, tenant, policy, past)
        elif self.prospect.past != past:
            self.prospect = relearned(self.prospect, past)
        return self.prospect


@dataclass(slots=True)
class _Kept:
    """One fleet under one policy, and what was worked out on it."""

    fleet: Fleet
    policy: Policy
    lengths: Lengths
    supply: Supply | None = None  # of the round before
    classes: dict[str, ClassNotes] = field(default_factory=dict)

    def holds(self, snapshot: Snapshot, routes: Routes, policy: Policy) -> bool:
        same_policy = policy == self.policy
        return same_policy and self.fleet.is_of(snapshot, routes, policy.utilisation_default)

    def notes(self, queued: QueueClass) -> ClassNotes:
        known, demand = self.classes.get(queued.key), queued.demand
        if known is not None and (known.demand is demand or known.demand == demand):
            return known
        runs = self.lengths.by_model(demand)
        wishes = Wishes.of(tuple(self.fleet.by_model()), [runs])
        return ClassNotes(self.fleet, demand, self.lengths.shortest(demand, runs), wishes)


class Memo:
    """The fleet and the queue's classes as the round before knew them."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None
        self._pasts: dict[tuple[str, str], Past] = {}

    def take(self, snapshot: Snapshot, policy: Policy) -> tuple[Supply, list[ClassNotes]]:
        """The supply of this round, and the notes of every class in the queue's order.

        Classes that are not there any more are forgotten. Raises ValueError when a pool key
        stands twice.
        """
        kept = self._keep(snapshot, policy)
        kept.fleet.trim()
        kept.supply = supply = Supply(kept.fleet, snapshot, kept.supply)
        for family, past in supply.pasts.items():
            if (before := self._pasts.get(family)) == past:
                supply.pasts[family] = before  # with what was worked out from it
        self._pasts = supply.pasts
        notes = [kept.notes(queued) for queued in snapshot.queue]
        kept.classes = {each.key: one for each, one in zip(snapshot.queue, notes, strict=True)}
        return supply, notes

    def _keep(self, snapshot: Snapshot, policy: Policy) -> _Kept:
        routes = routes_of(snapshot.network)
        if self._kept is None or not self._kept.holds(snapshot, routes, policy):
            fleet = Fleet(snapshot, routes, policy.utilisation_default)
            lengths = Lengths(snapshot.accelerators, policy, fleet.by_model())
            self._kept = _Kept(fleet, policy, lengths)
        return self._kept
