"""How an error travels over gRPC: agreed here once, for the broker and for the SDK.

The broker ends a call with `await context.abort(*encode(error))`; the SDK turns the
`grpc.RpcError` back with `decode`. On the wire an error is
  - the gRPC status that `suan.errors` names for its class,
  - details `Code: message`, readable for whoever uses another client,
  - trailing metadata `suan-code` (ASCII) and `suan-hint` (UTF-8, percent-encoded, because
    metadata must be ASCII); the hint is left out when there is none.
A status without `suan-code` was made by the transport and not by a broker.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

import grpc

from suan.errors import SuanError, from_status

CODE_KEY = "suan-code"
HINT_KEY = "suan-hint"
MESSAGE_CHARACTERS_MAX = 1500  # gRPC gives all of the trailing metadata 8 KiB
HINT_CHARACTERS_MAX = 500

_CODE_AND_MESSAGE = re.compile(r"([A-Z][A-Za-z0-9]*): (.*)", re.DOTALL)

# What gRPC's own statuses mean to a person: message and hint.
_BY_TRANSPORT = {
    "UNIMPLEMENTED": (
        "what answers does not know this call",
        "check the port: it may be the join port; or the broker is older than this client",
    ),
    "DEADLINE_EXCEEDED": (
        "the broker did not answer in time",
        "try again: what was asked for may have been done, and is not done twice",
    ),
}

Metadata = tuple[tuple[str, str], ...]


def encode(error: SuanError) -> tuple[grpc.StatusCode, str, Metadata]:
    """The status, details and trailing metadata that carry `error`."""
    metadata = [(CODE_KEY, error.code)]
    if error.hint:
        metadata.append((HINT_KEY, quote(_shortened(error.hint, HINT_CHARACTERS_MAX), safe=" ")))
    message = _shortened(error.message, MESSAGE_CHARACTERS_MAX)
    return grpc.StatusCode[error.grpc_status], f"{error.code}: {message}", tuple(metadata)


def decode(error: grpc.RpcError) -> SuanError:
    """The error that a failed call stands for; its class follows code and status."""
    status = error.code().name
    metadata = _metadata(error)
    details = error.details() or status
    code = metadata.get(CODE_KEY, "")
    if not code and status in _BY_TRANSPORT:
        return from_status(status, *_BY_TRANSPORT[status])
    matched = _CODE_AND_MESSAGE.fullmatch(details)
    if matched and matched[1] == code:
        details = matched[2]
    return from_status(status, details, unquote(metadata.get(HINT_KEY, "")), code)


def sent_by_broker(error: grpc.RpcError) -> bool:
    """Whether a broker ended the call; False: the transport did, on this side."""
    return CODE_KEY in _metadata(error)


def _metadata(error: grpc.RpcError) -> dict[str, str]:
    pairs: Any = error.trailing_metadata() or ()  # grpc and grpc.aio have a type each
    return {key: value for key, value in pairs if isinstance(value, str)}


def _shortened(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"
