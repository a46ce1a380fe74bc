"""Scaling keeps what it promises: jobs, widths, order, and the load of the fluid program."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.bounds.fluid import load, loaded
from simulator.replay import Instance, Pools
from simulator.traces import TraceJob, copies, stretched, widened

JOBS = tuple(TraceJob(str(at), at * 100.0, 50.0 + at, 1 + at % 4) for at in range(50))


def test_copies_have_the_same_jobs_at_other_times() -> None:
    made = copies(JOBS, 3, seed=1)
    assert len(made) == 150
    assert sorted(job.run_seconds for job in made) == sorted(3 * [job.run_seconds for job in JOBS])
    times = [job.submit_seconds for job in made]
    assert times == sorted(times)
    assert times[0] >= 0 and times[-1] <= JOBS[-1].submit_seconds
    assert len({job.name for job in made}) == 150
    assert made == copies(JOBS, 3, seed=1) != copies(JOBS, 3, seed=2)
    assert copies((), 3, seed=1) == ()


def test_gangs_become_wider_and_arrivals_slower() -> None:
    assert [job.cards for job in widened(JOBS, 8)] == [job.cards * 8 for job in JOBS]
    assert [job.submit_seconds for job in stretched(JOBS, 2.0)] == [
        job.submit_seconds * 2 for job in JOBS
    ]


def instance(cards: int = 4) -> Instance:
    pools = Pools(("p",), ("k",), np.zeros(1, np.int64), np.array([cards]), np.ones(1))
    return Instance.of(
        pools,
        np.array([job.submit_seconds for job in JOBS]),
        np.array([job.cards for job in JOBS]),
        np.array([[job.run_seconds] for job in JOBS]),
        np.zeros((len(JOBS), 1)),
    )


def test_the_load_of_one_pool_is_work_over_capacity() -> None:
    work = sum(job.cards * job.run_seconds for job in JOBS)
    assert load(instance()) == pytest.approx(work / (4 * JOBS[-1].submit_seconds))
    assert load(loaded(instance(), 0.9)) == pytest.approx(0.9)


def test_work_that_fits_nowhere_is_no_load() -> None:
    assert load(instance(cards=1)) < load(instance(cards=4)) * 4
    with pytest.raises(ValueError, match="load"):
        loaded(instance().chosen(np.array([0])), 0.9)
