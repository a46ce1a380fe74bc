"""The Ray runtime: actors for the leader, the gateways and the planners.

Ray carries the broker and remembers nothing for it: a leader that is killed comes back
from the store with a new term, a gateway comes back empty and its agents say Hello again.
Where several brokers share the store, the leader stands by until it is its turn.
The process that the administrator started watches over the actors and starts them anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions

from broker import ray_settings
from broker.config import Config
from broker.gateway import Listen
from broker.ray_app.gateway import GatewayActor
from broker.ray_app.leader import LeaderActor, PlannerActor
from broker.ray_app.settings import (
    CALLS_MAX,
    GONE,
    OBJECT_STORE_BYTES,
    START_SECONDS_MAX,
    STOP_SECONDS_MAX,
    WATCH_SECONDS,
)

log = logging.getLogger(__name__)


def _start_ray(config: Config) -> str:
    """Connect to the named cluster, or start one of our own on loopback; its folder."""
    runtime_env = {"env_vars": ray_settings.WORKERS}
    if config.ray_address:
        ray.init(address=config.ray_address, runtime_env=runtime_env, log_to_driver=False)
        return ""
    folder = tempfile.mkdtemp(prefix="suan-ray-")
    ray.init(
        address="local",
        num_cpus=max(2, os.cpu_count() or 2),
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        runtime_env=runtime_env,
        _temp_dir=folder,
    )
    return folder


async def serve(
    config: Config, stopped: asyncio.Event, ready: Callable[[Listen], Awaitable[None]]
) -> None:
    """Serve until `stopped`. Actors that die are started again and loaded from the store."""
    folder = await asyncio.to_thread(_start_ray, config)
    try:
        actors = _make_actors(config)
        await asyncio.wait_for(actors.leader.start.remote(actors.planners), START_SECONDS_MAX)
        listen = Listen(config.listen, config.join_listen, config.health_listen)
        for gateway in actors.gateways:  # the first takes the ports, the others share them
            serving = gateway.serve.remote(listen, actors.leader)
            listen = await asyncio.wait_for(serving, START_SECONDS_MAX)
        await ready(listen)
        watching = asyncio.create_task(_watch(actors, listen))
        await stopped.wait()
        watching.cancel()
        for actor in (actors.leader, *actors.gateways):  # the leader first: the next may begin
            with suppress(*GONE, TimeoutError):
                await asyncio.wait_for(actor.stop.remote(), STOP_SECONDS_MAX)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        await asyncio.to_thread(ray.shutdown)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Actors:
    """The handles of all actors: Ray ends an actor that nobody holds."""

    leader: Any
    gateways: tuple[Any, ...]
    planners: tuple[Any, ...]


def _make_actors(config: Config) -> _Actors:
    for_ever: dict[str, Any] = {"max_restarts": -1, "num_cpus": 0}
    served = for_ever | {"max_concurrency": CALLS_MAX}
    return _Actors(
        leader=ray.remote(LeaderActor).options(**served).remote(config),
        gateways=tuple(
            ray.remote(GatewayActor).options(**served).remote(config, f"gateway-{number}")
            for number in range(config.gateways)
        ),
        planners=tuple(
            ray.remote(PlannerActor).options(**for_ever).remote() for _ in range(config.planners)
        ),
    )


async def _watch(actors: _Actors, listen: Listen) -> None:
    """Start again what Ray has restarted empty."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        with suppress(*GONE, TimeoutError):
            if not await asyncio.wait_for(actors.leader.begun.remote(), START_SECONDS_MAX):
                starting = actors.leader.start.remote(actors.planners)
                term = await asyncio.wait_for(starting, START_SECONDS_MAX)
                log.warning("the leader was started again, term %d", term)
        for gateway in actors.gateways:
            with suppress(*GONE, TimeoutError):
                if not await asyncio.wait_for(gateway.serving.remote(), START_SECONDS_MAX):
                    serving = gateway.serve.remote(listen, actors.leader)
                    await asyncio.wait_for(serving, START_SECONDS_MAX)
                    log.warning("a gateway was started again")
