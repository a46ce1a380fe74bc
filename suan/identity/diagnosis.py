"""Why the broker cannot be reached: gRPC says UNAVAILABLE to every failed handshake alike.

Walks the road that a channel walks, one step at a time, with the standard library: own
certificate, name, port, TLS, the broker's certificate, the broker's judgement of ours.
"""

import socket
import ssl
from pathlib import Path
from typing import Final

from suan.errors import SuanError, Unauthenticated, Unavailable
from suan.identity.address import split_address
from suan.identity.directory import (
    CERTIFICATE_FILE,
    KEY_FILE,
    Identity,
    load_identity,
    require_in_force,
)
from suan.identity.principal import Principal, PrincipalInvalid, Role

DIAGNOSIS_SECONDS: Final = 5.0
# The start of every HTTP/2 connection and an empty SETTINGS frame: a server that accepts us
# answers with its own.
_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

# OpenSSL's X509_V_ERR_* numbers.
_NOT_YET_VALID, _EXPIRED, _PURPOSE, _HOST, _IP = 9, 10, 26, 62, 64


def diagnose(
    address: str, identity_directory: str | Path, timeout_seconds: float = DIAGNOSIS_SECONDS
) -> SuanError:
    """The reason why a call to `address` with this identity fails.

    Blocks; each step ends at the timeout.
    Codes, by exit code. 4: IdentityMissing, IdentityMalformed, KeyExposed, CertificateExpired,
    CertificateNotYetValid, CertificateRefused, BrokerNotTrusted, BrokerNameMismatch,
    NotABroker. 5: BrokerUnreachable, BrokerNotTls, BrokerTlsTooOld, BrokerCertificateExpired,
    BrokerCertificateNotYetValid. 2: AddressInvalid.
    """
    try:
        identity = load_identity(identity_directory)
        require_in_force(identity.certificate)
        host, port = split_address(address)
        context = _context(identity, Path(identity_directory).expanduser())
        with _connected(host, port, timeout_seconds) as connection:
            with _handshaken(context, connection, host, address) as session:
                _require_broker(session, identity, address)
                _require_accepted(session, identity, address)
    except SuanError as error:
        return error
    return Unavailable(
        f"the broker at {address} answers now, though it did not before",
        "try again; if it goes on, the broker is overloaded or restarting",
        "BrokerUnreachable",
    )


def _context(identity: Identity, directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=identity.ca_pem.decode())
    context.load_cert_chain(directory / CERTIFICATE_FILE, directory / KEY_FILE, password="")
    context.set_alpn_protocols(["h2"])
    return context


def _connected(host: str, port: int, timeout_seconds: float) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout_seconds)
    except socket.gaierror as error:
        raise Unavailable(
            f"the broker's name {host} is not known: {error.strerror}",
            "check the address (SUAN_ADDRESS, or `suan context show`) and this machine's DNS",
            "BrokerUnreachable",
        ) from error
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror
        raise Unavailable(
            f"nothing answers at {host}:{port}: {reason}",
            "check the address, that the broker runs, and that the firewall lets this out",
            "BrokerUnreachable",
        ) from error


def _handshaken(
    context: ssl.SSLContext, connection: socket.socket, host: str, address: str
) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise _distrust(error, address) from error
    except ssl.SSLError as error:
        raise _no_handshake(error, address) from error
    except TimeoutError as error:
        raise _silent(address) from error
    except OSError as error:
        raise Unavailable(
            f"the connection to {address} broke during the TLS handshake",
            "something between here and the broker ends it: check the port and any proxy",
            "BrokerUnreachable",
        ) from error


def _distrust(error: ssl.SSLCertVerificationError, address: str) -> SuanError:
    clock = "set the clock of this machine, or renew the broker's certificate (`suan admin issue`)"
    match error.verify_code:
        case code if code == _EXPIRED:
            message = f"the certificate of the broker at {address} has expired"
            return Unavailable(message, clock, "BrokerCertificateExpired")
        case code if code == _NOT_YET_VALID:
            message = f"the certificate of the broker at {address} is not valid yet"
            return Unavailable(message, clock, "BrokerCertificateNotYetValid")
        case code if code in (_HOST, _IP):
            return Unauthenticated(
                f"the broker's certificate is not for the name in {address}",
                "use the address that the administrator gave, or issue the broker's "
                "certificate for this one too",
                "BrokerNameMismatch",
            )
        case code if code == _PURPOSE:
            return _not_a_broker(address, "its certificate is not a server's")
    return Unauthenticated(
        f"what answers at {address} is not of this federation: {error.verify_message}",
        "check the address; the identity's ca.pem must be that of the broker's federation",
        "BrokerNotTrusted",
    )


def _no_handshake(error: ssl.SSLError, address: str) -> SuanError:
    reason = error.reason or ""
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return Unavailable(
            f"what answers at {address} does not speak TLS 1.3",
            "check the address; a proxy that opens TLS cannot stand in between",
            "BrokerTlsTooOld",
        )
    return Unavailable(
        f"what answers at {address} does not speak TLS",
        "check the port: this one is plaintext or another service's",
        "BrokerNotTls",
    )


def _require_broker(session: ssl.SSLSocket, identity: Identity, address: str) -> None:
    names = (session.getpeercert() or {}).get("subjectAltName", ())
    uris = " ".join(str(name[1]) for name in names if name[0] == "URI")  # one, or no principal
    try:
        peer = Principal.parse(uris)
    except PrincipalInvalid as error:
        raise _not_a_broker(address, "its certificate names nobody of a federation") from error
    if peer.role is not Role.BROKER or peer.federation != identity.principal.federation:
        raise _not_a_broker(address, f"its certificate is that of {peer}")


def _require_accepted(session: ssl.SSLSocket, identity: Identity, address: str) -> None:
    """In TLS 1.3 the server judges our certificate after the handshake looks done to us."""
    try:
        session.sendall(_HTTP2_PREFACE)
        if session.recv(1):
            return
    except TimeoutError as error:
        raise _silent(address) from error
    except OSError:
        pass  # an alert, a reset or an end mean the same here
    _connected(*split_address(address), DIAGNOSIS_SECONDS).close()  # it has not just died
    raise Unauthenticated(
        f"the broker at {address} refuses the certificate of {identity.principal}",
        "it may be from another authority; ask an administrator for a new one",
        "CertificateRefused",
    )


def _silent(address: str) -> SuanError:
    return Unavailable(
        f"what listens at {address} takes the connection but does not answer",
        "try again; if it goes on, the broker is overloaded or stopped",
        "BrokerUnreachable",
    )


def _not_a_broker(address: str, reason: str) -> SuanError:
    return Unauthenticated(
        f"what answers at {address} is not a broker of this federation: {reason}",
        "check the address, and tell the federation's administrator",
        "NotABroker",
    )
