"""Which part of a trace is wanted. Knows jobs only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from simulator.traces.job import TraceJob

SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The first `first` jobs of the days `from_day` up to `until_day`; days count from 0."""

    first: int = 0  # 0: all
    from_day: float = 0.0
    until_day: float = math.inf

    def of(self, jobs: Sequence[TraceJob]) -> tuple[TraceJob, ...]:
        """The selected of `jobs` (sorted by submission), with times from the first of them."""
        if not jobs:
            return ()
        start = jobs[0].submit_seconds
        begin, end = (start + day * SECONDS_PER_DAY for day in (self.from_day, self.until_day))
        chosen = [job for job in jobs if begin <= job.submit_seconds < end]
        chosen = chosen[: self.first] if self.first > 0 else chosen
        if not chosen:
            return ()
        base = chosen[0].submit_seconds
        return tuple(replace(job, submit_seconds=job.submit_seconds - base) for job in chosen)
