"""The site's cluster manager, by its configuration: who tells its capacity, who runs its jobs.

Each cluster manager is a room of its own; nothing else of the agent knows more than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.backends import Backend
from agent.backends.noop import NoopBackend
from agent.backends.process import ProcessBackend
from agent.checks.accounts import require_root
from agent.config.file import AgentConfig
from agent.kubernetes.site import kubernetes_backend, kubernetes_survey
from agent.ray.site import ray_backend, ray_survey
from agent.slurm.site import slurm_backend, slurm_survey
from agent.survey import Survey, Surveying


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a site's jobs run."""

    survey: Surveying
    backend: Backend


def cluster_of(config: AgentConfig, environment: Mapping[str, str]) -> Cluster:
    """Opens nothing and asks nothing yet; `environment` is the agent's own.

    Raises InvalidRequest (AccountsNeedRoot).
    """
    require_root(config)
    if config.slurm is not None:
        survey = slurm_survey(config, config.slurm, environment)
        return Cluster(survey, slurm_backend(config, config.slurm, environment, survey))
    if config.ray is not None:
        asked = ray_survey(config, config.ray, environment)
        return Cluster(asked, ray_backend(config, config.ray, environment, asked))
    if config.kubernetes is not None:
        watched = kubernetes_survey(config, config.kubernetes)
        return Cluster(watched, kubernetes_backend(config, config.kubernetes, watched))
    if config.backend == "noop":
        return Cluster(Survey(config), NoopBackend())
    own = ProcessBackend(
        config.state_dir,
        environment,
        config.job_environment,
        accounts=config.accounts,
        containers=config.shown_containers,
    )
    return Cluster(Survey(config), own)
