"""Puts an agent together from its configuration: which part gets which other part.

The command line gives the connection and the backend; a test may give others. Does no work
of its own beyond opening the state directory.
"""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agent.backends import Backend
from agent.backends.prepare import StateDirectory as Places
from agent.bundles import Bundles
from agent.cards.failure_rate import failures_per_card_day
from agent.cards.failure_watch import read_count
from agent.cards.rank_files import RankFiles
from agent.clock import boot_id
from agent.config.file import AgentConfig
from agent.daemon import Daemon
from agent.data_plane import DataPlane
from agent.inbox import Inbox
from agent.journal import ClockReading, Journal
from agent.materials import Materials
from agent.publishing import Publisher, Stores
from agent.publishing.store import directory_of, file_url
from agent.reach.answers import Answers
from agent.reach.commands import Commands
from agent.reach.files import Files
from agent.reach.logs import Logs
from agent.reach.tails import Tails, with_output
from agent.runs import Runs
from agent.session.calls import get_bundle
from agent.session.stream import Connect, Diagnose, Session
from agent.staging import Limits, Staging
from agent.staging.s3 import store_of
from agent.staging.sftp import SftpAccount, account_of
from agent.staging.values import GIB
from agent.supervisor import State, Supervisor
from agent.supervisor.values import Settings
from agent.survey import Surveying
from agent.wire.encode import SiteProfile
from suan.errors import Conflict, InvalidRequest
from suan.identity.directory import make_private_directory
from suan.identity.files import read_file, write_file
from suan.retry import Backoff

JOURNAL_FILE = "journal.sqlite"
LOCK_FILE = "agent.lock"
AGENT_ID_FILE = "agent-id"
BUNDLES_DIRECTORY = "bundles"
CACHE_DIRECTORY = "cache"  # of downloaded inputs
DATA_DIRECTORY = "data"  # one directory a run


@dataclass(frozen=True, slots=True)
class Outside:
    """What the agent reaches beyond its state directory."""

    connect: Connect
    diagnose: Diagnose
    backend: Backend
    staging: Staging
    reconnect: Backoff | None = None
    jitter: Callable[[], float] = field(default=random.random)
    brokers: int = 1  # that `connect` dials in turn
    on_silence: Callable[[], None] = lambda: None  # of the one that was dialled last


class StateDirectory:
    """The agent's directory, held by one agent at a time for as long as this object lives."""

    def __init__(self, path: Path) -> None:
        """Raises Conflict (AgentRunning) when another agent has it, InvalidRequest."""
        make_private_directory(path)
        self.path = path
        self._lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise Conflict(
                f"another agent runs with the state directory {path}",
                "see it with `suan-agent status`; each agent needs a state_dir of its own",
                "AgentRunning",
            ) from None

    @property
    def agent_id(self) -> str:
        """This directory's name for the broker: tells a restart from a second agent."""
        path = self.path / AGENT_ID_FILE
        if not path.exists():
            write_file(path, secrets.token_hex(16).encode())
        return read_file(path).decode("ascii", "replace").strip()

    def release(self) -> None:
        os.close(self._lock)


def profile_of(config: AgentConfig, agent_id: str) -> SiteProfile:
    """What the site says of itself."""
    return SiteProfile(
        site=config.site,
        agent_id=agent_id,
        boot_id=boot_id(),
        city=config.city,
        region=config.region,
        pue=config.pue,
        grid_kg_per_kwh=config.grid_kg_per_kwh,
        failures_per_card_day=failures_per_card_day(
            config.failures_per_card_day, read_count(config.state_dir)
        ),
        restart_seconds=config.restart_seconds,
        checkpoint_gb_per_second=config.checkpoint_gb_per_second,
        egress_yuan_per_gb=config.egress_yuan_per_gb,
        runs_images=config.runs_images,
        has_store=bool(config.store),
        tenants_allowed=config.tenants_admitted,
        tenants_denied=config.tenants_denied,
        time_limit_seconds_max=config.time_limit_seconds_max,
        agent_version=version("suan"),
        backend=config.backend,
    )


def rank_files_of(config: AgentConfig) -> RankFiles | None:
    """Who writes tables of ranks; None where the operator says nothing of them."""
    if config.ranktable is None:
        return None
    numbered = config.backend == "process"  # else the cluster manager chooses the cards
    return RankFiles(config.ranktable, config.runs_dir.absolute(), whole_nodes_only=not numbered)


def settings_of(config: AgentConfig) -> Settings:
    """The site's own rules, for the supervisor."""
    return Settings(
        site=config.site,
        tenants_allowed=config.tenants_allowed,
        tenants_denied=config.tenants_denied,
        tenants_mapped=config.accounts.tenants,
        runs_images=config.runs_images,
        time_limit_seconds_max=config.time_limit_seconds_max,
        time_zone=config.time_zone,
        has_store=bool(config.store),
        destinations=tuple(
            file_url(Path(place)) if place.startswith("/") else place
            for place in config.store_destinations
        ),
    )


def staging_of(config: AgentConfig) -> Staging:
    """Where inputs come from, and may come from. Raises InvalidRequest."""
    store = directory_of(config.store) if config.store else None
    cache = config.runs_dir / CACHE_DIRECTORY
    return Staging(cache, config.data_roots, limits_of(config), (store,) if store else ())


def limits_of(config: AgentConfig) -> Limits:
    """What transfers may take of the site, and whom they may ask. Raises InvalidRequest."""
    kept = round(config.data_gib_max * GIB)
    hosts = frozenset(host.lower() for host in config.data_hosts)
    endpoint, credentials = config.data_s3_endpoint, config.data_s3_credentials
    if bool(endpoint) != bool(credentials):
        raise InvalidRequest(
            "a store for s3://… needs both data_s3_endpoint and data_s3_credentials",
            "write both into agent.yaml, or neither",
            "ConfigUnreadable",
        )
    store = store_of(endpoint, credentials, config.data_s3_region) if credentials else None
    return Limits(
        cache_bytes_max=kept,
        file_bytes_max=kept,
        private_hosts=hosts,
        s3=store,
        sftp=_sftp_of(config),
    )


def _sftp_of(config: AgentConfig) -> SftpAccount | None:
    user, key, hosts = config.data_sftp_user, config.data_sftp_key, config.data_sftp_known_hosts
    if user and key and hosts:
        return account_of(user, key, hosts)
    if user or key or hosts:
        raise InvalidRequest(
            "sftp://… needs data_sftp_user, data_sftp_key and data_sftp_known_hosts",
            "write all three into agent.yaml, or none",
            "ConfigUnreadable",
        )
    return None


def assemble(
    config: AgentConfig, state_directory: StateDirectory, survey: Surveying, outside: Outside
) -> Daemon:
    """An agent that is ready to run. Raises InternalError (JournalUnreadable, JournalTooNew)."""
    boot = boot_id()
    journal = Journal(state_directory.path / JOURNAL_FILE)
    state = State(survey.inventory(), survey.rules)
    for record in journal.load(ClockReading.take(boot)):
        state.apply(record)
    supervisor = Supervisor(state, settings_of(config), outside.jitter)
    inbox = Inbox()

    def ranks_of(name: str) -> int:
        attempt = state.attempts.get(name)
        return attempt.ranks if attempt is not None else 0

    async def fetch(sha256: str) -> Any:
        return await get_bundle(session.channel, sha256)

    logs = Logs(outside.backend, ranks_of)
    session = Session(
        profile_of(config, state_directory.agent_id),
        config.grace_seconds,
        outside.connect,
        inbox.put,
        Answers(
            logs, Files(outside.backend), Commands(outside.backend, config.exec_allowed)
        ).answer,
        outside.diagnose,
        outside.reconnect,
        outside.brokers,
        outside.on_silence,
        lambda heard: data.want(heard),
        lambda heard: tails.acknowledged(heard),
    )
    bundles = Bundles(state_directory.path / BUNDLES_DIRECTORY, fetch)
    places = Places(config.runs_dir.absolute(), free_bytes_min=0)
    materials = Materials(bundles, outside.staging, config.runs_dir / DATA_DIRECTORY, places)
    publisher = Publisher(
        outside.backend,
        Stores(config.store, limits_of(config)),
        inbox.post,
        lambda: (attempt.name for attempt in state.running()),
    )
    data = DataPlane(
        outside.staging, lambda: materials.progress, session.send, lambda: session.spoken
    )
    runs = Runs(outside.backend, materials, inbox.post, rank_files=rank_files_of(config))
    tails = Tails(
        outside.backend,
        lambda: with_output(state, time.time()),
        logs.ranks,
        session.send,
        lambda: session.spoken,
    )
    return Daemon(
        supervisor,
        journal,
        boot,
        outside.backend,
        inbox,
        runs,
        materials,
        session,
        data,
        tails,
        publisher,
    )
