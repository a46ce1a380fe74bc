"""Nothing of truth lives in Ray: killed actors come back, and jobs never notice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from bench.federation import THREE_SITES, Federation, wait_until
from suan.models import JobSpec, JobState, Variant


def _actors(federation: Federation, name: str) -> list[int]:
    """Processes of the actors of this class, by the title that Ray gives them."""
    found = []
    for pid in federation.broker.family():
        title = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
        if title.startswith(f"ray::{name}".encode()):
            found.append(pid)
    return found


def test_a_killed_leader_and_gateway_come_back(folder: Path) -> None:
    federation = Federation(folder, "ray")
    try:
        federation.start_broker()
        federation.join(THREE_SITES[0])
        with federation.client() as client:
            long, short = (
                JobSpec((Variant("ascend-910b", run=run),), name="actors")
                for run in ("sleep 5; echo done", "true")
            )
            (first,) = client.submit(long)
            wait_until(lambda: client.get(first.id).state is JobState.RUNNING, "the job to run")
            for name in ("LeaderActor", "GatewayActor"):
                (victim,) = _actors(federation, name)
                os.kill(victim, signal.SIGKILL)
                (second,) = client.submit(short)
                (job,) = client.wait([second.id])
                assert job.state is JobState.SUCCEEDED
                assert _actors(federation, name) != [victim]
            (job,) = client.wait([first.id])
            assert (job.state, len(job.attempts)) == (JobState.SUCCEEDED, 1)
    finally:
        federation.stop()
