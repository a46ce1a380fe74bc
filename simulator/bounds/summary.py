"""All bounds of one instance together: the best of each kind, and how each was reached."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.bounds.demand import Demand
from simulator.bounds.fluid import fluid_prices, makespan_bound
from simulator.bounds.indexed import indexed_bound
from simulator.bounds.relaxed import relaxed_bound, solo_bound
from simulator.replay.instance import Instance


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds that no schedule of the jobs that fit somewhere can beat."""

    mean_jct_seconds: float  # the best of the next three
    indexed_seconds: float
    relaxed_seconds: float
    solo_seconds: float
    makespan_seconds: float


def bounds(instance: Instance, *, indexed: bool = True) -> Bounds:
    """The bounds of an instance; without `indexed`, only those that take a second."""
    demand = Demand.of(instance)
    relaxed = relaxed_bound(demand, [fluid_prices(demand)]) if len(demand) else 0.0
    solo = solo_bound(demand)
    timed = indexed_bound(demand).mean_jct_seconds if indexed else 0.0
    return Bounds(
        mean_jct_seconds=max(timed, relaxed, solo),
        indexed_seconds=timed,
        relaxed_seconds=relaxed,
        solo_seconds=solo,
        makespan_seconds=makespan_bound(demand),
    )
