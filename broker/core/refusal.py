"""What the core answers when it will not do what was asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A "no" with a stable code, a gRPC status name and what to do about it."""

    code: str
    message: str
    status: str = "FAILED_PRECONDITION"
    hint: str = ""
