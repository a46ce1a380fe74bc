"""What a certificate says, read with the standard library alone.

The bare client has no cryptography package, yet must tell its user whose certificate it
holds and until when. Reads; never verifies: trust is the TLS handshake's matter.
"""

import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from suan.identity.fingerprint import fingerprint
from suan.identity.principal import Principal, PrincipalInvalid

CERTIFICATE_BYTES_MAX: Final = 16 * 1024
# A site asks for its next certificate at 2/3 of the life of this one, less up to 1/10 of
# that life, so that sites which joined together do not come together.
RENEWAL_FRACTION: Final = 2 / 3
RENEWAL_JITTER_FRACTION: Final = 1 / 10

_INTEGER, _OCTETS, _OID, _SEQUENCE = 0x02, 0x04, 0x06, 0x30
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS, _URI, _IP = 0x82, 0x86, 0x87
_SUBJECT_ALTERNATIVE_NAME: Final = bytes.fromhex("551d11")


class CertificateMalformed(ValueError):
    """Bytes that are not one X.509 certificate."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The facts of one certificate; times are wall seconds since 1970."""

    serial: int
    not_before: float
    not_after: float
    uris: tuple[str, ...]
    hosts: tuple[str, ...]  # DNS names and IP addresses
    fingerprint: str  # of the whole certificate
    key_fingerprint: str

    @property
    def principal(self) -> Principal:
        """Whose certificate it is; raises PrincipalInvalid unless it names exactly one."""
        if len(self.uris) != 1:
            raise PrincipalInvalid(f"the certificate holds {len(self.uris)} names instead of one")
        return Principal.parse(self.uris[0])

    def renewal_due_at(self, jitter: float) -> float:
        """When its owner should ask for the next one; `jitter` is drawn from 0 to 1."""
        life_seconds = self.not_after - self.not_before
        fraction = RENEWAL_FRACTION - RENEWAL_JITTER_FRACTION * jitter
        return self.not_before + life_seconds * fraction


def read_certificate(pem: bytes) -> Certificate:
    """The first certificate of a PEM text; raises CertificateMalformed."""
    if len(pem) > CERTIFICATE_BYTES_MAX:
        raise CertificateMalformed(f"larger than {CERTIFICATE_BYTES_MAX} bytes")
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    start, stop = pem.find(begin), pem.find(end)
    if start < 0 or stop < start:
        raise CertificateMalformed("there is no PEM block CERTIFICATE in it")
    try:
        der = ssl.PEM_cert_to_DER_cert(pem[start : stop + len(end)].decode("ascii"))
        return _read(der)
    except (ValueError, IndexError, StopIteration) as error:
        raise CertificateMalformed("it is not an X.509 certificate") from error


def _read(der: bytes) -> Certificate:
    ((_, certificate),) = _elements(der)
    _, signed = next(_elements(certificate))
    fields = [field for field in _elements(signed) if field[0] != _VERSION]
    (_, serial), _, _, (_, validity), _, (_, public_key) = fields[:6]
    (begin, end) = (_time(tag, text) for tag, text in _elements(validity))
    names = list(_alternative_names(fields[6:]))
    return Certificate(
        serial=int.from_bytes(serial, "big", signed=True),
        not_before=begin,
        not_after=end,
        uris=tuple(value.decode("ascii") for tag, value in names if tag == _URI),
        hosts=tuple(_host(tag, value) for tag, value in names if tag in (_DNS, _IP)),
        fingerprint=fingerprint(der),
        key_fingerprint=fingerprint(_encode(_SEQUENCE, public_key)),
    )


def _alternative_names(fields: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    for tag, wrapped in fields:
        if tag != _EXTENSIONS:
            continue
        ((_, extensions),) = _elements(wrapped)
        for _, extension in _elements(extensions):
            (_, kind), *_, (_, value) = _elements(extension)
            if kind == _SUBJECT_ALTERNATIVE_NAME:
                ((_, names),) = _elements(value)
                yield from _elements(names)


def _host(tag: int, value: bytes) -> str:
    return value.decode("ascii") if tag == _DNS else str(ipaddress.ip_address(value))


def _time(tag: int, text: bytes) -> float:
    digits = text.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year; 50 and later are of the last century
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The DER elements that `data` is a sequence of, as (tag, content)."""
    position = 0
    while position < len(data):
        tag, length, position = data[position], data[position + 1], position + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if position + length > len(data):
            raise ValueError("an element is longer than what holds it")
        yield tag, data[position : position + length]
        position += length


def _encode(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content
