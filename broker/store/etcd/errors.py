"""What etcd and gRPC say went wrong, in the words of the store's contract."""

from __future__ import annotations

import grpc

from broker.store import StoreError


class Compacted(StoreError):
    """The history that was asked for is gone; what is now must be read instead."""


class TooLarge(StoreError):
    """More bytes at once than one side takes."""


_Code = grpc.StatusCode
_CODES = {
    _Code.DATA_LOSS: "StoreDamaged",
    _Code.UNAUTHENTICATED: "StoreRefused",
    _Code.PERMISSION_DENIED: "StoreRefused",
    _Code.INVALID_ARGUMENT: "StoreFailed",
    _Code.UNIMPLEMENTED: "StoreFailed",
}
_FULL = "database space exceeded"
_COMPACTED = "required revision has been compacted"
# A token that has aged, or is of before the accounts were changed: the next one will do.
_OLD_TOKEN = ("invalid auth token", "revision in header is old")
_WRONG_USER = ("authentication failed", "authentication is not enabled", "user name is empty")
_TOO_LARGE = ("larger than max", "request is too large", "too many operations")


def store_error(endpoint: str, error: Exception) -> StoreError:
    """The contract's error; "StoreUnavailable" where another endpoint or moment may do."""
    if not isinstance(error, grpc.Call):
        return StoreError("StoreUnavailable", f"etcd at {endpoint}: {error or 'no answer'}")
    details = error.details() or ""
    message = f"etcd at {endpoint}: {details}"
    if _COMPACTED in details:
        return Compacted("StoreCompacted", message)
    if any(words in details for words in _TOO_LARGE):
        return TooLarge("StoreFailed", f"{message}; request_bytes_max and operations_max must fit")
    if _FULL in details:
        return StoreError("DiskFull", message)
    if is_old_token(error):
        return StoreError("StoreUnavailable", message)
    if any(words in details for words in _WRONG_USER):
        return StoreError("StoreRefused", message)
    if error.code() is _Code.DEADLINE_EXCEEDED:
        message = f"etcd at {endpoint}: no answer in time"
    return StoreError(_CODES.get(error.code(), "StoreUnavailable"), message)


def is_old_token(error: Exception) -> bool:
    """Whether etcd wants another token of the same user."""
    details = (error.details() or "") if isinstance(error, grpc.Call) else ""
    return any(words in details for words in _OLD_TOKEN)
