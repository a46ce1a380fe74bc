"""Replaying a trace in virtual time: what a federation is as numbers, the loop, the metrics.

The compact world of the rival policies and of the lower bounds: pools are card counts,
jobs are rigid gangs that run to their end. `Policy.decide(view)` is the seam: whatever
gives starts for a view can be replayed, the product's own scheduler too.
"""

from simulator.replay.incidents import Absence, Incidents, Rewiring
from simulator.replay.instance import Instance, Known, Pools
from simulator.replay.loop import Outcome, PolicyFault, replay
from simulator.replay.metrics import Metrics, measure
from simulator.replay.view import Decision, Place, Policy, View

__all__ = [
    "Absence",
    "Decision",
    "Incidents",
    "Instance",
    "Known",
    "Metrics",
    "Outcome",
    "Place",
    "Policy",
    "PolicyFault",
    "Pools",
    "Rewiring",
    "View",
    "measure",
    "replay",
]
