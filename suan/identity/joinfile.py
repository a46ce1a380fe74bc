"""The join file: all that a site needs in order to ask for its identity, in one private file.

The administrator writes it, the site's operator feeds it to `suan-agent join`. So the token
stands neither in a shell's history nor in a process list. Knows nothing of who checks it.
"""

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import yaml

from suan.errors import InvalidRequest, SuanError, Unauthenticated
from suan.identity.address import split_addresses
from suan.identity.certificate import CertificateMalformed, read_certificate
from suan.identity.files import read_file, write_file
from suan.identity.principal import PrincipalInvalid, site_principal

API_VERSION: Final = "suan/v1"
KIND: Final = "JoinFile"
# A name of 6 characters, then a secret of 25: 36^25 is more than 2^128.
JOIN_TOKEN: Final = re.compile(r"(?P<id>[a-z0-9]{6})\.(?P<secret>[a-z0-9]{25})")


@dataclass(frozen=True, slots=True)
class JoinFile:
    """What `suan site token` hands to a site. Addresses are HOST:PORT, several with commas."""

    federation: str
    site: str
    broker: str  # where the agent works, with its certificate
    join: str  # where it asks for a certificate, without one
    expires_at: float  # wall seconds since 1970
    ca_pem: str  # the authority that the broker's certificate must come from
    token: str = field(repr=False)


def write_join_file(path: Path, join: JoinFile, *, force: bool = False) -> None:
    """Writes YAML, mode 0600. Raises Conflict (FileExists) unless `force`."""
    expires_at = datetime.fromtimestamp(join.expires_at, UTC).isoformat(timespec="seconds")
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "federation": join.federation,
        "site": join.site,
        "broker": join.broker,
        "join": join.join,
        "token": join.token,
        "expires_at": expires_at,
        "ca": join.ca_pem,
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_style=None)
    write_file(path, text.encode(), force=force)


def read_join_file(path: Path, now: float | None = None) -> JoinFile:
    """The join file at `path`, YAML or JSON.

    Raises Unauthenticated (TokenExpired, KeyExposed) and InvalidRequest (JoinFileMalformed,
    FileUnreadable).
    """
    data = read_file(path, private=True)
    try:
        join = _parse(_document(data))
    except (ValueError, SuanError) as error:
        raise InvalidRequest(
            f"{path} is not a join file: {error}",
            "take the file as `suan site token` wrote it",
            "JoinFileMalformed",
        ) from error
    if (time.time() if now is None else now) >= join.expires_at:
        raise Unauthenticated(
            f"the token in {path} has expired",
            f"ask the administrator for a new one: suan site token {join.site}",
            "TokenExpired",
        )
    return join


def _document(data: bytes) -> dict[object, object]:
    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("it is neither YAML nor JSON") from error
    if not isinstance(document, dict):
        raise ValueError("it holds no keys and values")
    return document


def _parse(document: dict[object, object]) -> JoinFile:
    fields = {key: _text(document, key) for key in _KEYS}
    if unknown := sorted(map(str, document.keys() - set(_KEYS))):
        raise ValueError(f"unknown key {unknown[0]!r}")
    if (fields["apiVersion"], fields["kind"]) != (API_VERSION, KIND):
        raise ValueError(f"it is not a {KIND} of {API_VERSION}")
    if not JOIN_TOKEN.fullmatch(fields["token"]):
        raise ValueError("the token is cut off or mistyped")
    try:
        site_principal(fields["federation"], fields["site"])
        read_certificate(fields["ca"].encode())
    except (PrincipalInvalid, CertificateMalformed) as error:
        raise ValueError(str(error)) from error
    split_addresses(fields["broker"])
    split_addresses(fields["join"])
    return JoinFile(
        federation=fields["federation"],
        site=fields["site"],
        broker=fields["broker"],
        join=fields["join"],
        expires_at=_moment(fields["expires_at"]),
        ca_pem=fields["ca"],
        token=fields["token"],
    )


_KEYS: Final = (
    "apiVersion", "kind", "federation", "site", "broker", "join", "token", "expires_at", "ca",
)  # fmt: skip


def _text(document: dict[object, object], key: str) -> str:
    value = document.get(key)
    if isinstance(value, datetime):  # an unquoted time in YAML; without a zone it is UTC
        value = value.replace(tzinfo=value.tzinfo or UTC).isoformat()
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key!r} is missing")
    return value


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("'expires_at' has no time zone")
    return moment.timestamp()
