"""Larger traces from smaller ones: more copies, wider gangs, faster or slower arrivals.

Load is set elsewhere (`simulator.bounds.load`), which needs to know the federation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np

from simulator.traces.job import TraceJob


def copies(jobs: Sequence[TraceJob], count: int, seed: int) -> tuple[TraceJob, ...]:
    """`count` times the trace; each further copy begins elsewhere in it and wraps around.

    So the copies have the same days and nights, but not the same bursts at once.
    """
    if not jobs or count <= 1:
        return tuple(jobs)
    span = jobs[-1].submit_seconds
    random = np.random.default_rng(seed)
    made = list(jobs)
    for copy in range(1, count):
        shift = float(random.uniform(0.0, span))
        made += [
            replace(
                job,
                name=f"{job.name}~{copy}",
                submit_seconds=(job.submit_seconds + shift) % span if span > 0 else 0.0,
            )
            for job in jobs
        ]
    return tuple(sorted(made, key=attrgetter("submit_seconds")))


def widened(jobs: Iterable[TraceJob], factor: int) -> tuple[TraceJob, ...]:
    """Each gang `factor` times as wide, as long as before."""
    return tuple(replace(job, cards=job.cards * factor, nodes=0) for job in jobs)


def stretched(jobs: Iterable[TraceJob], factor: float) -> tuple[TraceJob, ...]:
    """All submissions `factor` times as far apart."""
    return tuple(replace(job, submit_seconds=job.submit_seconds * factor) for job in jobs)
