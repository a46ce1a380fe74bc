"""A gateway as an actor: gRPC servers and open streams, nothing of truth."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from broker.config import Config
from broker.gateway import Gateway, Listen
from broker.ray_app.port import RayPort
from broker.ray_app.settings import ATTACH_SECONDS, GONE, SILENCE_SECONDS_MAX, log_to

log = logging.getLogger(__name__)


class GatewayActor:
    """A gateway behind Ray. Empty until `serve`."""

    def __init__(self, config: Config, name: str) -> None:
        log_to(config, name)
        self._config = config
        self._name = name
        self._gateway: Gateway | None = None
        self._listen: Listen | None = None
        self._following: asyncio.Task[None] | None = None

    async def serve(self, listen: Listen, leader: Any) -> Listen:
        """Serve at these addresses in front of `leader`; serving already: says where."""
        if self._listen is None:
            gateway = Gateway(self._name, self._config)
            self._listen = await gateway.start(listen, shared=self._config.gateways > 1)
            self._gateway = gateway
            attached = asyncio.Event()
            self._following = asyncio.create_task(self._follow(gateway, leader, attached))
            if not self._config.has_peers:  # then somebody leads already
                await attached.wait()
        return self._listen

    async def serving(self) -> bool:
        return self._listen is not None

    async def _follow(self, gateway: Gateway, leader: Any, attached: asyncio.Event) -> None:
        """Serve while somebody leads, and deliver what the leader sends; stand by meanwhile."""
        port = RayPort(leader)
        while True:
            try:
                term = await leader.attach.remote(self._name)
                await gateway.lead(port)
                attached.set()
                log.info("serving in term %d", term)
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS_MAX):
                        batch = await leader.outbound.remote(self._name, term)
                    gateway.sessions.deliver(batch)
            except (*GONE, TimeoutError) as error:
                if attached.is_set():
                    log.warning("the leader is away: %s", type(error).__name__)
                attached.clear()
                await gateway.stand_by()
                await asyncio.sleep(ATTACH_SECONDS)

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
        if self._gateway is not None:
            await self._gateway.stop()
