"""A site with Kubernetes: its survey and its backend, which share one way to the API server."""

from __future__ import annotations

import os

from agent.backends.queued import QueuedSettings
from agent.cards.health import CardHealth
from agent.config.file import AgentConfig
from agent.kubernetes.backend import KubernetesBackend
from agent.kubernetes.client import KubernetesApi
from agent.kubernetes.config import KubernetesConfig
from agent.kubernetes.resources import Namer
from agent.kubernetes.settings import KubernetesSettings
from agent.kubernetes.survey import KubernetesSurvey
from suan import catalogue


def kubernetes_survey(config: AgentConfig, kubernetes: KubernetesConfig) -> KubernetesSurvey:
    settings = KubernetesSettings(
        config.site,
        kubernetes,
        os.getuid(),
        os.getgid(),
        tuple(str(root) for root in config.data_roots),
    )
    names = {**config.names, **kubernetes.accelerators}
    return KubernetesSurvey(
        KubernetesApi(kubernetes.kubeconfig, kubernetes.context),
        Namer(catalogue.load(), names),
        settings,
        config.rules,
        CardHealth(config.probe_seconds),
    )


def kubernetes_backend(
    config: AgentConfig,
    kubernetes: KubernetesConfig,
    survey: KubernetesSurvey,
) -> KubernetesBackend:
    """Asks the cluster by the same way as `survey`.

    A pod's variables are its image's: of the agent's own nothing goes into it.
    """
    queued = QueuedSettings(
        {}, config.job_environment, wait_seconds_max=kubernetes.wait_seconds_max
    )
    return KubernetesBackend(config.runs_dir, queued, survey.settings, survey.api)
