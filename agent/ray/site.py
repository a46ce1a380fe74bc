"""A site with Ray: its survey and its backend, which share one poll."""

from __future__ import annotations

from collections.abc import Mapping

from agent.cards.health import CardHealth
from agent.config.file import AgentConfig
from agent.ray.backend import RayBackend
from agent.ray.capacity import Names
from agent.ray.client import RayClient
from agent.ray.command import RaySettings
from agent.ray.config import RayConfig
from agent.ray.poll import RayPoll
from agent.ray.survey import RaySurvey
from suan import catalogue


def ray_survey(config: AgentConfig, ray: RayConfig, environment: Mapping[str, str]) -> RaySurvey:
    """`environment`: the agent's own."""
    return RaySurvey(
        config.site,
        RayPoll(RayClient(ray.address, ray.token_file, environment), ray.poll_seconds),
        Names(ray.accelerators, catalogue.load()),
        ray.pools,
        ray.supernode,
        RaySettings(python=ray.python),
        config.rules,
        CardHealth(config.probe_seconds),
    )


def ray_backend(
    config: AgentConfig, ray: RayConfig, environment: Mapping[str, str], survey: RaySurvey
) -> RayBackend:
    """Asks Ray together with `survey`."""
    return RayBackend(
        config.runs_dir,
        environment,
        config.job_environment,
        survey.settings,
        survey.poll,
        wait_seconds_max=ray.wait_seconds_max,
    )
