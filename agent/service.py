"""The agent as a service: assembled, run until a signal, taken down again.

What runs at the site outlives it: a signal ends the agent and no job.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
from dataclasses import replace

import grpc.aio

from agent.assembly import (
    Outside,
    StateDirectory,
    assemble,
    staging_of,
)
from agent.backends import Backend
from agent.cards.failure_watch import FailureWatch
from agent.cluster import cluster_of
from agent.config.file import AgentConfig
from agent.control import read_mode, serve
from agent.credentials import recover_identity
from agent.daemon import Daemon
from agent.join import Renewal
from agent.operations import Operator
from agent.session.dialler import Dialler
from agent.supervisor.messages import ModeSet
from agent.survey import Surveying
from suan.errors import InvalidRequest
from suan.identity.directory import load_identity, require_in_force

# Values here hold no cycles and go by their reference counts; looking for cycles among
# 100,000 marks at the default rate would cost as much as all decisions.
GC_THRESHOLDS = (50_000, 50, 100)

log = logging.getLogger(__name__)


async def run_agent(config: AgentConfig, backend: Backend | None = None) -> None:
    """Until SIGTERM or SIGINT. Raises SuanError when it cannot begin or go on.

    `backend` takes the place of the one that the configuration names.
    """
    check_identity(config)
    if config.accounts:
        os.umask(0o077)  # jobs' users cross directories of ours; nothing there is theirs to read
    state_directory = StateDirectory(config.state_dir)
    try:
        cluster = cluster_of(config, os.environ)
        survey = cluster.survey
        await survey.look(lambda pool, node: frozenset())
        daemon = assemble(
            config,
            state_directory,
            survey,
            _outside(config, backend or cluster.backend),
        )
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await _run(config, daemon, survey)
    finally:
        state_directory.release()


def check_identity(config: AgentConfig) -> None:
    """Whether the site has joined, and as what. Raises Unauthenticated, InvalidRequest."""
    recover_identity(config.identity_dir)
    identity = load_identity(config.identity_dir)
    require_in_force(identity.certificate)
    if identity.principal.site != config.site:
        raise InvalidRequest(
            f"the identity in {config.identity_dir} is of {identity.principal}, "
            f"the configuration is for site {config.site}",
            "correct `site` in the configuration, or join as that site",
            "SiteNameDiffers",
        )


async def _run(config: AgentConfig, daemon: Daemon, survey: Surveying) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    state = daemon.supervisor.state

    def held(pool: str, node: str) -> frozenset[int]:
        return state.inventory.occupied(pool, node)

    async def look() -> None:
        await survey.run(held, daemon.inbox.post)

    def channel() -> grpc.aio.Channel:
        return daemon.session.channel

    def tell_failures(rate: float) -> None:
        session = daemon.session
        session.profile = replace(session.profile, failures_per_card_day=rate)

    stated, seconds = config.failures_per_card_day, config.probe_seconds
    failures = FailureWatch(config.state_dir, stated, survey, tell_failures, seconds)
    operator = Operator(daemon, survey, failures, config.state_dir)
    renewal = Renewal(config.identity_dir, channel, daemon.session.renew, random.random)
    standing = read_mode(config.state_dir)
    operator.stand(standing)
    server = await serve(config.state_dir, operator.handle)
    log.info("site %s: agent started, broker %s, %s", config.site, config.broker, standing.mode)
    try:
        keepers = [renewal.run, look, failures.run]
        await daemon.run(ModeSet(standing.mode, standing.stop_jobs, standing.tenants), keepers)
    finally:
        server.close()
    log.info("site %s: agent stopped; what runs goes on", config.site)


def _outside(config: AgentConfig, backend: Backend) -> Outside:
    dialler = Dialler(config.broker, config.identity_dir)
    return Outside(
        dialler.connect,
        dialler.diagnose,
        backend,
        staging_of(config),
        brokers=len(dialler.addresses),
        on_silence=dialler.fell_silent,
    )
