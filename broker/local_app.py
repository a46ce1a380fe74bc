"""The local runtime: leader and one gateway in one process, no Ray.

A broker's life: it stands by, leads, loses the lead, and stands by again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict

from broker.collector import spare_the_rows
from broker.config import Config
from broker.gateway import Gateway, Listen
from broker.kept_logs.store import KeptLogs
from broker.leader import Leader
from broker.leadership import win
from broker.planner import place_here
from broker.services.specs import stored_spec
from broker.services.transport import load_broker_identity
from broker.store import StaleTerm, Store
from broker.store.sqlite import SqliteStore
from scheduler.model import Accelerator
from suan import catalogue

READY_FILE = "ready"
STORE_FILE = "broker.sqlite"
LOGS_DIRECTORY = "logs"

log = logging.getLogger(__name__)

Ready = Callable[[Listen], Awaitable[None]]


def open_store(config: Config) -> Store:
    """The store that the configuration names. Blocks; raises StoreError.

    SQLite's lies in the state directory and is then ours alone.
    """
    if config.etcd is None or not config.has_peers:
        return SqliteStore(config.state_dir / STORE_FILE, stored_spec)
    from broker.store.etcd import EtcdStore

    federation = load_broker_identity(config.identity).principal.federation
    return EtcdStore(config.etcd.settings(federation), stored_spec)


def open_kept_logs(config: Config) -> KeptLogs | None:
    """Where the output lies that sites send; None where the disk does not take it.

    On this machine, also when the store is etcd: another broker that leads later has not got
    it, unless `logs_dir` is a directory that all of them see.
    """
    limits = config.limits
    directory = config.logs_dir or config.state_dir / LOGS_DIRECTORY
    try:
        return KeptLogs(directory, limits.kept_logs_bytes_max, limits.kept_log_seconds)
    except OSError as error:
        log.error("no output of jobs is kept here: %s", error)
        return None


def forget_ready(config: Config) -> None:
    """Whoever waits for the ready file waits for this broker from now on."""
    (config.state_dir / READY_FILE).unlink(missing_ok=True)


def accelerators() -> tuple[Accelerator, ...]:
    """Every model of the catalogue."""
    known = catalogue.load()
    return tuple(known.get(model) for model in known.models())


def write_ready(config: Config, listen: Listen) -> None:
    """Say where the broker serves, for whoever started it."""
    path = config.state_dir / READY_FILE
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(asdict(listen)))
    draft.rename(path)


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    """The store, closed at the end: whoever leads resigns, and the next one begins at once."""
    store = await asyncio.to_thread(open_store, config)
    try:
        yield store
    finally:
        await asyncio.to_thread(store.close)


async def serve(config: Config, stopped: asyncio.Event, ready: Ready) -> None:
    """Serve until `stopped`, or until the broker cannot go on: then raises why.

    `ready` is told once: when the broker leads, or as soon as it stands by if it has peers.
    """
    gateway = Gateway("local", config)
    stopping = asyncio.create_task(stopped.wait())
    living = asyncio.create_task(_live(config, gateway, ready))
    try:
        await asyncio.wait({living, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living
    finally:
        await gateway.stop()


async def _live(config: Config, gateway: Gateway, ready: Ready) -> None:
    """Stand by, lead, lose the lead, and again, until cancelled."""
    async with opened(config) as store:  # before the ports, which may be those of its owner
        forget_ready(config)
        listen = Listen(config.listen, config.join_listen, config.health_listen)
        listen = await gateway.start(listen)
        if config.has_peers:
            await ready(listen)
        while True:
            lead = await win(store)
            kept_logs = open_kept_logs(config)
            leader = Leader(
                store, lead, accelerators(), place_here(), config.limits, kept_logs=kept_logs
            )
            spare_the_rows()
            leader.attach(gateway.name, gateway.sessions.deliver)
            await gateway.lead(leader)
            log.info("leading, term %d", leader.term)
            if not config.has_peers:
                await ready(listen)
            await _reign(config, leader, gateway)


async def _reign(config: Config, leader: Leader, gateway: Gateway) -> None:
    """Until the lead is lost. Raises StaleTerm when there is nobody to lose it to."""
    try:
        await leader.run()
    except StaleTerm as error:
        await gateway.stand_by()  # before anything is waited for: another may lead by now
        if not config.has_peers:
            raise
        log.warning("%s; standing by", error)
    finally:
        await leader.close()
        await gateway.stand_by()
