"""The local runtime: leader and one gateway in one process, no Ray."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict

from broker.collector import spare_the_rows
from broker.config import Config
from broker.gateway import Gateway, Listen
from broker.leader import Leader
from broker.planner import place_here
from broker.services.specs import stored_spec
from broker.store import Store
from broker.store.sqlite import SqliteStore
from scheduler.model import Accelerator
from suan import catalogue

READY_FILE = "ready"
STORE_FILE = "broker.sqlite"


def open_store(config: Config) -> Store:
    """The SQLite store in the state directory, which is then ours alone. Raises StoreError.

    Whoever waits for the ready file waits for this broker from now on.
    """
    store = SqliteStore(config.state_dir / STORE_FILE, stored_spec)
    (config.state_dir / READY_FILE).unlink(missing_ok=True)
    return store


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


async def serve(
    config: Config, stopped: asyncio.Event, ready: Callable[[Listen], Awaitable[None]]
) -> None:
    """Serve until `stopped`, or until the leader fails; its exception passes on."""
    store = open_store(config)
    leader = Leader(store, accelerators(), place_here, config.limits)
    spare_the_rows()
    gateway = Gateway("local", leader, config.identity, config.ca)
    leader.attach(gateway.name, gateway.sessions.deliver)
    leading = asyncio.create_task(leader.run())
    stopping = asyncio.create_task(stopped.wait())
    try:
        await ready(
            await gateway.start(Listen(config.listen, config.join_listen, config.health_listen))
        )
        await asyncio.wait({leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        await gateway.stop()
        leading.cancel()
        with suppress(asyncio.CancelledError):
            await leading
        store.close()
