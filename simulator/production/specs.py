"""The jobs of a trace as the core is sent them: specifications with demands.

A gang is laid over as few nodes as its width allows. Knows what is expected of each job, and
not how long it really runs.
"""

from __future__ import annotations

import math

from broker.core.rows import Spec
from scheduler.model import Demand, Variant, Work
from simulator.federation import Federation, Workload
from simulator.replay.instance import Known


class Workbook:
    """Writes the specification of each job."""

    def __init__(self, federation: Federation, workload: Workload, known: Known) -> None:
        self._known = known
        self._workload = workload
        self._limits = [job.time_limit_seconds for job in workload.jobs]
        self._node_cards = _node_cards(federation, known)
        self._variants: dict[tuple[int, tuple[int, ...]], tuple[Variant, ...]] = {}
        self._numbers: dict[Demand, int] = {}

    def spec(self, job: int) -> Spec:
        """The specification of a job, by its row. Jobs that are alike share its `sha256`."""
        demand = self._demand(job)
        number = self._numbers.setdefault(demand, len(self._numbers))
        return Spec(sha256=f"{number:016x}", data=b"", name=demand.family, demand=demand)

    def _demand(self, job: int) -> Demand:
        seconds = self._known.estimate_seconds[job].tolist()
        kinds = tuple(at for at, each in enumerate(seconds) if math.isfinite(each))
        variants = self._ways(int(self._known.cards[job]), kinds)
        return Demand(
            variants=variants,
            inputs=(self._workload.datasets[int(self._workload.dataset[job])].name,),
            work=_work(variants, [seconds[kind] for kind in kinds]),
            family=self._workload.families[int(self._workload.family[job])].name,
        )

    def _ways(self, cards: int, kinds: tuple[int, ...]) -> tuple[Variant, ...]:
        if (cards, kinds) not in self._variants:
            self._variants[cards, kinds] = tuple(self._variant(cards, kind) for kind in kinds)
        return self._variants[cards, kinds]

    def _variant(self, cards: int, kind: int) -> Variant:
        return Variant(self._known.pools.kinds[kind], *layout(cards, self._node_cards[kind]))


def _work(variants: tuple[Variant, ...], seconds: list[float]) -> Work:
    """The expected run on each model, as if it had been measured there."""
    if not variants:
        return Work()
    measured = tuple(zip((str(way.accelerator) for way in variants), seconds, strict=True))
    first, shortest = min(measured, key=lambda pair: pair[1])
    return Work(shortest, first, variants[0].cards, measured=measured)


def layout(cards: int, most: int) -> tuple[int, int]:
    """(Nodes, cards on each) of a gang: few nodes, as even as may be.

    A width that does not divide leaves less than one card per node idle: 79 is 10 nodes of 8.
    """
    nodes = -(-cards // most)
    return nodes, -(-cards // nodes)


def _node_cards(federation: Federation, known: Known) -> list[int]:
    """[kind]: cards of the smallest node that any pool of the kind has."""
    return [
        min(pool.cards_per_node for pool in federation.pools if pool.accelerator == model)
        for model in known.pools.kinds
    ]
