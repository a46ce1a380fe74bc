"""The replay: arrivals and ends in virtual time, a policy asked at each, its starts checked.

Cards are held from the start of a job to its end. The run begins when the data are there:
staging begins when the policy says so, at the latest with the start. Deterministic.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

from simulator.replay.instance import Floats, Instance, Ints
from simulator.replay.view import Decision, Place, Policy, View


class PolicyFault(Exception):
    """A policy asked for what cannot be: the policy is wrong, not the trace."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each job; NaN and -1: never started."""

    started_seconds: Floats  # [job]: cards held from here
    ended_seconds: Floats  # [job]
    pool: Ints  # [job]
    decisions: int  # how often the policy was asked

    @property
    def finished(self) -> int:
        return int(np.isfinite(self.ended_seconds).sum())


def replay(instance: Instance, policy: Policy, round_seconds: float = 0.0) -> Outcome:
    """Run `policy` over the whole trace, asked at most once per `round_seconds`.

    Ends when nothing is left to happen; jobs that the policy never started stay unfinished.
    Raises PolicyFault when it starts a job twice, unasked, or without room.
    """
    return _Replay(instance, policy, round_seconds).run()


class _Replay:
    """The state of one replay."""

    def __init__(self, instance: Instance, policy: Policy, round_seconds: float) -> None:
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

    def run(self) -> Outcome:
        now = -math.inf
        while (then := self._next()) < math.inf:
            now = max(then, now + self.round_seconds) if self.round_seconds else then
            view = View(now, self._arrived(now), self._ended(now), self.shown)
            self.decisions += 1
            decision = self.policy.decide(view)
            self._act(decision, now)
        return Outcome(self.started, self.ended, self.pool, self.decisions)

    def _next(self) -> float:
        """When something happens again; inf: never."""
        arrival = self.submit[self.arrivals] if self.arrivals < len(self.submit) else math.inf
        end = self.ends[0][0] if self.ends else math.inf
        return min(arrival, end, self.again_at)

    def _arrived(self, now: float) -> range:
        first = self.arrivals
        while self.arrivals < len(self.submit) and self.submit[self.arrivals] <= now:
            self.arrivals += 1
        return range(first, self.arrivals)

    def _ended(self, now: float) -> list[Place]:
        gone = []
        while self.ends and self.ends[0][0] <= now:
            _, job, pool = heapq.heappop(self.ends)
            self.free[pool] += self.cards[job]
            gone.append(Place(job, pool))
        return gone

    def _act(self, decision: Decision, now: float) -> None:
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
        staged_at = self.staged.pop(place, now)
        ready = max(now, staged_at + float(self.stage_seconds[job, pool]))
        end = ready + float(self.run_seconds[job, self.kind[pool]])
        if not end < math.inf:
            raise PolicyFault(f"job {job} cannot run in pool {pool}")
        self.free[pool] -= self.cards[job]
        self.pool[job], self.started[job], self.ended[job] = pool, now, end
        heapq.heappush(self.ends, (end, job, pool))
