"""The section `etcd:` of broker.yaml, for a federation with more than one broker."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from broker.store.etcd.settings import EtcdSettings
from suan.errors import InvalidRequest
from suan.identity.address import host_of, is_loopback

ENDPOINTS_MAX = 16
LEASE_SECONDS_MIN, LEASE_SECONDS_MAX = 2, 60
_FILES = MappingProxyType(
    {
        "ca": "ca_file",
        "certificate": "certificate_file",
        "key": "key_file",
        "password_file": "password_file",
    }
)
_PLAIN = ("insecure", "user", "lease_seconds", "renew_seconds")
_KEYS = ("endpoints", *_FILES, *_PLAIN)


@dataclass(frozen=True, slots=True)
class EtcdSection:
    """Where etcd is; what else there is to set has its default in `EtcdSettings`."""

    endpoints: tuple[str, ...]  # HOST:PORT or https://HOST:PORT
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    insecure: bool = False  # plaintext to an etcd on another machine
    user: str = ""
    password_file: Path | None = None
    lease_seconds: int = 9
    renew_seconds: float = 3.0

    def settings(self, federation: str) -> EtcdSettings:
        """For the rows of this federation."""
        return EtcdSettings(
            self.endpoints,
            federation,
            self.ca_file,
            self.certificate_file,
            self.key_file,
            self.insecure,
            self.user,
            self.password_file,
            self.lease_seconds,
            self.renew_seconds,
        )


def read_etcd(section: Mapping[str, Any], base: Path) -> EtcdSection:
    """A section without problems; relative paths count from `base`."""
    named = {field: section[key] for key, field in _FILES.items() if section.get(key)}
    files = {field: (base / name).resolve() for field, name in named.items()}
    plain = {key: section[key] for key in _PLAIN if key in section}
    return EtcdSection(tuple(section["endpoints"]), **files, **plain)


def etcd_problems(section: Mapping[Any, Any]) -> Iterator[str]:
    """What is wrong with the section, in words for people."""
    for name in section:
        if name not in _KEYS:
            near = difflib.get_close_matches(str(name), _KEYS, 1)
            yield f"etcd.{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
    yield from _file_problems(section)
    yield from _endpoint_problems(section)
    yield from _period_problems(section)


def _file_problems(section: Mapping[str, Any]) -> Iterator[str]:
    for name in _FILES:
        if not isinstance(section.get(name, ""), str):
            yield f"etcd.{name}: {section[name]!r} is not the name of a file"
    if bool(section.get("certificate")) != bool(section.get("key")):
        yield "etcd: certificate and key belong together; name both or none"
    if section.get("certificate") and not section.get("ca"):
        yield "etcd.ca is missing: a certificate is of use with TLS only"
    if not isinstance(section.get("user", ""), str):
        yield f"etcd.user: {section['user']!r} is not a name"
    if bool(section.get("user")) != bool(section.get("password_file")):
        yield "etcd: user and password_file belong together; name both or none"


def _endpoint_problems(section: Mapping[str, Any]) -> Iterator[str]:
    endpoints, insecure = section.get("endpoints"), section.get("insecure", False)
    with_tls = bool(section.get("ca"))
    if not isinstance(insecure, bool):
        yield f"etcd.insecure: {insecure!r} is not true or false"
    elif insecure and with_tls:
        yield "etcd.insecure is for an etcd without TLS: leave it out, or etcd.ca"
    if not isinstance(endpoints, list) or not 1 <= len(endpoints) <= ENDPOINTS_MAX:
        yield f"etcd.endpoints: name 1 to {ENDPOINTS_MAX} of them in a list"
        return
    for endpoint in endpoints:
        address = str(endpoint).removeprefix("https://")
        try:
            host = host_of(address)
        except InvalidRequest:
            yield f"etcd.endpoints: {endpoint!r} is not HOST:PORT or https://HOST:PORT"
            continue
        is_plain_allowed = address == endpoint and (insecure is True or is_loopback(host))
        if not with_tls and not is_plain_allowed:
            yield (
                f"etcd.endpoints: {endpoint} needs TLS: name etcd's authority in etcd.ca "
                "(`insecure: true` allows plaintext: whoever is on the line can lead)"
            )
    if len(set(map(str, endpoints))) < len(endpoints):
        yield "etcd.endpoints: one is named twice"


def _period_problems(section: Mapping[str, Any]) -> Iterator[str]:
    default = EtcdSection(())
    lease = section.get("lease_seconds", default.lease_seconds)
    renew = section.get("renew_seconds", default.renew_seconds)
    if type(lease) is not int or not LEASE_SECONDS_MIN <= lease <= LEASE_SECONDS_MAX:
        least, most = LEASE_SECONDS_MIN, LEASE_SECONDS_MAX
        yield f"etcd.lease_seconds: {lease!r} is not a whole number from {least} to {most}"
    elif type(renew) not in (int, float) or not 0 < 2 * renew < lease:
        yield f"etcd.renew_seconds: {renew!r} is not above 0 and below half of lease_seconds"
