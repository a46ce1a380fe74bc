"""gRPC's handlers with something around what they do, for interceptors."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import grpc

Around = Callable[[Any], Any]


def surrounded(handler: Any, call: Around, stream: Around) -> Any:
    """`handler` with another behaviour: `stream` of one that gives responses, `call` of others.

    Raises TypeError for one that is not asynchronous.
    """
    asked, answered = handler.request_streaming, handler.response_streaming
    kind = f"{'stream' if asked else 'unary'}_{'stream' if answered else 'unary'}"
    behaviour = getattr(handler, kind)
    if inspect.isasyncgenfunction(behaviour):
        behaviour = stream(behaviour)
    elif asyncio.iscoroutinefunction(behaviour):
        behaviour = call(behaviour)
    else:
        raise TypeError(f"{behaviour} is not asynchronous")
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(behaviour, handler.request_deserializer, handler.response_serializer)
