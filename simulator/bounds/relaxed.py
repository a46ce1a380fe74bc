"""Lower bounds on mean completion time by relaxation to one machine, and by solo times.

Priced preemptive SRPT. Take any y >= 0 with sum_k y_k C_k = 1 (prices of a card-second). Let a
schedule run job j on kind k for t_jk seconds with n_j cards, and let it "earn" y_k n_j per
second meanwhile: y_k w_jk >= a_j = min_k y_k w_jk in all, and never more than sum_k y_k C_k = 1
per second over all jobs. So it can be read as a preemptive schedule (jobs may share the
machine) of one machine of speed 1 with processing times a_j and releases r_j, ending no
later. On one machine SRPT ends, for every i, its i-th job no later than any schedule ends its
i-th (Schrage 1968; Smith 1978: at any moment the sum of the m smallest remainders among the
jobs released is, for every m, least under SRPT, so the number done is greatest; sharing is a
limit of preemption). Hence the *sorted* ends of SRPT bound the sorted ends from below.

Solo. No job ends before e_j = submit + its least staging + run; so the sorted e_j bound the
sorted ends from below as well.

Together. Both hold position by position, so does their pointwise maximum:
sum_j JCT_j = sum_i C_(i) - sum_j submit_j >= sum_i max(SRPT_(i), e_(i)) - sum_j submit_j.
A maximum job by job would prove nothing: SRPT's order is not the schedule's.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np

from simulator.bounds.demand import Demand
from simulator.bounds.fluid import priced_work
from simulator.replay.instance import Floats


def solo_bound(demand: Demand) -> float:
    """Mean completion time if nobody ever waited, seconds; 0.0 without jobs."""
    return float(demand.solo.mean()) if len(demand) else 0.0


def relaxed_bound(demand: Demand, prices: Iterable[Floats]) -> float:
    """The best bound on mean completion time over these price vectors, seconds."""
    if not len(demand):
        return 0.0
    solo_ends = np.sort(demand.submit + demand.solo)
    best = solo_ends
    for each in prices:
        best = np.maximum(best, np.sort(srpt_ends(demand.release, priced_work(demand, each))))
    return float((best.sum() - demand.submit.sum()) / len(demand))


def srpt_ends(release: Floats, seconds: Floats) -> Floats:
    """[job]: its end on one machine that always runs the least remainder."""
    order = np.argsort(release, kind="stable")
    times, lengths = release[order].tolist(), seconds[order].tolist()
    ends = np.empty(len(times))
    waiting: list[tuple[float, int]] = []
    now, at = 0.0, 0
    while at < len(times) or waiting:
        if not waiting:
            now = max(now, times[at])
        while at < len(times) and times[at] <= now:
            heapq.heappush(waiting, (lengths[at], at))
            at += 1
        left, job = waiting[0]
        until = times[at] if at < len(times) else float("inf")
        if now + left <= until:
            now += left
            heapq.heappop(waiting)
            ends[job] = now
        else:
            heapq.heapreplace(waiting, (left - (until - now), job))
            now = until
    found = np.empty(len(times))
    found[order] = ends
    return found
