"""The frozen values that every decision is made of.

Supply (accelerators, pools, sites), the national network, data, and demand
(variants, work, queue classes). Units stand last in each name. This module knows
nothing else: whoever can build these values can ask the scheduler.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Precision(StrEnum):
    """Arithmetic precisions that peaks and work are stated in (fp16 counts as bf16)."""

    FP64 = "fp64"
    FP32 = "fp32"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    FP4 = "fp4"


class SiteState(StrEnum):
    """What the broker may do with a site now."""

    OPEN = "open"
    PAUSED = "paused"  # the site's own kill switch: nothing new, asked for by the site
    DRAINING = "draining"  # nothing new, asked for by an administrator
    SUSPECT = "suspect"  # silent for a while: nothing new
    LOST = "lost"  # silent for longer than its leases
    UNSEEN = "unseen"  # registered, has not reported since this broker started


# --- supply -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One model of accelerator: figures per card, dense peaks in TFLOP/s (INT8 in TOP/s)."""

    model: str
    vendor: str
    kind: str  # "npu" | "dcu" | "gpu"
    dies_per_card: int = 1
    memory_gib: float = 0.0
    memory_tb_per_second: float = 0.0
    peak_tflops: tuple[tuple[Precision, float], ...] = ()
    supernode_cards: int = 8
    power_watts: float = 0.0

    def peak(self, precision: Precision) -> float:
        """Dense peak in TFLOP/s at `precision`; 0.0 when the catalogue has no figure."""
        return next((value for name, value in self.peak_tflops if name is precision), 0.0)


@dataclass(frozen=True, slots=True)
class Supernode:
    """Free cards of one scale-up domain: `nodes_by_free[k]` nodes have exactly k free cards.

    Every node is counted, those without a free card at index 0.
    """

    name: str
    nodes_by_free: tuple[int, ...]

    @property
    def cards_free(self) -> int:
        return sum(cards * nodes for cards, nodes in enumerate(self.nodes_by_free))

    def nodes_fitting(self, cards: int) -> int:
        """How many nodes have at least `cards` free."""
        return sum(self.nodes_by_free[cards:])

    def take(self, nodes: int, cards: int) -> Supernode:
        """The supernode after `cards` on each of `nodes` nodes are taken, best fit first.

        Raises ValueError when fewer than `nodes` nodes have `cards` free.
        """
        counts = list(self.nodes_by_free)
        left = nodes
        for free in range(cards, len(counts)):
            taken = min(left, counts[free])
            counts[free] -= taken
            counts[free - cards] += taken
            left -= taken
            if not left:
                return Supernode(self.name, tuple(counts))
        raise ValueError(f"supernode {self.name} has no {nodes} nodes with {cards} free cards")


@dataclass(frozen=True, slots=True)
class Pool:
    """The accelerators of one model on one fabric within a site, as placeable now."""

    site: str
    name: str
    accelerator: str  # canonical model
    cards_per_node: int
    cards_total: int
    cards_usable: int  # total less the faulty and the kept back
    supernodes: tuple[Supernode, ...]
    cpus_per_node: int = 0  # 0: not stated
    memory_gib_per_node: float = 0.0  # 0: not stated
    yuan_per_card_hour: float = 0.0
    utilisation: float = 0.4  # share of peak that real work reaches
    linearity: tuple[tuple[int, float], ...] = ()  # measured (cards, fraction), ascending

    @property
    def key(self) -> str:
        return f"{self.site}/{self.name}"

    @property
    def cards_free(self) -> int:
        return sum(supernode.cards_free for supernode in self.supernodes)


@dataclass(frozen=True, slots=True)
class Site:
    """One computing centre as the scheduler sees it."""

    name: str
    city: str  # its node in the national network
    region: str = ""
    state: SiteState = SiteState.OPEN
    pue: float = 1.3
    grid_kg_per_kwh: float = 0.5703
    failures_per_card_day: float = 0.0
    restart_seconds: float = 120.0
    tenants_allowed: tuple[str, ...] = ()  # empty: all
    tenants_denied: tuple[str, ...] = ()
    time_limit_seconds_max: float = 0.0  # 0: none


@dataclass(frozen=True, slots=True)
class Link:
    """An undirected link of the national network."""

    a: str
    b: str
    bandwidth_gbps: float
    latency_ms: float  # one way
    yuan_per_gb: float = 0.0
    booked_gbps: float = 0.0  # of the bandwidth, promised to transfers already


@dataclass(frozen=True, slots=True)
class NetworkNode:
    """A hub, a cluster city or a plain city; sites sit at nodes."""

    name: str
    kind: str = "city"  # "hub" | "cluster" | "city"
    latitude: float = 0.0
    longitude: float = 0.0
    hub: str = ""  # the hub it belongs to, if any
    title: str = ""  # the name in Chinese


@dataclass(frozen=True, slots=True)
class Network:
    """The national network model: a graph of hubs and cities."""

    nodes: tuple[NetworkNode, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named body of data and the sites that hold a whole copy."""

    name: str
    size_bytes: int
    replicas: tuple[str, ...]  # site names
    regions_allowed: tuple[str, ...] = ()  # residency; empty: anywhere


# --- demand -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AcceleratorClass:
    """Any accelerator that reaches these figures."""

    precision: Precision
    tflops_min: float
    memory_gib_min: float = 0.0


@dataclass(frozen=True, slots=True)
class Variant:
    """One acceptable way to run a job: a gang of `nodes` × `cards_per_node` cards."""

    accelerator: str | AcceleratorClass
    nodes: int = 1
    cards_per_node: int = 1
    cpus_per_node: int = 0
    memory_gib_per_node: float = 0.0
    group_nodes: int = 0  # nodes that must share one supernode; 0: no wish
    group_required: bool = False  # else only preferred

    @property
    def cards(self) -> int:
        return self.nodes * self.cards_per_node


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to do; all zero: unknown, the time limit or a default stands in.

    Either `seconds` measured on `cards` cards of `accelerator`, or `flops` at `precision`.
    """

    seconds: float = 0.0
    accelerator: str = ""
    cards: int = 0
    flops: float = 0.0
    precision: Precision = Precision.BF16


@dataclass(frozen=True, slots=True)
class Demand:
    """What a job asks for, without who asks: identical demands form one class."""

    variants: tuple[Variant, ...]
    inputs: tuple[str, ...] = ()  # dataset names
    output_bytes: int = 0
    work: Work = field(default_factory=Work)
    time_limit_seconds: float = 0.0  # 0: none
    sites_allowed: tuple[str, ...] = ()  # empty: anywhere
    sites_denied: tuple[str, ...] = ()
    yuan_max: float = 0.0  # 0: no limit
    prefer: tuple[str, ...] = ("finish",)  # "finish" | "cost" | "energy", most wanted first


@dataclass(frozen=True, slots=True)
class QueueClass:
    """Queued jobs that are alike: same demand, tenant and priority.

    `jobs` holds the oldest ids, at most as many as one round may place; `queued` counts all.
    """

    key: str
    demand: Demand
    tenant: str
    project: str = ""
    priority: int = 0
    jobs: tuple[str, ...] = ()
    queued: int = 0
    oldest_submitted_at: float = 0.0  # wall seconds


@dataclass(frozen=True, slots=True)
class Running:
    """Cards that a live attempt holds, for estimates of when they come free."""

    pool: str  # pool key
    cards: int
    ends_at: float  # wall seconds, expected; 0.0: unknown


@dataclass(frozen=True, slots=True)
class Hold:
    """A site refused this shape a moment ago: do not offer it again before `until`."""

    pool: str
    nodes: int
    cards_per_node: int
    until: float  # wall seconds


@dataclass(frozen=True, slots=True)
class Policy:
    """Weights and bounds of a round; the defaults rank by finish time alone."""

    yuan_per_hour_saved: float = 0.0  # what an hour earlier is worth; 0: time only
    fragmentation_seconds_per_card: float = 0.05
    placements_max: int = 20_000  # per round
    utilisation_default: float = 0.4
    run_seconds_default: float = 3600.0  # when a job states neither work nor time limit


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
    usage: tuple[tuple[str, float], ...] = ()  # (tenant, cards held now)
    weights: tuple[tuple[str, float], ...] = ()  # (tenant, fair-share weight); absent: 1


# --- decisions --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a gang: `nodes` nodes with `cards` cards each, in one supernode."""

    supernode: str
    nodes: int
    cards: int


@dataclass(frozen=True, slots=True)
class Score:
    """The finish time and its parts, in real units, for one variant in one pool."""

    wait_seconds: float
    stage_seconds: float
    run_seconds: float
    yuan: float
    kwh: float
    fragmentation_seconds: float = 0.0

    @property
    def finish_seconds(self) -> float:
        return self.wait_seconds + self.stage_seconds + self.run_seconds


@dataclass(frozen=True, slots=True)
class Placement:
    """One job's place: a proposal until the broker's core accepts it."""

    job_id: str
    variant: int  # index into the demand's variants
    pool: str  # pool key
    slices: tuple[Slice, ...]
    score: Score


@dataclass(frozen=True, slots=True)
class Rejection:
    """A hard condition and what it cost: `cards` physical cards of `pools` left out by `code`."""

    code: str  # stable CamelCase
    cards: int
    pools: tuple[str, ...]
    fix_by: str  # "you" | "site" | "federation" | "wait"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pool that passed every hard condition for a variant, with its score."""

    pool: str
    variant: int
    score: Score
    chosen: bool = False
    lost_because: str = ""  # the first reason why it was not chosen


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A change that was solved again and found to work."""

    change: str
    pool: str
    starts: str  # "now" | "later"


class Verdict(StrEnum):
    """What the round says of a class."""

    PLACED = "placed"  # at least one of its jobs was placed
    WAIT = "wait"  # it fits somewhere when cards come free
    NEVER = "never"  # no pool of the federation could ever hold it


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a class is where it is: counts that add up, candidates, and checked what-ifs."""

    verdict: Verdict
    examined_pools: int
    examined_cards: int
    rejections: tuple[Rejection, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    position: int = 0  # jobs ahead of the class's first job; 0: first

    @property
    def cards_left(self) -> int:
        """Cards that are free now in pools where the job fits; 0: it cannot start now."""
        return self.examined_cards - sum(rejection.cards for rejection in self.rejections)


@dataclass(frozen=True, slots=True)
class Round:
    """The result of one placement round."""

    placements: tuple[Placement, ...] = ()
    explanations: tuple[tuple[str, Explanation], ...] = ()  # (class key, why)
