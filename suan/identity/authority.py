"""The federation's certificate authority: it alone decides what stands in a certificate.

Needs the cryptography package. Values in, PEM out; knows nothing of files or the network,
and reads no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from suan.identity.fingerprint import fingerprint
from suan.identity.keys import KeyRequest, load_key, private_pem
from suan.identity.principal import SCHEME, Principal, Role

DAY_SECONDS: Final = 86_400.0
SKEW_SECONDS: Final = 300.0  # how far a peer's clock may lag behind the authority's
CA_LIFETIME_SECONDS: Final = 3_650 * DAY_SECONDS
LIFETIME_SECONDS: Final = MappingProxyType(
    dict.fromkeys(Role, 30 * DAY_SECONDS) | {Role.BROKER: 90 * DAY_SECONDS}
)


class IssueRefused(ValueError):
    """The authority cannot issue what it is asked for."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A federation's signing key with its certificate."""

    federation: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(
        cls, federation: str, now: float, lifetime_seconds: float = CA_LIFETIME_SECONDS
    ) -> "Authority":
        """A new authority with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"suan {federation}"[:64], federation)
        uri = x509.UniformResourceIdentifier(SCHEME + federation)
        builder = (
            _builder(name, name, key.public_key(), now, now + lifetime_seconds)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        )
        return cls(federation, builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> "Authority":
        """The authority kept in two PEM texts; raises ValueError when they are not one."""
        certificate, key = x509.load_pem_x509_certificate(certificate_pem), load_key(key_pem)
        if certificate.public_key() != key.public_key():
            raise ValueError("the authority's key does not belong to its certificate")
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return cls(uri.removeprefix(SCHEME), certificate, key)

    @property
    def certificate_pem(self) -> bytes:
        """What everybody in the federation trusts."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """Of the certificate, for people to compare."""
        return fingerprint(self.certificate.public_bytes(serialization.Encoding.DER))

    @property
    def key_pem(self) -> bytes:
        """The signing key; whoever has it is the federation."""
        return private_pem(self.key)

    def sign(
        self,
        request: KeyRequest,
        principal: Principal,
        now: float,
        *,
        lifetime_seconds: float | None = None,
        hosts: Sequence[str] = (),
    ) -> bytes:
        """A certificate (PEM) for `principal` and for the key of `request`, whatever else it asks.

        `hosts` are the DNS names and IP addresses of a broker; only a broker has any, and only
        its certificate makes a TLS server. It ends no later than the authority itself. Raises
        IssueRefused.
        """
        lifetime = (
            LIFETIME_SECONDS[principal.role] if lifetime_seconds is None else lifetime_seconds
        )
        self._check(principal, now, lifetime, hosts)
        end = min(now + lifetime, self.certificate.not_valid_after_utc.timestamp())
        subject = _name(principal.name, self.federation)
        names = [x509.UniformResourceIdentifier(principal.uri), *map(_host_name, hosts)]
        builder = (
            _builder(subject, self.certificate.subject, request.public_key, now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_purpose(principal)]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_authority_key(self.key), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _check(
        self, principal: Principal, now: float, lifetime: float, hosts: Sequence[str]
    ) -> None:
        if principal.federation != self.federation:
            raise IssueRefused(f"{principal} is not of the federation {self.federation}")
        if bool(hosts) != (principal.role is Role.BROKER):
            raise IssueRefused("a broker, and nobody else, has addresses in its certificate")
        if lifetime <= 0:
            raise IssueRefused(f"a lifetime of {lifetime:g} seconds is none")
        if now >= self.certificate.not_valid_after_utc.timestamp():
            raise IssueRefused("the authority's own certificate has expired")


def _purpose(principal: Principal) -> x509.ObjectIdentifier:
    broker = principal.role is Role.BROKER
    return ExtendedKeyUsageOID.SERVER_AUTH if broker else ExtendedKeyUsageOID.CLIENT_AUTH


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: float,
    end: float,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now - SKEW_SECONDS, UTC))
        .not_valid_after(datetime.fromtimestamp(end, UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _name(common_name: str, federation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, federation),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
