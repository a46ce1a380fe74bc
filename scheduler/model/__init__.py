"""The frozen values that every decision is made of. Units stand last in each name.

Whoever can build these values can ask the scheduler; nothing here knows anything else.
"""

from scheduler.model.accelerators import Accelerator, Precision
from scheduler.model.claims import Entitlement, Preemption, PreemptionReason, Quota, Usage, Victim
from scheduler.model.decisions import (
    Basis,
    Candidate,
    Explanation,
    Placement,
    Rejection,
    Round,
    Score,
    Slice,
    Suggestion,
    Verdict,
)
from scheduler.model.demand import (
    AcceleratorClass,
    Checkpoint,
    Demand,
    QueueClass,
    Restore,
    Variant,
    Work,
)
from scheduler.model.network import Dataset, Fetch, Link, Network, NetworkNode, Prestaging, Transfer
from scheduler.model.snapshot import Correction, Hold, Learned, Policy, Running, Snapshot
from scheduler.model.supply import Pool, Release, Scarce, Scarcity, Site, SiteState, Supernode

__all__ = [
    "Accelerator",
    "AcceleratorClass",
    "Basis",
    "Candidate",
    "Checkpoint",
    "Correction",
    "Dataset",
    "Demand",
    "Entitlement",
    "Explanation",
    "Fetch",
    "Hold",
    "Learned",
    "Link",
    "Network",
    "NetworkNode",
    "Placement",
    "Policy",
    "Pool",
    "Precision",
    "Preemption",
    "PreemptionReason",
    "Prestaging",
    "QueueClass",
    "Quota",
    "Rejection",
    "Release",
    "Restore",
    "Round",
    "Running",
    "Scarce",
    "Scarcity",
    "Score",
    "Site",
    "SiteState",
    "Slice",
    "Snapshot",
    "Suggestion",
    "Supernode",
    "Transfer",
    "Usage",
    "Variant",
    "Verdict",
    "Victim",
    "Work",
]
