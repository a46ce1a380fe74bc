"""One queue class during a round: what it may have, what it got, what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.arrays import Ints
from scheduler.capacity import Capacity
from scheduler.model import QueueClass, Score
from scheduler.reservation import Waiting
from scheduler.scoring import Options


@dataclass(frozen=True, slots=True)
class Standing:
    """What a class found at one moment of the round."""

    options: Options
    cards_free: Ints  # [pool]
    cards_guarded: Ints  # [pool] of the free ones, kept from this class for a gang ahead
    waiting: Waiting | None  # None: nothing to wait for

    @classmethod
    def now(cls, options: Options, capacity: Capacity) -> Standing:
        """Note the free cards beside the options; a guard keeps out the shortest way too."""
        durations = options.duration_seconds.min(axis=0, initial=float("inf"))
        return cls(
            options=options,
            cards_free=capacity.pool_free(),
            cards_guarded=capacity.guarded_free(durations),
            waiting=Waiting.of(options) if options.waits.any() else None,
        )


@dataclass(slots=True)
class Case:
    """The class and its jobs in this round."""

    queued: QueueClass
    standing: Standing
    jobs_left: list[str]  # oldest last
    jobs_held: int = 0  # of those left, better off waiting for a busy pool
    stale: bool = False  # cards were given since the standing was noted
    jobs_placed: int = 0
    chosen: dict[tuple[int, int], Score] = field(default_factory=dict)  # (way, pool) taken

    @property
    def options(self) -> Options:
        return self.standing.options

    @property
    def waiting(self) -> Waiting | None:
        return self.standing.waiting

    @property
    def early(self) -> bool:
        """Whether an early finish is wanted most: else a dear pool is no reason to wait."""
        return self.options.first_preference == "finish"
