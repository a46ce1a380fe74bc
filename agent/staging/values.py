"""The frozen values of staging: its limits, and where one input is to be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from agent.staging.s3 import S3Store
from agent.staging.sftp import SftpAccount

GIB = 1024**3

# Bytes done and bytes in all (0: not known yet), of one download or of all that a job waits for.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What downloads may take of the site, and whom they may ask."""

    cache_bytes_max: int = 100 * GIB
    file_bytes_max: int = 100 * GIB
    free_bytes_min: int = GIB  # left for everybody else on the cache's disk
    downloads_max: int = 16  # at a time, of all jobs together
    downloads_per_job_max: int = 4  # at a time
    downloads_ahead_max: int = 2  # at a time, beside those, of what no job waits for yet
    ahead_spare: float = 0.1  # of the cache: left free by what no job waits for yet
    idle_seconds: float = 30.0  # without a byte: cut
    transfer_seconds_max: float = 6 * 3600.0  # for one file, all tries together
    tries_max: int = 6  # in a row that bring nothing new
    retry_seconds: float = 1.0  # before the second try; doubles …
    retry_seconds_max: float = 30.0  # … up to this
    redirects_max: int = 5
    # Servers with an address that is not public (loopback, the site's own network) which may
    # be asked. Whoever may submit a job must not reach more through the agent.
    private_hosts: frozenset[str] = frozenset()
    s3: S3Store | None = None  # where s3://bucket/key is read; None: nowhere
    sftp: SftpAccount | None = None  # with which sftp://host/path is read; None: nothing is


@dataclass(frozen=True, slots=True)
class PathSource:
    """Data at the site."""

    name: str  # in the run's data directory
    path: str  # absolute, not resolved


@dataclass(frozen=True, slots=True)
class UrlSource:
    """One file behind an HTTP address."""

    name: str  # in the run's data directory
    url: str  # http, https, s3, sftp or file, without fragment
    sha256: str = ""  # lower case; "": not stated

    @property
    def key(self) -> str:
        """Its place in the cache: by content where that is stated, else by address."""
        if self.sha256:
            return f"sha256-{self.sha256}"
        return f"url-{sha256(self.url.encode()).hexdigest()}"

    @property
    def shown(self) -> str:
        """The address without its query, which may hold a signature."""
        return self.url.partition("?")[0]


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """A directory: the files that a manifest lists, which lie beside it."""

    name: str  # in the run's data directory
    url: str  # of the manifest: http, https, s3, sftp or file, without fragment
    sha256: str  # of the manifest, lower case


Source = PathSource | UrlSource | ManifestSource
