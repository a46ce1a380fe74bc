"""Supply: sites and their pools, with the cards that can be placed now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SiteState(StrEnum):
    """What the broker may do with a site now."""

    OPEN = "open"
    PAUSED = "paused"  # the site's own kill switch: nothing new, asked for by the site
    DRAINING = "draining"  # nothing new, asked for by an administrator
    SUSPECT = "suspect"  # silent for a while: nothing new
    LOST = "lost"  # silent for longer than its leases
    UNSEEN = "unseen"  # registered, has not reported since this broker started


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
class Release:
    """Cards that a site's own jobs give back by then at the latest."""

    cards: int
    ends_at: float  # wall seconds


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
    software: tuple[str, ...] = ()  # stacks on its nodes, e.g. "cann-8.1"; empty: not stated
    time_limit_seconds_max: float = 0.0  # 0: none but the site's
    releases: tuple[Release, ...] = ()  # of the site's own jobs, soonest first

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
    egress_yuan_per_gb: float = 0.0  # what the site asks for bytes that leave it
    failures_per_card_day: float = 0.0
    restart_seconds: float = 120.0
    checkpoint_gb_per_second: float = 0.0  # that one gang can write; 0: not stated
    tenants_allowed: tuple[str, ...] = ()  # empty: all
    tenants_denied: tuple[str, ...] = ()
    time_limit_seconds_max: float = 0.0  # 0: none
    runs_images: bool = False  # jobs may bring the container image in which they run
    has_store: bool = False  # what jobs write there can become datasets


@dataclass(frozen=True, slots=True)
class Scarce:
    """How much a run on a model counts, and where what then ran and waited pulls that."""

    model: str
    factor: float = 1.0
    pull: float = 1.0


@dataclass(frozen=True, slots=True)
class Scarcity:
    """How scarce models are, as a round left it; one that does not stand here is as any other."""

    at: float = 0.0  # wall seconds
    models: tuple[Scarce, ...] = ()  # in order of name
