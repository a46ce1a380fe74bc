"""All that a round may know: the federation, its queue and what runs, at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.model.accelerators import Accelerator
from scheduler.model.claims import Entitlement, Usage
from scheduler.model.decisions import Slice
from scheduler.model.demand import QueueClass
from scheduler.model.network import Dataset, Network, Transfer
from scheduler.model.supply import Pool, Scarcity, Site


@dataclass(frozen=True, slots=True)
class Running:
    """Cards that a live attempt holds, for estimates of when they come free."""

    pool: str  # pool key
    cards: int
    ends_at: float  # wall seconds, expected; 0.0: unknown
    # Whose they are, for preemption; without a job's id nobody may be asked to stop.
    job_id: str = ""
    epoch: int = 0
    tenant: str = ""
    project: str = ""
    priority: int = 0
    slices: tuple[Slice, ...] = ()
    lost_seconds: float = 0.0  # of work, were it stopped now: since the last checkpoint
    preemptible: bool = False
    stopping: bool = False  # asked to stop for others: its cards come free soon


@dataclass(frozen=True, slots=True)
class Hold:
    """A site refused this shape a moment ago: do not offer it again before `until`."""

    pool: str
    nodes: int
    cards_per_node: int
    until: float  # wall seconds


@dataclass(frozen=True, slots=True)
class Correction:
    """Mean and variance of ln(actual ÷ predicted run) over `runs` runs, old ones counting less.

    `source` is what was corrected: "work" | "limit" | "assumed". See `corrections`.
    """

    runs: float = 0.0
    mean: float = 0.0
    variance: float = 0.0
    source: str = "work"


@dataclass(frozen=True, slots=True)
class Learned:
    """What finished runs of a tenant's job family on one model say of its estimates."""

    tenant: str
    family: str
    accelerator: str  # canonical model; empty: all models together
    correction: Correction


@dataclass(frozen=True, slots=True)
class Policy:
    """Weights and bounds of a round; the defaults rank by finish time alone."""

    yuan_per_hour_saved: float = 0.0  # what an hour earlier is worth; 0: time only
    fragmentation_seconds_per_card: float = 0.05
    accept_factor: float = 1.3  # a place is taken that ends at most so many times the best late …
    accept_age: float = 0.1  # … or later by this share of the time that the job has waited
    fair_share: float = 0.5  # how much shares weigh against lengths in the queue; 0: break ties
    placements_max: int = 20_000  # per round
    blocked_max: int = 32  # classes that cannot start, looked at in full; the rest in turn
    victims_max: int = 64  # attempts that one round asks to stop for others; 0: none ever
    utilisation_default: float = 0.4
    run_seconds_default: float = 3600.0  # when a job states neither work nor time limit
    explain_waiting: bool = True  # else a round says why only of what starts, or never can


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All a round may know. Wall seconds in `now`; nothing here is shared or mutable."""

    now: float
    accelerators: tuple[Accelerator, ...]
    sites: tuple[Site, ...]
    pools: tuple[Pool, ...]
    network: Network
    datasets: tuple[Dataset, ...]
    queue: tuple[QueueClass, ...]
    running: tuple[Running, ...] = ()
    holds: tuple[Hold, ...] = ()
    learned: tuple[Learned, ...] = ()  # what past runs say of estimates
    transfers: tuple[Transfer, ...] = ()  # on the network now, or booked
    entitlements: tuple[Entitlement, ...] = ()  # absent: weight 1 and no quota
    usages: tuple[Usage, ...] = ()  # by tenant and project
    scarcity: Scarcity = field(default_factory=Scarcity)  # as the round before left it
