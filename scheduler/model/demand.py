"""Demand: what jobs ask for, how much work it is, and who waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.model.accelerators import Precision


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
    software: str = ""  # stack that its nodes must have, e.g. "cann>=8.0"; empty: any
    in_image: bool = False  # it runs in a container image of its own

    @property
    def cards(self) -> int:
        return self.nodes * self.cards_per_node


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to do; all zero: unknown, the time limit or a default stands in.

    Either `seconds` measured on `cards` cards of `accelerator`, or `flops`, or a model of
    `parameters` weights trained on `tokens`. Arithmetic is in `precision`, or where a card
    has none of that in the first of `fallbacks` that it has.
    """

    seconds: float = 0.0
    accelerator: str = ""
    cards: int = 0
    flops: float = 0.0
    precision: Precision = Precision.BF16
    fallbacks: tuple[Precision, ...] = ()  # empty: whatever the card has that is wider
    tokens: float = 0.0
    parameters: float = 0.0  # that each token uses: of a mixture of experts, the active ones
    measured: tuple[tuple[str, float], ...] = ()  # (model, seconds) on as many cards, if any

    @property
    def operations(self) -> float:
        """Floating-point operations; 0.0: not stated. Training takes 6 per weight and token:
        2 forward, 4 backward (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""
        return self.flops if self.flops > 0 else 6.0 * self.parameters * self.tokens

    @property
    def stated(self) -> bool:
        return self.seconds > 0 or self.operations > 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a job writes to go on from after a failure; zero: not stated."""

    size_bytes: int = 0
    every_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Restore:
    """The committed state from which a job goes on, wherever it goes."""

    name: str  # of its transfer
    site: str  # near whose store it lies
    size_bytes: int


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
    users_at: str = ""  # the node of the network where its users are; empty: no matter
    latency_ms_max: float = 0.0  # one way, from the users to its site; 0: no limit
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    family: str = ""  # jobs of a tenant that learn from each other's runs; empty: of none
    deadline_at: float = 0.0  # wall seconds by which it should have ended; 0: none
    preemptible: bool = True  # its attempts may be stopped for others, to go on elsewhere
    restore: Restore | None = None  # of a job that has run
    needs_store: bool = False  # what it writes becomes datasets


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
