"""An identity as it lies on the disk: `ca.pem`, `cert.pem` and `key.pem` in one directory.

Reads and writes whole identities; knows neither how they are issued nor how they are used.
"""

import os
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from suan.errors import Conflict, InvalidRequest, Unauthenticated
from suan.identity.certificate import Certificate, CertificateMalformed, read_certificate
from suan.identity.files import PUBLIC, read_file, write_file
from suan.identity.principal import Principal, PrincipalInvalid

CA_FILE: Final = "ca.pem"
CERTIFICATE_FILE: Final = "cert.pem"
KEY_FILE: Final = "key.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """A principal with its key, its certificate and the authority it trusts."""

    principal: Principal
    certificate: Certificate
    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)


def load_identity(directory: str | os.PathLike[str]) -> Identity:
    """The identity in `directory`; says nothing of whether it is still in force.

    Raises Unauthenticated: IdentityMissing, IdentityMalformed, KeyExposed.
    """
    place = Path(directory).expanduser()
    missing = [
        name for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE) if not (place / name).exists()
    ]
    if missing:
        raise Unauthenticated(
            f"there is no identity in {place}: {', '.join(missing)} missing",
            "name its directory with SUAN_IDENTITY or in the context; an administrator issues one",
            "IdentityMissing",
        )
    certificate_pem = read_file(place / CERTIFICATE_FILE)
    try:
        certificate = read_certificate(certificate_pem)
        principal = certificate.principal
        read_certificate(ca_pem := read_file(place / CA_FILE))
    except (CertificateMalformed, PrincipalInvalid) as error:
        raise Unauthenticated(
            f"the identity in {place} cannot be used: {error}",
            "ask an administrator for a new one",
            "IdentityMalformed",
        ) from error
    key_pem = read_file(place / KEY_FILE, private=True)
    _check_pair(place)
    return Identity(principal, certificate, ca_pem, certificate_pem, key_pem)


def require_in_force(certificate: Certificate, now: float | None = None) -> None:
    """Raises Unauthenticated: CertificateExpired or CertificateNotYetValid, by this clock."""
    moment = time.time() if now is None else now
    if moment >= certificate.not_after:
        raise Unauthenticated(
            f"your certificate expired at {_written(certificate.not_after)}",
            "ask an administrator for a new one (`suan admin issue`)",
            "CertificateExpired",
        )
    if moment < certificate.not_before:
        raise Unauthenticated(
            f"your certificate is valid from {_written(certificate.not_before)}, "
            f"and this machine's clock says {_written(moment)}",
            "set the clock of this machine",
            "CertificateNotYetValid",
        )


def write_identity(
    directory: Path,
    *,
    ca_pem: bytes,
    certificate_pem: bytes,
    key_pem: bytes,
    force: bool = False,
) -> None:
    """Writes the three files, the key 0600 and first, the certificate last.

    So whoever sees the new certificate finds its key. Raises Conflict (IdentityExists) when a
    file of an identity is there and not `force`.
    """
    present = [name for name in (KEY_FILE, CERTIFICATE_FILE) if (directory / name).exists()]
    if present and not force:
        raise Conflict(
            f"there is an identity in {directory} already ({', '.join(present)})",
            "name another directory, or use --force to replace it",
            "IdentityExists",
        )
    make_private_directory(directory)
    write_file(directory / KEY_FILE, key_pem, force=force)
    write_file(directory / CA_FILE, ca_pem, mode=PUBLIC, force=True)
    write_file(directory / CERTIFICATE_FILE, certificate_pem, mode=PUBLIC, force=force)


def _check_pair(place: Path) -> None:
    """Loads certificate and key together, as every TLS library does; an empty passphrase."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(place / CERTIFICATE_FILE, place / KEY_FILE, password="")
    except (ssl.SSLError, ValueError) as error:
        raise Unauthenticated(
            f"the key in {place} does not belong to the certificate beside it",
            "restore both files from the same place, or ask an administrator for new ones",
            "IdentityMalformed",
        ) from error


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().isoformat(" ", "seconds")


def make_private_directory(directory: Path) -> None:
    """Makes a directory (and its parents) that only its owner may enter, unless it is there."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(
            f"cannot make the directory {directory}: {error.strerror}",
            "check the path and its permissions",
            "FileUnwritable",
        ) from error
