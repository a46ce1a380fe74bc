"""The commands of `suan-broker`: the only place where the broker's parts are put together."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from broker.config import Config, load_config
from broker.gateway import Listen
from broker.local_app import READY_FILE, serve, write_ready
from broker.ray_settings import prepare
from broker.store import StaleTerm, StoreError
from suan.errors import ExitCode, SuanError

log = logging.getLogger("broker")


@click.group()
@click.version_option(package_name="suan")
def cli() -> None:
    """The broker of a federation of computing centres."""


@cli.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
@click.option("--runtime", type=click.Choice(["ray", "local"]), help="overrides the file")
@click.option("--ray-address", help="of a Ray cluster to join, instead of starting one here")
def run(config_file: Path, **overrides: Any) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        config = load_config(config_file, overrides)
        (config.state_dir / READY_FILE).unlink(missing_ok=True)
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            runner.run(_serve(config))
    except SuanError as error:
        _fail(error.code, error.message, error.hint, error.exit_code)
    except StoreError as error:
        _fail(error.code, error.message, "", ExitCode.ERROR)
    except StaleTerm as error:
        _fail("StaleTerm", str(error), "another broker leads; this one ends", ExitCode.ERROR)


async def _serve(config: Config) -> None:
    stopped = asyncio.Event()
    _end_on_signals(stopped)

    async def ready(listen: Listen) -> None:
        _end_on_signals(stopped)  # again: Ray has put its own handler in front
        write_ready(config, listen)
        log.info("serving at %s, join at %s (%s)", listen.main, listen.join, config.runtime)

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


def _fail(code: str, message: str, hint: str, exit_code: int) -> None:
    click.echo(f"suan-broker: {message} [{code}]", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
    sys.exit(int(exit_code))
