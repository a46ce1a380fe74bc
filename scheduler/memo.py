"""What the taker of rounds keeps from one to the next, so as not to work it out again.

Nothing here decides: all of it follows from the snapshot, and what no longer follows is
dropped. A round with a fresh memo is the same round. Not to be shared by two rounds at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.corrections import Past
from scheduler.estimate import past_of
from scheduler.feasibility import Prospect, look_into, relearned
from scheduler.fleet import Fleet
from scheduler.length import Lengths, Wishes
from scheduler.model import Demand, Policy, QueueClass, Snapshot
from scheduler.network import routes_of
from scheduler.supply import Supply


@dataclass(slots=True)
class ClassNotes:
    """What is known of one class of the queue, whatever is free."""

    demand: Demand
    shortest_seconds: float  # expected run, where that is least
    wishes: Wishes  # of this class alone, on the fleet's models
    prospect: Prospect | None = None


class Memo:
    """The fleet and the queue's classes as the round before knew them."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None
        self._supply: Supply | None = None  # of the round before, on that fleet
        self._policy: Policy | None = None
        self._lengths: Lengths | None = None
        self._classes: dict[str, ClassNotes] = {}
        self._pasts: dict[tuple[str, str], Past] = {}

    def supply(self, snapshot: Snapshot, policy: Policy) -> Supply:
        """The supply of this round. Raises ValueError when a pool key stands twice."""
        routes, default = routes_of(snapshot.network), policy.utilisation_default
        fleet = self._fleet
        if fleet is None or policy != self._policy or not fleet.is_of(snapshot, routes, default):
            self._fleet = fleet = Fleet(snapshot, routes, default)
            self._policy = policy
            self._lengths = Lengths(snapshot.accelerators, policy, fleet.by_model())
            self._classes, self._supply = {}, None
        fleet.trim()
        supply = Supply(fleet, snapshot, self._supply)
        for family, past in supply.pasts.items():
            if (before := self._pasts.get(family)) == past:
                supply.pasts[family] = before  # with what was worked out from it
        self._pasts, self._supply = supply.pasts, supply
        return supply

    def classes(self, queue: tuple[QueueClass, ...]) -> list[ClassNotes]:
        """The notes of every class, in the queue's order; those of others are forgotten."""
        before = self._classes
        found = [self._notes(before.get(queued.key), queued.demand) for queued in queue]
        self._classes = {queued.key: one for queued, one in zip(queue, found, strict=True)}
        return found

    def _notes(self, known: ClassNotes | None, demand: Demand) -> ClassNotes:
        if known is not None and (known.demand is demand or known.demand == demand):
            return known
        assert self._fleet is not None and self._lengths is not None
        runs = self._lengths.by_model(demand)
        wishes = Wishes.of(tuple(self._fleet.by_model()), [runs])
        return ClassNotes(demand, self._lengths.shortest(demand, runs), wishes)

    def prospect(self, notes: ClassNotes, supply: Supply, tenant: str, policy: Policy) -> Prospect:
        """What the fleet offers the class, estimated by what past runs taught."""
        past = past_of(supply, notes.demand, tenant)
        if notes.prospect is None:
            assert self._fleet is not None
            notes.prospect = look_into(self._fleet, notes.demand, tenant, policy, past)
        elif notes.prospect.past != past:
            notes.prospect = relearned(notes.prospect, past)
        return notes.prospect
