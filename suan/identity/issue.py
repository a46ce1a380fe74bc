"""Founding a federation and issuing identities, as `suan admin` does it on the broker's machine.

Needs the cryptography package. Joins the authority to the directories; opens no connection.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from suan.errors import Conflict, InvalidRequest, Unauthenticated
from suan.identity.address import host_of
from suan.identity.authority import Authority, IssueRefused
from suan.identity.directory import make_private_directory, write_identity
from suan.identity.files import PUBLIC, read_file, write_file
from suan.identity.keys import generate_key, make_request, read_request
from suan.identity.principal import Principal, PrincipalInvalid, Role

AUTHORITY_CERTIFICATE_FILE: Final = "ca.pem"
AUTHORITY_KEY_FILE: Final = "ca.key"
_PARTS: Final = ("broker", "admin", "ca")


@dataclass(frozen=True, slots=True)
class Initialised:
    """Where `initialise` put things: the authority, and two identity directories."""

    authority: Path
    broker: Path
    admin: Path
    federation: str
    fingerprint: str  # of the authority's certificate


def initialise(
    directory: Path,
    federation: str,
    addresses: Sequence[str],
    *,
    admin: str = "admin",
    broker: str = "broker",
    now: float | None = None,
) -> Initialised:
    """Founds a federation: its authority, the broker's identity and the first administrator's.

    `addresses` are the HOST:PORT under which the broker is reached. The authority appears
    last, so a directory that has it is complete. Raises Conflict (FederationExists) and
    InvalidRequest (NameInvalid, AddressInvalid, IssueRefused, FileUnwritable).
    """
    moment = time.time() if now is None else now
    directory = directory.expanduser().absolute()
    if present := [name for name in _PARTS if (directory / name).exists()]:
        raise _exists(directory, present)
    principals = (
        _principal(federation, Role.BROKER, broker),
        _principal(federation, Role.ADMIN, admin),
    )
    make_private_directory(directory)
    draft = directory / f".founding-{os.getpid()}"
    try:
        authority = Authority.create(federation, moment)
        _write_authority(draft / "ca", authority)
        for principal, hosts in zip(principals, (addresses, ()), strict=True):
            _issue(authority, principal, draft / principal.role.value, hosts, moment, None, False)
        for name in _PARTS:
            (draft / name).rename(directory / name)
    except OSError as error:  # somebody else founded it meanwhile
        raise _exists(directory, _PARTS) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Initialised(
        authority=directory / "ca",
        broker=directory / "broker",
        admin=directory / "admin",
        federation=federation,
        fingerprint=authority.fingerprint,
    )


def issue(
    authority_directory: Path,
    principal: Principal,
    directory: Path,
    lifetime_seconds: float | None = None,
    *,
    addresses: Sequence[str] = (),
    force: bool = False,
    now: float | None = None,
) -> None:
    """Issues an identity with a new key into `directory`; `addresses` for a broker only.

    The lifetime is the role's (30 days, 90 for a broker) unless given. Raises Conflict
    (IdentityExists) unless `force`, and InvalidRequest (IssueRefused).
    """
    authority = load_authority(authority_directory)
    moment = time.time() if now is None else now
    _issue(authority, principal, directory, addresses, moment, lifetime_seconds, force)


def load_authority(directory: Path) -> Authority:
    """The authority in `directory`; raises Unauthenticated (AuthorityMissing, KeyExposed, …)."""
    certificate, key = directory / AUTHORITY_CERTIFICATE_FILE, directory / AUTHORITY_KEY_FILE
    if not (certificate.exists() and key.exists()):
        raise Unauthenticated(
            f"there is no certificate authority in {directory}",
            "run this where `suan admin init` was run, and name its directory",
            "AuthorityMissing",
        )
    try:
        return Authority.load(read_file(certificate), read_file(key, private=True))
    except ValueError as error:
        raise Unauthenticated(
            f"the certificate authority in {directory} cannot be used: {error}",
            "restore both files from the same backup",
            "AuthorityMalformed",
        ) from error


def _write_authority(directory: Path, authority: Authority) -> None:
    make_private_directory(directory)
    write_file(directory / AUTHORITY_KEY_FILE, authority.key_pem)
    write_file(directory / AUTHORITY_CERTIFICATE_FILE, authority.certificate_pem, mode=PUBLIC)


def _issue(
    authority: Authority,
    principal: Principal,
    directory: Path,
    addresses: Sequence[str],
    now: float,
    lifetime_seconds: float | None,
    force: bool,
) -> None:
    key_pem = generate_key()
    hosts = tuple(dict.fromkeys(host_of(address) for address in addresses))
    try:
        certificate_pem = authority.sign(
            read_request(make_request(key_pem, principal)),
            principal,
            now,
            lifetime_seconds=lifetime_seconds,
            hosts=hosts,
        )
    except IssueRefused as error:
        raise InvalidRequest(
            f"no certificate for {principal}: {error}", "", "IssueRefused"
        ) from error
    write_identity(
        directory,
        ca_pem=authority.certificate_pem,
        certificate_pem=certificate_pem,
        key_pem=key_pem,
        force=force,
    )


def _exists(directory: Path, present: Sequence[str]) -> Conflict:
    return Conflict(
        f"there is a federation in {directory} already ({', '.join(present)})",
        "a federation is founded once; name another directory, or move this one away if no "
        "site and no user depends on it",
        "FederationExists",
    )


def _principal(federation: str, role: Role, name: str) -> Principal:
    try:
        return Principal(federation, role, name)
    except PrincipalInvalid as error:
        raise InvalidRequest(str(error), "choose a short lower-case name", "NameInvalid") from error
