"""Data on their way ahead of jobs, as the virtual sites are told to bring them.

The replay stages each job's data for itself, at the earliest from its submission on, so a site
keeps nothing for jobs to come: what is won here is only the time that a job waits anyway, and
the lower bounds hold. Sites therefore report an empty cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from simulator.federation import Workload
from simulator.replay.instance import Known
from simulator.replay.view import Place


class Ahead:
    """Which jobs wait for which data, and since when these are on their way to which pool."""

    def __init__(
        self, known: Known, workload: Workload, pools_at: Mapping[str, Sequence[int]]
    ) -> None:
        """`pools_at`: the pools of each site, by number."""
        self._stage_seconds = known.stage_seconds
        self._dataset = [workload.datasets[row].name for row in workload.dataset.tolist()]
        self._pools_at = pools_at
        self._waiting: dict[str, dict[int, None]] = {}  # jobs, by what they read
        self._wanted: dict[str, frozenset[str]] = {}  # datasets, by the site that brings them
        self._begun: dict[int, dict[int, float]] = {}  # by job and pool

    def wait(self, job: int, now: float) -> list[Place]:
        """The job is in the queue; where its data set out for at once."""
        name = self._dataset[job]
        self._waiting.setdefault(name, {})[job] = None
        sites = [site for site, wanted in self._wanted.items() if name in wanted]
        return [place for site in sites for place in self._send([job], site, now)]

    def want(self, site: str, datasets: Iterable[str], now: float) -> list[Place]:
        """A site is told all that it shall bring; what sets out there for jobs that wait."""
        before, wanted = self._wanted.get(site, frozenset()), frozenset(datasets)
        self._wanted[site] = wanted
        jobs = [job for name in sorted(wanted - before) for job in self._waiting.get(name, ())]
        return list(self._send(jobs, site, now))

    def start(self, place: Place, now: float) -> float:
        """The job starts there; when its data are there."""
        self._waiting.get(self._dataset[place.job], {}).pop(place.job, None)
        begun = self._begun.get(place.job, {}).pop(place.pool, now)
        return max(now, begun + float(self._stage_seconds[place]))

    def forget(self, site: str) -> None:
        """The site is away: it brings nothing."""
        self._wanted.pop(site, None)

    def _send(self, jobs: Iterable[int], site: str, now: float) -> Iterator[Place]:
        for job in jobs:
            begun = self._begun.setdefault(job, {})
            for pool in self._pools_at[site]:
                if pool not in begun:
                    begun[pool] = now
                    yield Place(job, pool)
