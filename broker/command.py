"""The commands of `suan-broker`: the only place where the broker's parts are put together."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from broker.config import Config, load_config
from broker.gateway import Listen
from broker.local_app import serve, write_ready
from broker.open_files import raise_limit
from broker.ray_settings import prepare
from broker.store import StaleTerm, StoreError
from broker.store.codec import UnreadableRow
from suan.errors import Conflict, InternalError
from suan.identity.directory import make_private_directory

log = logging.getLogger("broker")

_STORE_HINTS = {
    "StoreLocked": "stop it, or give this one a state_dir of its own",
    "DiskFull": "free space on that disk; nothing was lost",
    "StoreDamaged": "check the disk, then restore state_dir from its last backup",
    "NetworkDisk": "name a state_dir on a disk of this machine",
    "StoreUnavailable": "check etcd.endpoints in the configuration, and that etcd runs there",
    "StoreRefused": "check etcd.certificate, or etcd.user and its role: etcd does not accept them",
    "StoreForeign": "etcd.endpoints must be those of one etcd",
}


@click.group()
@click.version_option(package_name="suan")
def cli() -> None:
    """The broker of a federation of computing centres."""


@cli.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
@click.option("--runtime", type=click.Choice(["ray", "local"]), help="overrides the file")
@click.option("--ray-address", help="of a Ray cluster to join, instead of starting one here")
def run(config_file: Path, **overrides: Any) -> None:
    """Serve until SIGTERM or SIGINT. Raises SuanError."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.raiseExceptions = False  # a full disk under the log is no news to write there
    raise_limit()
    config = load_config(config_file, overrides)
    make_private_directory(config.state_dir)
    try:
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            runner.run(_serve(config))
    except StoreError as error:
        hint = _STORE_HINTS.get(error.code, "check the disk and who may write there")
        raise InternalError(error.message, hint, error.code) from error
    except UnreadableRow as error:
        raise InternalError(str(error), _STORE_HINTS["StoreDamaged"], "StoreDamaged") from error
    except StaleTerm as error:
        raise Conflict(str(error), "another broker leads; this one ends", "StaleTerm") from error


async def _serve(config: Config) -> None:
    stopped = asyncio.Event()
    _end_on_signals(stopped)

    async def ready(listen: Listen) -> None:
        _end_on_signals(stopped)  # again: Ray has put its own handler in front
        write_ready(config, listen)
        word = "standing by" if config.has_peers else "serving"
        log.info("%s at %s, join at %s (%s)", word, listen.main, listen.join, config.runtime)

    if config.runtime == "local":
        await serve(config, stopped, ready)
    else:
        prepare(config.ray_address)
        from broker import ray_app

        await ray_app.serve(config, stopped, ready)


def _end_on_signals(stopped: asyncio.Event) -> None:
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stopped.set)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make
