"""What is said between the data plane and the broker: values, soft on both sides."""

from __future__ import annotations

from dataclasses import dataclass

from agent.supervisor.values import AttemptId


@dataclass(frozen=True, slots=True)
class Prestage:
    """An input that the broker wants in the cache before any attempt needs it."""

    location: str  # a URL
    bytes_per_second: float  # 0: no rate is set
    expires_seconds: float  # from now


@dataclass(frozen=True, slots=True)
class PrestagesWanted:
    """All that is wanted now, most urgent first."""

    session: str
    wanted: tuple[Prestage, ...]


@dataclass(frozen=True, slots=True)
class SendCache:
    """All that the cache holds whole, used last first."""

    session: str
    seq: int
    keys: tuple[str, ...]
    bytes_max: int
    refused: tuple[str, ...] = ()  # wanted ahead now, and could not be brought


@dataclass(frozen=True, slots=True)
class SendStaging:
    """How far the inputs of each attempt are: (attempt, bytes done, bytes in all)."""

    session: str
    seq: int
    progress: tuple[tuple[AttemptId, int, int], ...]
