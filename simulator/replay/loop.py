"""The replay: arrivals and ends in virtual time, a policy asked at each, its starts checked.

Cards are held from the start of a job to its end. The run begins when the data are there:
staging begins when the policy says so, at the latest with the start. A run that is lost or
stopped begins again from nothing. Deterministic.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from simulator.replay.incidents import Incidents
from simulator.replay.instance import Floats, Instance, Ints
from simulator.replay.view import Decision, Place, Policy, View

Progress = Callable[[int], None]
NO_INCIDENTS = Incidents()


class PolicyFault(Exception):
    """A policy asked for what cannot be: the policy is wrong, not the trace."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each job; NaN and -1: never started."""

    started_seconds: Floats  # [job]: cards held from here, by the run that went to its end
    ended_seconds: Floats  # [job]
    pool: Ints  # [job]
    decisions: int  # how often the policy was asked
    lost_runs: int = 0  # because their pools went away
    preemptions: int = 0  # because the policy stopped them
    lost_card_seconds: Floats | None = None  # [pool]: held by runs that came to nothing

    @property
    def finished(self) -> int:
        return int(np.isfinite(self.ended_seconds).sum())


def replay(
    instance: Instance,
    policy: Policy,
    round_seconds: float = 0.0,
    incidents: Incidents = NO_INCIDENTS,
    progress: Progress | None = None,
) -> Outcome:
    """Run `policy` over the whole trace, asked at most once per `round_seconds`.

    Ends when nothing is left to happen; jobs that the policy never started stay unfinished.
    `progress` is told how many jobs have ended. Raises PolicyFault when the policy starts a
    job twice, unasked, or without room.
    """
    return _Replay(instance, policy, round_seconds, incidents, progress).run()


class _Replay:
    """The state of one replay."""

    def __init__(
        self,
        instance: Instance,
        policy: Policy,
        round_seconds: float,
        incidents: Incidents,
        progress: Progress | None,
    ) -> None:
        known = instance.known
        self.policy, self.round_seconds = policy, round_seconds
        self.submit: list[float] = known.submit_seconds.tolist()
        self.cards: list[int] = known.cards.tolist()
        self.kind: list[int] = known.pools.kind.tolist()
        self.run_seconds, self.stage_seconds = instance.run_seconds, known.stage_seconds
        self.free = known.pools.cards.copy()
        self.shown = self.free.view()
        self.shown.flags.writeable = False
        count = len(instance)
        self.started, self.ended = np.full(count, np.nan), np.full(count, np.nan)
        self.pool = np.full(count, -1, np.int64)
        self.arrivals = 0  # jobs that have arrived
        self.staged: dict[Place, float] = {}  # when its staging began
        self.ends: list[tuple[float, int, int]] = []
        self.again_at, self.decisions = math.inf, 0
        self.pools = known.pools.cards
        self.incidents, self.moments = incidents, incidents.moments()
        self.away: frozenset[int] = frozenset()
        self.lost_runs, self.preemptions = 0, 0
        self.lost_card_seconds = np.zeros(len(known.pools))
        self.finished, self.progress = 0, progress

    def run(self) -> Outcome:
        now = -math.inf
        while (then := self._next()) < math.inf:
            now = max(then, now + self.round_seconds) if self.round_seconds else then
            if self.moments and self.moments[0] <= now:
                now = self.moments[0]
            arrived = self._arrived(now)
            ended, ended_at = self._ended(now)
            lost = self._happen(now)
            self.decisions += 1
            view = View(now, arrived, ended, self.shown, ended_at, lost, self.away)
            decision = self.policy.decide(view)
            self._act(decision, now)
        return Outcome(
            np.where(np.isfinite(self.ended), self.started, np.nan),
            self.ended,
            np.where(np.isfinite(self.ended), self.pool, -1),
            self.decisions,
            self.lost_runs,
            self.preemptions,
            self.lost_card_seconds,
        )

    def _next(self) -> float:
        """When something happens again; inf: never."""
        arrival = self.submit[self.arrivals] if self.arrivals < len(self.submit) else math.inf
        end = self.ends[0][0] if self.ends else math.inf
        return min(arrival, end, self.again_at, self._incident() if self._lives() else math.inf)

    def _incident(self) -> float:
        return self.moments[0] if self.moments else math.inf

    def _lives(self) -> bool:
        """Whether an incident could still matter to anybody."""
        return self.finished < len(self.submit)

    def _arrived(self, now: float) -> range:
        first = self.arrivals
        while self.arrivals < len(self.submit) and self.submit[self.arrivals] <= now:
            self.arrivals += 1
        return range(first, self.arrivals)

    def _ended(self, now: float) -> tuple[list[Place], list[float]]:
        gone, ended_at = [], []
        while self.ends and self.ends[0][0] <= now:
            at, job, pool = heapq.heappop(self.ends)
            self.free[pool] += self.cards[job]
            self.ended[job] = at
            gone.append(Place(job, pool))
            ended_at.append(at)
        self.finished += len(gone)
        if gone and self.progress is not None:
            self.progress(self.finished)
        return gone, ended_at

    # --- incidents --------------------------------------------------------------------

    def _happen(self, now: float) -> list[Place]:
        """The incidents of this moment; the runs that are lost with them."""
        if not self.moments or self.moments[0] > now:
            return []
        del self.moments[0]
        away = self.incidents.away(now)
        gone = [Place(job, pool) for _, job, pool in self.ends if pool in away - self.away]
        gone.sort()
        self._break_off({job for job, _ in gone}, now)
        for pool in away | self.away:
            self.free[pool] = 0 if pool in away else self.pools[pool]
        self.away = away
        self.lost_runs += len(gone)
        return gone

    def _break_off(self, jobs: Collection[int], now: float) -> None:
        """These runs come to nothing, and their cards are free."""
        if not jobs:
            return
        for _, job, pool in self.ends:
            if job in jobs:
                self.lost_card_seconds[pool] += (now - self.started[job]) * self.cards[job]
                self.free[pool] += self.cards[job]
                self.pool[job] = -1
        self.ends = [each for each in self.ends if each[1] not in jobs]
        heapq.heapify(self.ends)

    # --- acting -----------------------------------------------------------------------

    def _act(self, decision: Decision, now: float) -> None:
        if decision.stops:
            self._break_off({place.job for place in decision.stops}, now)
            self.preemptions += len(decision.stops)
        for place in decision.stagings:
            self.staged.setdefault(place, now)
        for place in decision.starts:
            self._start(place, now)
        self.again_at = decision.again_at
        if self.again_at <= now:
            raise PolicyFault(f"asked to be asked again at {self.again_at}, and now is {now}")

    def _start(self, place: Place, now: float) -> None:
        job, pool = place
        if not (0 <= job < self.arrivals and self.pool[job] < 0):
            raise PolicyFault(f"job {job} is not waiting")
        if self.cards[job] > self.free[pool]:
            raise PolicyFault(f"job {job} needs {self.cards[job]} of {self.free[pool]} free cards")
        run = float(self.run_seconds[job, self.kind[pool]])
        if not run + float(self.stage_seconds[job, pool]) < math.inf:
            raise PolicyFault(f"job {job} cannot run in pool {pool}")
        begun = self.staged.pop(place, now)
        end = max(now, self._ready_at(begun, job, pool)) + run
        self.free[pool] -= self.cards[job]
        self.pool[job], self.started[job] = pool, now
        heapq.heappush(self.ends, (end, job, pool))

    def _ready_at(self, begun: float, job: int, pool: int) -> float:
        if not self.incidents.rewirings:
            return begun + float(self.stage_seconds[job, pool])
        return self.incidents.ready_at(begun, job, pool, self.stage_seconds)
