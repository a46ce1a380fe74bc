"""Proved lower bounds: what no schedule, however clever, can beat.

Each module holds one bound and its proof. All speak of rigid gangs that start in one pool
and run to their end, on the arrays of an instance; jobs that fit nowhere are left out.
"""

from simulator.bounds.demand import Demand
from simulator.bounds.fluid import fluid_prices, load, loaded, makespan_bound
from simulator.bounds.indexed import Indexed, indexed_bound
from simulator.bounds.placement import placement_bound, placement_prices
from simulator.bounds.relaxed import relaxed_bound, solo_bound
from simulator.bounds.summary import Bounds, bounds

__all__ = [
    "Bounds",
    "Demand",
    "Indexed",
    "bounds",
    "fluid_prices",
    "indexed_bound",
    "load",
    "loaded",
    "makespan_bound",
    "placement_bound",
    "placement_prices",
    "relaxed_bound",
    "solo_bound",
]
