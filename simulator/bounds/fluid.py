"""The fluid relaxation: work that may be cut at will; load, makespan, and prices of kinds.

Linear program: fractions x_jk >= 0 of job j done on kind k, sum_k x_jk = 1; least T such
that sum_j w_jk x_jk <= T C_k for every kind k, where w_jk = cards x run (card-seconds) and
C_k = cards. A schedule that ends all work within T seconds gives such an x: so T* is a lower
bound on the time that the work takes. Its dual: greatest sum_j min_k y_k w_jk over y >= 0 with
sum_k y_k C_k = 1; *every* such y, optimal or not, gives a lower bound, and that is how it is
evaluated here. The solver is trusted for nothing but a good y.

Makespan: for any moment s, the work of the jobs released (submitted, data there) at s or later
starts after s, so makespan >= s + sum over those j of min_k y_k w_jk; and makespan >= release
+ run of every single job. The bound is the greatest of all.
"""

from __future__ import annotations

from typing import cast

import highspy
import numpy as np

from simulator.bounds.demand import Demand
from simulator.replay.instance import Floats, Instance

CLASSES_MAX = 5_000  # of jobs with the same ratios between kinds; more are merged to this
SUFFIXES = 6  # moments from which on the makespan's program is solved for itself


def fluid_prices(demand: Demand) -> Floats:
    """[kind]: y >= 0 with sum y C = 1, (nearly) the best prices of the dual."""
    work = _merged(demand.work)
    capacity = demand.capacity
    classes, kinds = np.nonzero(np.isfinite(work))
    count, columns = len(work), len(classes) + 1
    scale = work[classes, kinds].mean() if len(classes) else 1.0
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = columns, count + len(capacity)
    lp.col_cost_ = np.append(np.zeros(columns - 1), 1.0)
    lp.col_lower_, lp.col_upper_ = np.zeros(columns), np.full(columns, highspy.kHighsInf)
    lp.row_lower_ = np.concatenate([np.ones(count), np.zeros(len(capacity))])
    lp.row_upper_ = np.concatenate([np.ones(count), np.full(len(capacity), highspy.kHighsInf)])
    # per fraction: its row "all is done" and its kind's row "C T - work >= 0"; then T
    index = np.empty(2 * len(classes) + len(capacity), np.int32)
    value = np.empty(len(index))
    index[0 : 2 * len(classes) : 2], value[0 : 2 * len(classes) : 2] = classes, 1.0
    index[1 : 2 * len(classes) : 2] = count + kinds
    value[1 : 2 * len(classes) : 2] = -work[classes, kinds] / scale
    index[2 * len(classes) :] = count + np.arange(len(capacity))
    value[2 * len(classes) :] = capacity
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.append(np.arange(columns) * 2, len(index)).astype(np.int32)
    lp.a_matrix_.index_, lp.a_matrix_.value_ = index, value
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.passModel(lp)
    solver.run()
    dual = np.maximum(0.0, np.array(solver.getSolution().row_dual)[count:])
    total = float((dual * capacity).sum())
    even = np.full(len(capacity), 1.0 / max(1.0, float(capacity.sum())))
    return cast(Floats, dual / total if total > 0 else even)


def _merged(work: Floats) -> Floats:
    """[class, kind]: jobs with equal ratios between kinds taken together."""
    least = work.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        ratio = np.log(np.where(np.isfinite(work), work / np.maximum(least, 1e-12), np.inf))
    for digits in (6, 3, 2, 1, 0):
        rows, of_job = np.unique(np.round(ratio, digits), axis=0, return_inverse=True)
        if len(rows) <= CLASSES_MAX:
            break
    total = np.bincount(of_job.reshape(-1), least[:, 0], minlength=len(rows))
    return np.asarray(np.exp(rows) * total[:, None], np.float64)


def priced_work(demand: Demand, prices: Floats) -> Floats:
    """[job]: a_j = min_k y_k w_jk, in seconds of the whole federation (sum y C = 1)."""
    there = np.isfinite(demand.work)
    priced = np.where(there, np.where(there, demand.work, 0.0) * prices, np.inf)
    return np.asarray(priced.min(axis=1), np.float64)


def load(instance: Instance) -> float:
    """Fluid time of the work over the span of the submissions: 1.0 is all that could be done.

    inf when everything is submitted at once.
    """
    demand = Demand.of(instance)
    if not len(demand):
        return 0.0
    span = float(demand.submit[-1] - demand.submit[0])
    seconds = float(priced_work(demand, fluid_prices(demand)).sum())
    return seconds / span if span > 0 else float("inf")


def loaded(instance: Instance, target: float) -> Instance:
    """The same jobs, submitted so much faster or slower that the fluid load is `target`.

    Raises ValueError when all are submitted at once or the target is not positive.
    """
    now = load(instance)
    if not (0 < now < float("inf") and target > 0):
        raise ValueError(f"a load of {now:g} cannot be made {target:g}")
    return instance.stretched(now / target)


def makespan_bound(demand: Demand) -> float:
    """Seconds from 0 before which no schedule ends everything."""
    if not len(demand):
        return 0.0
    release = demand.release
    best = float((demand.submit + demand.solo).max())
    order = np.argsort(release, kind="stable")
    for start in np.linspace(0.0, 0.95, SUFFIXES):
        late = order[int(start * len(order)) :]
        part = Demand(
            demand.submit[late], demand.cards[late], demand.run[late], demand.stage[late],
            demand.capacity,
        )  # fmt: skip
        after = priced_work(demand, fluid_prices(part))[order][::-1].cumsum()[::-1]
        best = max(best, float((release[order] + after).max()))
    return best
