"""Which stores a site can write to: how a URL becomes one."""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.publishing.directory import DirectoryStore
from agent.publishing.s3 import ObjectStore
from agent.publishing.sftp import SftpStore
from agent.publishing.store import Store, directory_of
from agent.staging.transport import Transport
from agent.staging.values import Limits
from suan.errors import InvalidRequest


class Stores:
    """The stores that a site can write to, by URL."""

    def __init__(self, own: str, limits: Limits) -> None:
        """`own`: the site's own store; "": it has none. Raises InvalidRequest."""
        self._limits = limits
        self._transport = Transport(limits)
        self._known: dict[str, Store] = {}
        self._own = own
        if own:
            self.at("")

    @property
    def has_own(self) -> bool:
        return bool(self._own)

    def at(self, url: str) -> Store:
        """The store at that place; "": the site's own. Raises InvalidRequest."""
        place = (url or self._own).rstrip("/")
        if place not in self._known:
            self._known[place] = self._open(place)
        return self._known[place]

    def _open(self, place: str) -> Store:
        if (root := directory_of(place)) is not None:
            return DirectoryStore(root)
        parts = urlsplit(place)
        if parts.scheme == "s3" and parts.netloc and not (parts.query or parts.fragment):
            if self._limits.s3 is None:
                raise InvalidRequest(
                    f"{place} needs an account at an S3-compatible store",
                    "name it with data_s3_endpoint and data_s3_credentials in agent.yaml",
                    "ConfigUnreadable",
                )
            return ObjectStore(place, self._limits.s3, self._transport)
        if parts.scheme == "sftp" and parts.netloc and not (parts.query or parts.fragment):
            if self._limits.sftp is None:
                raise InvalidRequest(
                    f"{place} needs an account at an SFTP server",
                    "name it with data_sftp_user, data_sftp_key and data_sftp_known_hosts",
                    "ConfigUnreadable",
                )
            return SftpStore(place, self._limits.sftp, self._limits.idle_seconds)
        raise InvalidRequest(
            f"{place!r} is no store that this agent can write to",
            "write s3://bucket/prefix, sftp://host/directory or /directory",
            "ConfigUnreadable",
        )
