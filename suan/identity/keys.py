"""Private keys and certificate requests: ECDSA on P-256, the curve every TLS library speaks.

Needs the cryptography package. Knows nothing of files and of who signs.
"""

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from suan.identity.fingerprint import fingerprint
from suan.identity.principal import Principal

REQUEST_BYTES_MAX: Final = 16 * 1024


class RequestInvalid(ValueError):
    """A certificate request that is malformed, unproven or for a key of another kind."""


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What of a certificate request counts: the key. Who it is for, the signer knows itself."""

    public_key: ec.EllipticCurvePublicKey
    key_sha256: str  # hexadecimal, over the DER form of the public key
    fingerprint: str  # the same digest, for people


def generate_key() -> bytes:
    """A new private key, as PKCS #8 PEM without a passphrase."""
    return private_pem(ec.generate_private_key(ec.SECP256R1()))


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The PKCS #8 PEM form of a private key."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The private key of a PEM text; raises ValueError when it is not one on P-256."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("the private key has a passphrase or is of an unknown kind") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the private key is not on the curve P-256")
    return key


def make_request(key_pem: bytes, principal: Principal) -> bytes:
    """A certificate request (PEM) that proves possession of the key.

    The principal in it is for whoever looks at the request; the signer does not believe it.
    """
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, principal.name)])
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(principal.uri)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    request = builder.add_extension(names, critical=False).sign(load_key(key_pem), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def read_request(pem: bytes) -> KeyRequest:
    """The key that a certificate request proves to hold; raises RequestInvalid."""
    if len(pem) > REQUEST_BYTES_MAX:
        raise RequestInvalid(f"the request is larger than {REQUEST_BYTES_MAX} bytes")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise RequestInvalid("it is not a certificate request in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RequestInvalid("its key is not an elliptic-curve key on P-256")
    if not proven:
        raise RequestInvalid("it is not signed by the key that it names")
    der = public_der(key)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return KeyRequest(key, digest.finalize().hex(), fingerprint(der))


def public_der(key: ec.EllipticCurvePublicKey) -> bytes:
    """The DER form of a public key, which fingerprints are taken over."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
