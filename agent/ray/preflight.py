"""What a site's operator wants to know of his Ray before the agent runs: found, named, tried.

Reads Ray once and runs one job of nothing on one free card, the way every job will run; that
is all it changes, and nothing of it stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

from agent.backends import Backend
from agent.checks.check import Check, Status
from agent.checks.exporters import exporter_checks
from agent.checks.trial import Trial, check_shared, try_job
from agent.config.file import AgentConfig
from agent.inventory import Inventory
from agent.probes.tools import ProbeFailed
from agent.ray.backend import RayBackend
from agent.ray.capacity import RayPool
from agent.ray.client import RayClient
from agent.ray.command import PINNED_SINCE
from agent.ray.config import RayConfig
from agent.ray.poll import RayPoll
from agent.ray.read import RayView
from agent.ray.site import ray_survey
from agent.ray.survey import RaySurvey

POLL_SECONDS = 1.0  # between two questions while the test job is under way
END_SECONDS_MAX = 20.0  # for Ray to see its end


async def ray_checks(config: AgentConfig, ray: RayConfig) -> list[Check]:
    """All that can be asked of the Ray that `config` names."""
    survey = ray_survey(config, ray, os.environ)
    began = time.monotonic()
    try:
        view = (await survey.poll.answer(float("-inf"))).view
    except ProbeFailed as failed:
        return [Check("scheduler", Status.FAIL, failed.message, failed.hint)]
    took = time.monotonic() - began
    await survey.look(lambda pool, node: frozenset())
    return [
        check_scheduler(view, took),
        *(check_pool(pool, survey.inventory(), view) for pool in survey.found.pools),
        *await exporter_checks(survey.declared_pools),
        check_names(survey),
        check_shared(Path(ray.shared_dir), "ray.shared_dir"),
        await check_job(config, survey),
    ]


def check_scheduler(view: RayView, seconds: float) -> Check:
    message = f"ray {view.version.text}, nodes {len(view.nodes)}, submissions {len(view.jobs)}"
    message += f", read in {seconds:.2f} s"
    if view.version.number < PINNED_SINCE:
        message += "; each job takes a driver of its own"
        return Check("scheduler", Status.WARN, message, "Ray 2.56 or later starts jobs faster")
    return Check("scheduler", Status.OK, message)


def check_pool(pool: RayPool, inventory: Inventory, view: RayView) -> Check:
    """What of a pool there is, and what of it can be used now."""
    declared = pool.declared
    said = f"{len(declared.nodes)} nodes × {declared.cards_per_node} {declared.accelerator}"
    said += f" (resource {pool.resource}), {declared.cards} cards"
    if (share := declared.policy.share_max) < 1:
        said += f", of which the federation may hold {share:.0%}"
    now = next(each for each in inventory.pools() if each.name == declared.name)
    said += f"; {now.cards_usable} may be used now"
    silent = [name for name, number in pool.ids.items() if number not in view.usage.taken]
    if silent:
        said += f"; Ray does not say what is in use on {', '.join(silent[:3])}"
        hint = "they are not offered; a node that joined just now takes some seconds"
        return Check(f"accelerators {declared.name}", Status.WARN, said, hint)
    return Check(f"accelerators {declared.name}", Status.OK, said)


def check_names(survey: RaySurvey) -> Check:
    """Whether what may be cards has a name in the catalogue, and each wished resource is there."""
    found = survey.found
    if found.missing:
        message = f"Ray has no node with {', '.join(found.missing)} that can be named"
        return Check("names", Status.FAIL, message, "correct ray.pools or ray.accelerators")
    known = {pool.resource: pool.declared.accelerator for pool in found.pools}
    said = ", ".join(f"{resource} → {model}" for resource, model in sorted(known.items()))
    if found.unknown:
        message = f"{said}; not known, so not offered: {', '.join(found.unknown)}".lstrip("; ")
        hint = f"map what are cards under ray.accelerators: {{{found.unknown[0]}: <model>}}"
        return Check("names", Status.WARN if known else Status.FAIL, message, hint)
    if not known:
        hint = "see `ray status`: start the nodes with --resources, e.g. '{\"DCU\": 8}'"
        return Check("names", Status.FAIL, "no node has cards", hint)
    return Check("names", Status.OK, f"{said}; all mapped")


async def check_job(config: AgentConfig, survey: RaySurvey) -> Check:
    """Runs a job of nothing on one free card."""
    ray = survey.poll.ray

    def backend_in(place: Path) -> Backend:
        poll = RayPoll(ray, POLL_SECONDS)
        return RayBackend(place, os.environ, config.job_environment, survey.settings, poll)

    async def unfinished(name: str) -> str:
        with contextlib.suppress(ProbeFailed):
            for job in (await ray.view()).jobs:
                if job.name == name:
                    return f"Ray says {job.state} ({job.reason or 'no reason'})"
        return "Ray says nothing of it"

    async def give_up(name: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS_MAX):
                await _take_away(ray, name)

    trial = Trial(
        config.site,
        config.runs_dir,
        config.internet,
        "ray job submit",
        "head and nodes have ray.shared_dir at the same path, and ray.python",
        unfinished,
        give_up,
    )
    return await try_job(trial, survey.inventory(), backend_in)


async def _take_away(ray: RayClient, name: str) -> None:
    """End a submission, and let nothing of it stay. Raises ProbeFailed."""
    asked_to_end = False
    while found := [job for job in (await ray.view()).jobs if job.name == name]:
        if found[0].is_over:
            await ray.delete(name)
        elif not asked_to_end:
            await ray.stop(name)
            asked_to_end = True
        await asyncio.sleep(POLL_SECONDS)
