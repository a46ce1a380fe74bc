"""What is on its way to sites ahead of its jobs, and what their caches hold: soft tables.

Who may send what is decided in `prestaging`; here it is only kept.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from broker.core.rows import Dataset
from broker.core.transfers import Wanted

HELD_OFF_MAX = 10_000  # beyond, the oldest may be tried again
_CHECKSUM = re.compile(r"sha256=([0-9A-Fa-f]{64})")


@lru_cache(maxsize=50_000)
def key_of(location: str) -> str:
    """Under which key a site's cache keeps what it read there (see session.proto)."""
    address, _, fragment = location.partition("#")
    stated = _CHECKSUM.fullmatch(fragment)
    if stated:
        return f"sha256-{stated[1].lower()}"
    return f"url-{sha256(address.encode()).hexdigest()}"


def reachable(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """(Site, location) of the copies that other sites can read."""
    return ((each.site, each.path) for each in dataset.replicas if "://" in each.path)


@dataclass(frozen=True, slots=True)
class Sent:
    """One input that is on its way to a site ahead of its jobs."""

    wanted: Wanted
    location: str
    until: float  # elapsed seconds; later when a round proposes it again


class Ahead:
    """What is on its way, by site and dataset, and which sites hold which keys."""

    def __init__(self) -> None:
        self.sent: dict[str, dict[str, Sent]] = {}
        # (site, key) -> elapsed seconds until which it is not sent there again: it could not be
        self.held_off: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._holders: dict[str, dict[str, None]] = {}  # key -> sites
        self._keys: dict[str, tuple[str, ...]] = {}  # by site

    def __len__(self) -> int:
        return sum(map(len, self.sent.values()))

    def at(self, site: str) -> Mapping[str, Sent]:
        """What is on its way there, by dataset."""
        return self.sent.get(site, {})

    def hold_off(self, site: str, key: str, until: float) -> None:
        self.held_off[site, key] = until
        if len(self.held_off) > HELD_OFF_MAX:
            self.held_off.popitem(last=False)

    def wanted(self) -> tuple[Wanted, ...]:
        return tuple(each.wanted for at_site in self.sent.values() for each in at_site.values())

    def hold(self, site: str, keys: tuple[str, ...]) -> None:
        """The site's cache holds these now and no others."""
        for key in self._keys.pop(site, ()):
            holders = self._holders[key]
            holders.pop(site, None)
            if not holders:
                del self._holders[key]
        if keys:
            self._keys[site] = keys
            for key in keys:
                self._holders.setdefault(key, {})[site] = None

    def holds(self, site: str, location: str) -> bool:
        return site in self._holders.get(key_of(location), ())

    def sites_with(self, dataset: Dataset) -> tuple[str, ...]:
        """Whose caches hold it, ascending."""
        if not self._holders:
            return ()
        found: dict[str, None] = {}
        for _, location in reachable(dataset):
            found.update(self._holders.get(key_of(location), {}))
        return tuple(sorted(found))
