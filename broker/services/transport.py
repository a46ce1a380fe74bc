"""The broker's side of TLS: credentials that follow the files, and the limits of a server.

Knows the identity directory and gRPC's options; nothing of methods and roles.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import grpc

from suan.channel import KEEPALIVE_OPTIONS, MESSAGE_OPTIONS, Options
from suan.errors import InternalError, SuanError, Unauthenticated
from suan.identity.address import split_address
from suan.identity.directory import CERTIFICATE_FILE, Identity, load_identity, require_in_force
from suan.identity.principal import Role
from suan.identity.tls import TLS_ENVIRONMENT, accepts_tls12

log = logging.getLogger(__name__)

# Open connections end after this, so that a renewed or revoked certificate is seen.
CONNECTION_SECONDS_MAX: Final = 3_600
CONNECTION_GRACE_SECONDS: Final = 600  # for the calls that are open then
CONNECTION_IDLE_SECONDS_MAX: Final = 900  # without a call; the client comes again unnoticed
HANDSHAKE_SECONDS_MAX: Final = 10
CONNECTIONS_MAX: Final = 10_000
STREAMS_PER_CONNECTION_MAX: Final = 1_000
# The join port, where nobody has proved who he is.
JOIN_CONNECTION_SECONDS_MAX: Final = 60
JOIN_CONNECTIONS_MAX: Final = 200
JOIN_STREAMS_PER_CONNECTION_MAX: Final = 8
PING_INTERVAL_SECONDS_MIN: Final = 0.5

SERVER_OPTIONS: Final[Options] = (
    *MESSAGE_OPTIONS,
    *KEEPALIVE_OPTIONS,
    ("grpc.max_connection_age_ms", CONNECTION_SECONDS_MAX * 1000),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_SECONDS * 1000),
    ("grpc.max_connection_idle_ms", CONNECTION_IDLE_SECONDS_MAX * 1000),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS_MAX * 1000),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", round(PING_INTERVAL_SECONDS_MIN * 1000)),
    # A stalled line delivers pings in a bunch: that is no reason to hang up.
    ("grpc.http2.max_ping_strikes", 0),
)

# In the place of those of the same name.
JOIN_OPTIONS: Final[Options] = (
    ("grpc.max_connection_age_ms", JOIN_CONNECTION_SECONDS_MAX * 1000),
    ("grpc.max_connection_age_grace_ms", HANDSHAKE_SECONDS_MAX * 1000),
    ("grpc.max_allowed_incoming_connections", JOIN_CONNECTIONS_MAX),
    ("grpc.max_concurrent_streams", JOIN_STREAMS_PER_CONNECTION_MAX),
)


def server_credentials(identity_directory: str | os.PathLike[str]) -> grpc.ServerCredentials:
    """Mutual TLS with the broker's identity; a renewed certificate is taken without a restart.

    Raises Unauthenticated (IdentityMissing, …, CertificateExpired, NotABroker).
    """
    return _credentials(Path(identity_directory), require_client=True)


def join_server_credentials(identity_directory: str | os.PathLike[str]) -> grpc.ServerCredentials:
    """TLS with the broker's identity for callers that have none yet. Raises as above."""
    return _credentials(Path(identity_directory), require_client=False)


async def require_tls_floor(address: str) -> None:
    """Proves on the broker's own open port that TLS 1.2 is refused.

    Raises InternalError (TlsFloorMissing) when it is not, OSError when nothing answers.
    """
    if await asyncio.to_thread(accepts_tls12, *split_address(address)):
        variable, value = next(iter(TLS_ENVIRONMENT.items()))
        raise InternalError(
            f"the port {address} would speak TLS 1.2",
            f"start the broker with {variable}={value} in its environment",
            "TlsFloorMissing",
        )


def load_broker_identity(identity_directory: str | os.PathLike[str]) -> Identity:
    """The identity of a broker, in force. Raises Unauthenticated."""
    identity = load_identity(identity_directory)
    require_in_force(identity.certificate)
    if identity.principal.role is not Role.BROKER:
        raise Unauthenticated(
            f"{identity.principal} in {identity_directory} is not a broker",
            "name the broker's identity directory that `suan admin init` made",
            "NotABroker",
        )
    return identity


class _Renewal:
    """Gives gRPC, which asks before every handshake, the identity again when it has changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen = self._stamp()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            identity = load_broker_identity(self._directory)
        except SuanError as error:  # the old one goes on until the directory is mended
            log.error("kept the old certificate: %s", error)
            return None
        log.info("took the new certificate %s", identity.certificate.fingerprint)
        return _configuration(identity)

    def _stamp(self) -> tuple[int, int]:
        try:
            status = (self._directory / CERTIFICATE_FILE).stat()
        except OSError:
            return (0, 0)
        return (status.st_ino, status.st_mtime_ns)


def _credentials(directory: Path, *, require_client: bool) -> grpc.ServerCredentials:
    renewal = _Renewal(directory)
    configuration = _configuration(load_broker_identity(directory))
    # None, for "as before", is allowed by gRPC but not by its stubs.
    fetch = cast(Callable[[], grpc.ServerCertificateConfiguration], renewal)
    return grpc.dynamic_ssl_server_credentials(configuration, fetch, require_client)


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    pair = (identity.key_pem, identity.certificate_pem)
    return grpc.ssl_server_certificate_configuration([pair], identity.ca_pem)
