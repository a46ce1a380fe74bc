"""Every small job on every kind of site: the same run, the same end."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conformance import job_ends, job_environment
from tests.conformance.jobs import JOBS, Ended


@pytest.mark.timeout(900)  # the first waits for its site, and for all jobs of it
@pytest.mark.parametrize("name", JOBS)
def test_a_small_job(ended: Mapping[str, Ended], name: str) -> None:
    assert name in ended, f"{name} never ended"
    JOBS[name].check(ended[name])


def test_all_jobs_are_here() -> None:
    homes = {job.check.__module__ for job in JOBS.values()}
    assert homes == {job_ends.__name__, job_environment.__name__}
