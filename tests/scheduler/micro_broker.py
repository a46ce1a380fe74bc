"""A broker of a few lines around the real rounds: jobs that run so many rounds, and stops.

For tests of what rounds come to over time. It does at once what they propose, checks that
each placement fits into the free cards, and gives nothing up by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import cycle

from federations import NOW, snapshot

from scheduler.model import (
    Demand,
    Entitlement,
    Placement,
    Pool,
    Preemption,
    QueueClass,
    Round,
    Running,
    Slice,
    Snapshot,
    Supernode,
    Usage,
)
from scheduler.placement import place

ROUND_SECONDS = 60.0
WAITING = 40  # jobs of an endless class that are to be seen
HALF_LIFE_ROUNDS = 20.0


@dataclass
class Stream:
    """Jobs alike without end, which run by turns for so many rounds."""

    tenant: str
    project: str
    demand: Demand
    lengths: Iterable[int]
    priority: int
    submitted_at: float
    jobs_max: int
    born: int = 0


@dataclass
class Run:
    stream: Stream
    placement: Placement
    rounds_left: int
    begun: int


class MicroBroker:
    """Pools whose nodes are whole: every job takes cards of one supernode by histogram."""

    def __init__(self, pools: list[Pool], entitlements: tuple[Entitlement, ...] = ()) -> None:
        self.pools = {each.key: each for each in pools}
        self.entitlements = entitlements
        self.streams: list[Stream] = []
        self.runs: dict[str, Run] = {}
        self.rounds = 0
        self.preemptions: list[Preemption] = []
        self.means: dict[tuple[str, str], dict[str, float]] = {}

    def keep_waiting(
        self,
        tenant: str,
        demand: Demand,
        lengths: list[int],
        project: str = "",
        priority: int = 0,
        jobs_max: int = 10**9,
    ) -> None:
        at = NOW + self.rounds * ROUND_SECONDS
        stream = Stream(tenant, project, demand, cycle(lengths), priority, at, jobs_max)
        self.streams.append(stream)

    def held(self, tenant: str, project: str | None = None) -> int:
        """Cards of a tenant's jobs."""
        return sum(
            _cards(run.placement.slices)
            for run in self.runs.values()
            if run.stream.tenant == tenant and project in (None, run.stream.project)
        )

    def round(self) -> Round:
        """End what is over, decide, do it."""
        self.rounds += 1
        for job_id, run in list(self.runs.items()):
            run.rounds_left -= 1
            if run.rounds_left <= 0:
                self._end(job_id)
        self._remember()
        decided = place(self._picture())
        for placement in decided.placements:
            self._start(placement)
        for preemption in decided.preemptions:
            self.preemptions.append(preemption)
            for victim in preemption.victims:
                self._end(victim.job_id)
        return decided

    def _remember(self) -> None:
        kept = 2.0 ** (-1.0 / HALF_LIFE_ROUNDS)
        held: dict[tuple[str, str], dict[str, float]] = {party: {} for party in self.means}
        for run in self.runs.values():
            model = self.pools[run.placement.pool].accelerator
            party = held.setdefault((run.stream.tenant, run.stream.project), {})
            party[model] = party.get(model, 0.0) + _cards(run.placement.slices)
        for party, now in held.items():
            before = self.means.setdefault(party, {})
            for model in {*before, *now}:
                before[model] = kept * before.get(model, 0.0) + (1 - kept) * now.get(model, 0.0)

    def _picture(self) -> Snapshot:
        now = NOW + self.rounds * ROUND_SECONDS
        usages: dict[tuple[str, str], dict[str, int]] = {party: {} for party in self.means}
        for run in self.runs.values():
            party = usages.setdefault((run.stream.tenant, run.stream.project), {})
            model = self.pools[run.placement.pool].accelerator
            party[model] = party.get(model, 0) + _cards(run.placement.slices)
        told = tuple(
            Usage(*party, tuple(cards.items()), tuple(self.means.get(party, {}).items()))
            for party, cards in usages.items()
        )
        picture = snapshot(
            self.pools.values(),
            [self._class(at, stream) for at, stream in enumerate(self.streams)],
            running=tuple(self._running(job_id, run) for job_id, run in self.runs.items()),
            entitlements=self.entitlements,
            usages=told,
        )
        return replace(picture, now=now)

    def _class(self, at: int, stream: Stream) -> QueueClass:
        here = sum(1 for run in self.runs.values() if run.stream is stream)
        count = min(WAITING, stream.jobs_max - here)
        ids = tuple(f"{at}/{stream.born + number}" for number in range(count))
        return QueueClass(
            f"class{at}",
            stream.demand,
            stream.tenant,
            stream.project,
            stream.priority,
            ids,
            count,
            stream.submitted_at,
        )

    def _running(self, job_id: str, run: Run) -> Running:
        placement, stream = run.placement, run.stream
        return Running(
            placement.pool,
            _cards(placement.slices),
            0.0,
            job_id,
            1,
            stream.tenant,
            stream.project,
            stream.priority,
            placement.slices,
            lost_seconds=(self.rounds - run.begun) * ROUND_SECONDS,
            preemptible=stream.demand.preemptible,
        )

    def _start(self, placement: Placement) -> None:
        at, _, number = placement.job_id.partition("/")
        stream = self.streams[int(at)]
        stream.born = max(stream.born, int(number) + 1)
        self._move(placement, taking=True)
        length = next(iter(stream.lengths))
        self.runs[placement.job_id] = Run(stream, placement, length, self.rounds)

    def _end(self, job_id: str) -> None:
        self._move(self.runs.pop(job_id).placement, taking=False)

    def _move(self, placement: Placement, taking: bool) -> None:
        pool = self.pools[placement.pool]
        nodes = {each.name: each for each in pool.supernodes}
        for part in placement.slices:
            node = nodes[part.supernode]
            taken = node.take(part.nodes, part.cards) if taking else _give(node, part)
            nodes[part.supernode] = taken
        self.pools[placement.pool] = replace(pool, supernodes=tuple(nodes.values()))


def _give(node: Supernode, part: Slice) -> Supernode:
    """On the nodes with the fewest free cards that they can have come from."""
    counts = list(node.nodes_by_free)
    for _ in range(part.nodes):
        free = next(at for at, n in enumerate(counts) if n and at + part.cards < len(counts))
        counts[free] -= 1
        counts[free + part.cards] += 1
    return Supernode(node.name, tuple(counts))


def _cards(slices: tuple[Slice, ...]) -> int:
    return sum(part.nodes * part.cards for part in slices)
