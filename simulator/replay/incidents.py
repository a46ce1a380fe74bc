"""What goes wrong in the world while a trace is replayed, whatever the policy does.

Pools go away and come back, and staging takes another time from a moment on because links
were cut. Knows numbers only; who cut what is known elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.replay.instance import Floats


@dataclass(frozen=True, slots=True)
class Absence:
    """Pools that are away: what runs there is lost at once, and nothing can start."""

    pools: tuple[int, ...]
    from_seconds: float
    until_seconds: float  # inf: for ever


@dataclass(frozen=True, slots=True)
class Rewiring:
    """From `at_seconds` on, a start has this long to wait for its data."""

    at_seconds: float
    stage_seconds: Floats  # [job, pool]; inf: no way at present


@dataclass(frozen=True, slots=True)
class Incidents:
    """All that happens, known to the world from the beginning and to no policy."""

    absences: tuple[Absence, ...] = ()
    rewirings: tuple[Rewiring, ...] = ()  # in the order of time

    def moments(self) -> list[float]:
        """When anything happens, ascending, each once."""
        ends = [end for each in self.absences for end in (each.from_seconds, each.until_seconds)]
        ends += [each.at_seconds for each in self.rewirings]
        return sorted({at for at in ends if np.isfinite(at)})

    def away(self, now: float) -> frozenset[int]:
        """The pools that are away at `now`."""
        there = (a for a in self.absences if a.from_seconds <= now < a.until_seconds)
        return frozenset(pool for each in there for pool in each.pools)

    def ready_at(self, now: float, job: int, pool: int, usual: Floats) -> float:
        """When a job's data are in a pool if they set out at `now`; inf: never.

        What is under way keeps its speed; what finds no way sets out when there is one.
        """
        stage, left = usual, []
        for each in self.rewirings:
            if each.at_seconds <= now:
                stage = each.stage_seconds
            else:
                left.append(each)
        ready = now + float(stage[job, pool])
        if np.isfinite(ready):
            return ready
        later = (each.at_seconds + float(each.stage_seconds[job, pool]) for each in left)
        return next((at for at in later if np.isfinite(at)), np.inf)
