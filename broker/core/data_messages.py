"""What a site's data plane says and is told, and who removes datasets: part of the closed sets
of `messages`.

What the plane says is soft on both sides: none of it decides what runs, only how soon.
"""

from __future__ import annotations

from dataclasses import dataclass

KEYS_MAX = 1_000  # of one report; beyond, the rest is not known


@dataclass(frozen=True, slots=True)
class DeleteDataset:
    """`tenant` empty: an administrator's, who may remove any."""

    name: str
    tenant: str
    actor: str


@dataclass(frozen=True, slots=True)
class CacheReport:
    """All that a site's cache holds whole, used last first. The first one of a session also
    says that the site brings data ahead of need."""

    site: str
    session: str
    seq: int
    keys: tuple[str, ...]
    bytes_max: int  # that the cache may hold
    refused: tuple[str, ...] = ()  # wanted ahead, and could not be brought


@dataclass(frozen=True, slots=True)
class StagingProgress:
    """How far the inputs of one attempt are."""

    job_id: str
    epoch: int
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class StagingReport:
    """The attempts whose inputs a site fetches now, all of them."""

    site: str
    session: str
    seq: int
    progress: tuple[StagingProgress, ...]


@dataclass(frozen=True, slots=True)
class Prestage:
    """An input that a site should bring to its cache."""

    dataset: str
    location: str
    size_bytes: int
    bytes_per_second: float  # booked for it now; 0: nothing is
    expires_seconds: float  # from now


@dataclass(frozen=True, slots=True)
class Prestages:
    """All that a site should bring to its cache now, most urgent first."""

    term: int
    wanted: tuple[Prestage, ...]
