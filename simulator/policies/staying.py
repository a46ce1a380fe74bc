"""A rival in a world where sites fail: it has no fail-over between sites.

What a failed pool held, and what the rival still sends there, waits and begins again from
nothing when the pool is back, as with a cluster manager that queues its jobs again after a
restart. To the rival itself all of that looks as if it ran. Generous to none: the systems
that do move such jobs (e.g. SkyPilot's managed jobs) would be better here.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.replay.instance import Known
from simulator.replay.view import Decision, Place, Policy, View


class Staying:
    """Wraps a rival; without failures it changes nothing."""

    def __init__(self, policy: Policy, known: Known) -> None:
        self._policy = policy
        self._cards: list[int] = known.cards.tolist()
        self._pools: list[int] = known.pools.cards.tolist()
        self._stuck: dict[Place, None] = {}  # in the order in which they shall begin again

    def decide(self, view: View) -> Decision:
        back = [place for place in self._stuck if place.pool not in view.away]
        for place in back:
            del self._stuck[place]
        self._stuck.update(dict.fromkeys(view.lost))
        decision = self._policy.decide(self._seen(view, back))
        if not (view.away or back):
            return decision
        starts = [*back, *decision.starts]
        self._stuck.update(dict.fromkeys(p for p in starts if p.pool in view.away))
        return replace(decision, starts=[p for p in starts if p.pool not in view.away])

    def _seen(self, view: View, back: list[Place]) -> View:
        """The world as the rival believes it to be."""
        if not (view.away or back):
            return view
        free = view.free.copy()
        for pool in view.away:
            free[pool] = self._pools[pool]
        for job, pool in (*self._stuck, *back):
            free[pool] -= self._cards[job]
        return replace(view, free=free, lost=(), away=frozenset())
