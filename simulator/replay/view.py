"""The seam between a policy and the loop: what it sees, what it answers.

A policy keeps its own queues. It is asked whenever jobs have arrived or ended, and at the
moments that it asked for; it never sees how long a job will really run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from simulator.replay.instance import Ints


class Place(NamedTuple):
    """A job in a pool, both by number."""

    job: int
    pool: int


@dataclass(frozen=True, slots=True)
class View:
    """The world at one moment; `free` is the loop's own array, not to be written."""

    now: float  # virtual seconds from the first submission
    arrived: Sequence[int]  # jobs submitted since the last view, in order
    ended: Sequence[Place]  # runs that ended since the last view
    free: Ints  # [pool]: cards free now
    ended_at: Sequence[float] = ()  # when each of `ended` did
    lost: Sequence[Place] = ()  # runs that were lost now because their pools went away
    away: frozenset[int] = frozenset()  # pools that are away


@dataclass(frozen=True, slots=True)
class Decision:
    """What shall happen now. Staging that is not begun earlier begins with the start."""

    starts: Sequence[Place] = ()
    stagings: Sequence[Place] = ()  # bring the job's data there while it waits
    again_at: float = math.inf  # ask once more then, even if nothing happens
    stops: Sequence[Place] = ()  # runs to break off; each may start again from nothing


class Policy(Protocol):
    """Whatever decides which job starts where, and when."""

    def decide(self, view: View) -> Decision:
        """The decision for this moment; the loop asks in the order of time."""
