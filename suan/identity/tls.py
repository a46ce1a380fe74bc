"""TLS 1.3 and nothing older, though gRPC for Python has no setting for it.

gRPC neither takes a lowest version nor tells a server which version a peer speaks. It does
take a list of cipher suites, which concerns TLS 1.2 only. Every key of a federation is an
elliptic-curve key, so a list that holds one suite for RSA keys leaves TLS 1.2 without any
suite in common: such a handshake fails and TLS 1.3 is untouched. gRPC reads the list when
it is first imported. So a daemon calls `raise_tls_floor` before that, and proves with
`accepts_tls12` on its own port that it was in time.

Standard library only; must never import grpc.
"""

import os
import socket
import ssl
from types import MappingProxyType
from typing import Final

# For processes whose start is not ours (Ray's workers): put these into their environment.
TLS_ENVIRONMENT: Final = MappingProxyType({"GRPC_SSL_CIPHER_SUITES": "ECDHE-RSA-AES256-GCM-SHA384"})

PROBE_SECONDS: Final = 5.0
_RECORD_HANDSHAKE: Final = 22  # first byte of a TLS record; a refusal is an alert (21) or an end


def raise_tls_floor() -> None:
    """Make gRPC in this process and its children refuse TLS 1.2. Call before importing grpc."""
    os.environ.update(TLS_ENVIRONMENT)


def accepts_tls12(host: str, port: int, timeout_seconds: float = PROBE_SECONDS) -> bool:
    """Whether the TLS server at this address goes on with a client that speaks only TLS 1.2.

    Looks at the server's first answer, before any certificate is asked for. Raises OSError
    when nothing answers.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        hello = outgoing.read()
    with socket.create_connection((host, port), timeout_seconds) as connection:
        connection.sendall(hello)
        try:
            answer = connection.recv(1)
        except ConnectionResetError:
            return False
    return answer == bytes([_RECORD_HANDSHAKE])
