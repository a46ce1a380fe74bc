"""Channels to all brokers of a federation, used as if they were one.

A stub that is made of it asks the broker whose turn it is; who calls says how that went,
for only the caller knows what an answer means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from suan.turns import Turns


class Brokers(grpc.aio.Channel):
    """As one channel; each connects at its first call. `turns` says which one is asked."""

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self.turns = Turns(len(channels))
        self._channels = tuple(channels)

    def unary_unary(self, *of: Any, **more: Any) -> Any:
        return self._in_turn("unary_unary", of, more)

    def unary_stream(self, *of: Any, **more: Any) -> Any:
        return self._in_turn("unary_stream", of, more)

    def stream_unary(self, *of: Any, **more: Any) -> Any:
        return self._in_turn("stream_unary", of, more)

    def stream_stream(self, *of: Any, **more: Any) -> Any:
        return self._in_turn("stream_stream", of, more)

    async def close(self, grace: float | None = None) -> None:
        await asyncio.gather(*(channel.close(grace) for channel in self._channels))

    async def __aenter__(self) -> Brokers:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current.channel_ready()

    @property
    def _current(self) -> grpc.aio.Channel:
        return self._channels[self.turns.current]

    def _in_turn(self, kind: str, of: Any, more: Any) -> Callable[..., Any]:
        calls = [getattr(channel, kind)(*of, **more) for channel in self._channels]
        return lambda *said, **how: calls[self.turns.current](*said, **how)
