# ruff: noqa: ASYNC110
"""What Ray costs through the agent's backend, beside Ray's own client in the same run.

A real Ray on loopback (`bench.ray_site`); both sides ask for the same node, card and CPUs. Part
`ray` of `python -m bench.backends`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from agent.backends.poll import POLL_SECONDS
from agent.ray.backend import RayBackend
from agent.ray.capacity import Names
from agent.ray.client import RayClient
from agent.ray.command import NODE_LABEL, RaySettings
from agent.ray.poll import RayPoll
from agent.ray.survey import RaySurvey
from bench.bursts import (
    END_SECONDS_MAX,
    bare_burst,
    first_line,
    nobody,
    our_burst,
    print_bursts,
    print_starts,
    submit,
)
from bench.ray_site import ASCEND, RaySite, missing_packages, running_ray
from suan.catalogue import load

LOOK_SECONDS = 0.5  # between two questions how the rival's jobs are


@asynccontextmanager
async def backend(site: RaySite, folder: Path) -> AsyncIterator[RayBackend]:
    """The backend as an agent has it: with a survey, which shares the poll."""
    poll = RayPoll(RayClient(site.address), POLL_SECONDS)
    names = Names({"DCU": "hygon-k100"}, load())
    survey = RaySurvey("bench", poll, names, settings=RaySettings(python=sys.executable))
    await survey.look(nobody)
    made = RayBackend(folder, os.environ, {}, survey.settings, poll)
    await made.open()
    surveying = asyncio.create_task(survey.run(nobody, lambda event: None))
    try:
        yield made
    finally:
        surveying.cancel()
        await made.close()


class Rival:
    """Ray's own client of the job server."""

    def __init__(self, site: RaySite) -> None:
        from ray.job_submission import JobSubmissionClient

        self._client = JobSubmissionClient(site.address)
        found = site.call("GET", "/api/v0/nodes?detail=1&limit=1000")["data"]["result"]["result"]
        nodes = {node["node_name"]: node["node_id"] for node in found}
        self._nodes = [nodes[name] for name in ASCEND.names]
        self._put: list[str] = []

    async def put(self, number: int, run: str = "true") -> None:
        asked: dict[str, Any] = {
            "entrypoint_num_cpus": 2,
            "entrypoint_resources": {"NPU": 1},
            "entrypoint_label_selector": {NODE_LABEL: self._nodes[number % len(self._nodes)]},
        }
        name = await asyncio.to_thread(self._client.submit_job, entrypoint=run, **asked)
        self._put.append(name)

    async def empty(self) -> None:
        """Until all that was put is over, and well."""
        async with asyncio.timeout(END_SECONDS_MAX):
            for name in self._put:
                while not (status := await asyncio.to_thread(self._status, name)).is_terminal():
                    await asyncio.sleep(LOOK_SECONDS)
                assert status == "SUCCEEDED", (name, status)
        self._put.clear()

    def _status(self, name: str) -> Any:
        return self._client.get_job_status(name)


async def starts(made: RayBackend, rival: Rival, folder: Path, count: int) -> None:
    """One after the other, turn by turn; the first of each warms up and does not count."""
    bare: list[float] = []
    ours: list[float] = []
    for number in range(count + 1):
        bare.append(await first_line(folder / f"bare-{number}", partial(rival.put, number)))
        await rival.empty()
        put = partial(submit, made, ASCEND.names, number)
        ours.append(await first_line(folder / f"ours-{number}", put))
        await anext(made.exits())
    print_starts("bare Ray", bare[1:], ours[1:])


async def _measure(count: int, jobs: int) -> None:
    with tempfile.TemporaryDirectory(prefix="suan-bench-") as name:
        folder = Path(name)
        with running_ray(folder / "ray") as site:
            rival = Rival(site)
            async with backend(site, folder / "runs") as made:
                await starts(made, rival, folder, count)
                ours = await our_burst(made, ASCEND.names, count + 1, jobs)
                bare = await bare_burst(rival.put, rival.empty, jobs)
                print_bursts("bare Ray", bare, ours, jobs)


def measure(count: int, jobs: int) -> bool:
    """Print it; whether there is a Ray here to do so."""
    if missing := missing_packages():
        print(f"no Ray with a job server here: {', '.join(missing)}", file=sys.stderr)
        return False
    asyncio.run(_measure(count, jobs))
    return True
