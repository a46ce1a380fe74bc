"""What a round decides, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from scheduler.model.claims import Preemption
from scheduler.model.network import Fetch, Prestaging
from scheduler.model.supply import Scarcity


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a gang: `nodes` nodes with `cards` cards each, in one supernode."""

    supernode: str
    nodes: int
    cards: int


@dataclass(frozen=True, slots=True)
class Basis:
    """What an estimate of a run rests on.

    Half of such runs are expected within `Score.run_seconds`, nine in ten within `p90_seconds`.
    """

    source: str = ""  # "measured" | "scaled" | "computed" | "limit" | "assumed"
    precision: str = ""  # in which the peak was taken; empty: no peak was needed, or none known
    work_seconds: float = 0.0  # from the work alone: no failures, nothing learned
    learned_factor: float = 1.0  # by past runs of the job's family
    learned_runs: float = 0.0  # how many runs that rests on, old ones counting less
    availability: float = 1.0  # share of the time in which progress lasts
    checkpoint_every_seconds: float = 0.0  # the interval that loses least; 0: none pays
    p90_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """The finish time and its parts, in real units, for one variant in one pool."""

    wait_seconds: float
    stage_seconds: float
    run_seconds: float
    yuan: float
    kwh: float
    fragmentation_seconds: float = 0.0
    basis: Basis = Basis()
    scarcity_seconds: float = 0.0  # what a scarce model counts against the place; may be < 0

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
    fetches: tuple[Fetch, ...] = ()  # inputs that must come from elsewhere


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
    cached: tuple[str, ...] = ()  # inputs that its site's cache holds: told beside the decision


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
    prestagings: tuple[Prestaging, ...] = ()  # worth sending for while jobs wait
    preemptions: tuple[Preemption, ...] = ()
    scarcity: Scarcity = field(default_factory=Scarcity)  # for the next round
    worth: float = 0.0  # of what was placed, as the round's prices reckon
    worth_bound: float = 0.0  # that the prices certify; 0: the round was not priced

    @property
    def gap(self) -> float | None:
        """What is at most missing to the best round, of the bound; None: not priced."""
        if self.worth_bound <= 0:
            return None
        return max(0.0, 1.0 - self.worth / self.worth_bound)
