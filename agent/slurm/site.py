"""A site with Slurm: its survey and its backend, which share one poll."""

from __future__ import annotations

from collections.abc import Mapping

from agent.cards.health import CardHealth
from agent.config.file import AgentConfig
from agent.environment import PATH_DEFAULT
from agent.slurm.backend import SlurmBackend
from agent.slurm.command import SlurmSettings
from agent.slurm.config import SlurmConfig
from agent.slurm.poll import SlurmPoll
from agent.slurm.read import Slurm
from agent.slurm.survey import SlurmSurvey, names_from
from suan import catalogue


def slurm_survey(
    config: AgentConfig, slurm: SlurmConfig, environment: Mapping[str, str]
) -> SlurmSurvey:
    """`environment`: the agent's own."""
    own = {**environment, "SLURM_CONF": slurm.conf} if slurm.conf else environment
    return SlurmSurvey(
        config.site,
        SlurmPoll(Slurm(own), slurm.poll_seconds),
        names_from(catalogue.load(), slurm.accelerators),
        slurm.partitions,
        SlurmSettings(
            accounts=slurm.accounts,
            account=slurm.account,
            python=slurm.python,
            users=config.accounts,
            path=environment.get("PATH", PATH_DEFAULT),
        ),
        config.rules,
        CardHealth(config.probe_seconds),
    )


def slurm_backend(
    config: AgentConfig,
    slurm: SlurmConfig,
    environment: Mapping[str, str],
    survey: SlurmSurvey,
) -> SlurmBackend:
    """Asks Slurm together with `survey`."""
    return SlurmBackend(
        config.runs_dir,
        environment,
        config.job_environment,
        survey.settings,
        survey.poll,
        wait_seconds_max=slurm.wait_seconds_max,
        containers=config.shown_containers,
    )
