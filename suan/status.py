"""How an error travels over gRPC: agreed here once, for the broker and for the SDK.

The broker ends a call with `await context.abort(*encode(error))`; the SDK turns the
`grpc.RpcError` back with `decode`. On the wire an error is
  - the gRPC status that `suan.errors` names for its class,
  - details `Code: message`, readable for whoever uses another client,
  - trailing metadata `suan-code` (ASCII) and `suan-hint` (UTF-8, percent-encoded, because
    metadata must be ASCII); the hint is left out when there is none; and
    `suan-retry-after`, seconds, when the error says when to try again.
A status without `suan-code` was made by the transport and not by a broker.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

import grpc

from suan.errors import ResourceExhausted, SuanError, from_status

CODE_KEY = "suan-code"
HINT_KEY = "suan-hint"
RETRY_AFTER_KEY = "suan-retry-after"
RETRY_AFTER_SECONDS_MAX = 3_600.0  # longer, nobody is kept waiting by another's word
MESSAGE_CHARACTERS_MAX = 1500  # gRPC gives all of the trailing metadata 8 KiB
HINT_CHARACTERS_MAX = 500

_CODE_AND_MESSAGE = re.compile(r"([A-Z][A-Za-z0-9]*): (.*)", re.DOTALL)

_TOO_LARGE = "message larger than max"  # within gRPC's own words for it

# What gRPC's own statuses mean to a person: message, hint, and a code of ours.
_BY_TRANSPORT: dict[str, tuple[str, ...]] = {
    "UNIMPLEMENTED": (
        "what answers does not know this call",
        "check the port: it may be the join port; or the broker is older than this client",
    ),
    _TOO_LARGE: (
        "the message is larger than the 4 MiB that are sent or taken at once",
        "send fewer jobs in one request, and large files as a dataset",
        "MessageTooLarge",
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
    if isinstance(error, ResourceExhausted) and error.retry_after_seconds > 0:
        metadata.append((RETRY_AFTER_KEY, f"{error.retry_after_seconds:.3f}"))
    message = _shortened(error.message, MESSAGE_CHARACTERS_MAX)
    return grpc.StatusCode[error.grpc_status], f"{error.code}: {message}", tuple(metadata)


def decode(error: grpc.RpcError) -> SuanError:
    """The error that a failed call stands for; its class follows code and status."""
    status = error.code().name
    metadata = _metadata(error)
    details = error.details() or status
    code = metadata.get(CODE_KEY, "")
    known = _TOO_LARGE if _TOO_LARGE in details else status
    if not code and known in _BY_TRANSPORT:
        return from_status(status, *_BY_TRANSPORT[known])
    matched = _CODE_AND_MESSAGE.fullmatch(details)
    if matched and matched[1] == code:
        details = matched[2]
    decoded = from_status(status, details, unquote(metadata.get(HINT_KEY, "")), code)
    if isinstance(decoded, ResourceExhausted):
        decoded.retry_after_seconds = _seconds(metadata.get(RETRY_AFTER_KEY, ""))
    return decoded


def sent_by_broker(error: grpc.RpcError) -> bool:
    """Whether a broker ended the call; False: the transport did, on this side."""
    return CODE_KEY in _metadata(error)


def _metadata(error: grpc.RpcError) -> dict[str, str]:
    pairs: Any = error.trailing_metadata() or ()  # grpc and grpc.aio have a type each
    return {key: value for key, value in pairs if isinstance(value, str)}


def _seconds(text: str) -> float:
    """A wait that makes sense; 0.0 for none."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0.0 < seconds <= RETRY_AFTER_SECONDS_MAX else 0.0


def _shortened(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"
