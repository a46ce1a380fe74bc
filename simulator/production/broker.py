"""The broker in virtual time: the real core between its batches, and rounds of the scheduler.

As `broker.loop` and `broker.planner`, with nothing between them: a batch is handled at its
moment and its sends leave at once. There is no store: in virtual time nobody dies but sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from broker.core.core import Core
from broker.core.limits import Limits
from broker.core.messages import (
    Event,
    Now,
    Proposals,
    PutRow,
    Reply,
    Send,
    Submission,
    Submit,
    Tick,
)
from broker.core.rows import (
    Dataset,
    NetworkMap,
    Put,
    Replica,
    Row,
    Site,
    Spec,
    Tenant,
)
from broker.core.snapshot import take_snapshot
from broker.core.state import replay
from scheduler.memo import Memo
from scheduler.model import Network, Policy, Scarcity, SiteState
from scheduler.placement import place
from simulator.federation import Federation, Workload
from simulator.production.sites import WALL

BEFORE_SECONDS = 1e6  # that the broker has led when the first job comes
PROJECT, USER = "main", "trace"


class VirtualBroker:
    """The core over a federation's rows, and its planner."""

    def __init__(
        self, federation: Federation, workload: Workload, policy: Policy, limits: Limits
    ) -> None:
        self._accelerators = federation.accelerators
        self._policy = replace(policy, explain_waiting=False)
        state = replay(Put(row) for row in _rows(federation, workload))
        self.core = Core(state, limits, 1, self._moment(-1.0))
        self._memo = Memo()
        self._scarcity = Scarcity()
        self.rounds = 0
        self.placements = 0

    def _moment(self, seconds: float) -> Now:
        return Now(BEFORE_SECONDS + seconds, WALL + seconds)

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return self.core.memory.state.queue.count

    def waits_for(self, site: str) -> bool:
        """Whether the core still believes that attempts live at a site, or places there."""
        presence = self.core.memory.presence.get(site)
        held = self.core.memory.state.attempts.get(site)
        lost = presence is not None and presence.silence is SiteState.LOST
        return not lost or bool(held and held.epochs)

    def submit(self, tenant: str, job_id: str, spec: Spec, seconds: float) -> None:
        """A job comes; one that the core refuses is never placed."""
        wish = Submit(tenant, PROJECT, USER, (Submission(job_id, spec.sha256),), (spec,))
        self.core.handle((wish,), self._moment(seconds))

    def hear(self, events: Sequence[Event], seconds: float) -> tuple[Send, ...]:
        """What the sites have to say; what the core answers them."""
        return self.core.handle(events, self._moment(seconds)).sends

    def ask(self, event: Event, seconds: float) -> Reply | None:
        """One event of an administrator and its reply."""
        return self.core.handle((event,), self._moment(seconds)).replies[0]

    def rewire(self, network: Network, seconds: float) -> None:
        """An administrator applies another network."""
        self.ask(PutRow(NetworkMap(network.nodes, network.links), "operator"), seconds)

    def look(self, seconds: float) -> tuple[Send, ...]:
        """Who is silent, and what has waited for too long."""
        return self.hear((Tick(),), seconds)

    def round(self, seconds: float) -> tuple[Send, ...]:
        """One round of the scheduler on the present, and the grants that come of it."""
        now = self._moment(seconds)
        snapshot = take_snapshot(self.core.memory, now, self._accelerators)
        snapshot = replace(snapshot, scarcity=self._scarcity)
        result = place(snapshot, self._policy, self._memo)
        self._scarcity = result.scarcity
        self.rounds += 1
        self.placements += len(result.placements)
        return self.hear((Proposals.of(result, snapshot.now),), seconds)


def _rows(federation: Federation, workload: Workload) -> list[Row]:
    weights = dict(federation.weights)
    return [
        *(Site(each.name, registered_at=WALL) for each in federation.sites),
        *(Tenant(name, weight=weights.get(name, 1.0)) for name in workload.tenants),
        *(
            Dataset(
                each.name,
                each.size_bytes,
                tuple(Replica(site, f"simulated://{site}/{each.name}") for site in each.replicas),
                each.regions_allowed,
            )
            for each in workload.datasets
        ),
        NetworkMap(federation.network.nodes, federation.network.links),
    ]
