"""Channels to the broker: mutual TLS with an identity, or server-authenticated to join.

A peer is taken for a broker when its certificate comes from the federation's authority, is
one for TLS servers and names the host that was dialled: the authority issues such
certificates to brokers only. The limits that both ends share stand here.
"""

import os
from typing import Final

import grpc
import grpc.aio

from suan.brokers import Brokers
from suan.identity.address import host_of, is_loopback, split_addresses
from suan.identity.diagnosis import diagnose as diagnose
from suan.identity.directory import load_identity, require_in_force

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
# Between pings, and for their answer: a dead path is noticed within the sum of both.
KEEPALIVE_SECONDS: Final = 2.5
KEEPALIVE_TIMEOUT_SECONDS: Final = 5.0
RECONNECT_SECONDS: Final = 0.2  # first pause after a failed connection
RECONNECT_SECONDS_MAX: Final = 1.0
# gRPC gives up a connection attempt after its "minimum backoff": TCP and TLS over a slow
# line must fit.
CONNECT_SECONDS_MAX: Final = 5.0

Options = tuple[tuple[str, int], ...]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


MESSAGE_OPTIONS: Final[Options] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
)
KEEPALIVE_OPTIONS: Final[Options] = (
    ("grpc.keepalive_time_ms", _milliseconds(KEEPALIVE_SECONDS)),
    ("grpc.keepalive_timeout_ms", _milliseconds(KEEPALIVE_TIMEOUT_SECONDS)),
    # Without it gRPC waits a minute for the answer to a ping that it could send.
    ("grpc.http2.ping_timeout_ms", _milliseconds(KEEPALIVE_TIMEOUT_SECONDS)),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
CHANNEL_OPTIONS: Final[Options] = (
    *MESSAGE_OPTIONS,
    *KEEPALIVE_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", _milliseconds(RECONNECT_SECONDS)),
    ("grpc.max_reconnect_backoff_ms", _milliseconds(RECONNECT_SECONDS_MAX)),
    ("grpc.min_reconnect_backoff_ms", _milliseconds(CONNECT_SECONDS_MAX)),
)


def secure_channel(address: str, identity_directory: str | os.PathLike[str]) -> grpc.aio.Channel:
    """A channel to the broker at HOST:PORT as the principal in `identity_directory`.

    Connects at the first call. Raises InvalidRequest (AddressInvalid) and Unauthenticated
    (IdentityMissing, IdentityMalformed, KeyExposed, CertificateExpired,
    CertificateNotYetValid). A renewed certificate needs a new channel.
    """
    options = _options(address)
    identity = load_identity(identity_directory)
    require_in_force(identity.certificate)
    credentials = grpc.ssl_channel_credentials(
        identity.ca_pem, identity.key_pem, identity.certificate_pem
    )
    return grpc.aio.secure_channel(address, credentials, options)


def secure_channels(addresses: str, identity_directory: str | os.PathLike[str]) -> Brokers:
    """Channels to each HOST:PORT of a list with commas, as one. Raises as `secure_channel`."""
    return Brokers(
        [secure_channel(address, identity_directory) for address in split_addresses(addresses)]
    )


def join_channels(addresses: str, ca_pem: bytes) -> Brokers:
    """The same to join ports; see `join_channel`."""
    return Brokers([join_channel(address, ca_pem) for address in split_addresses(addresses)])


def join_channel(address: str, ca_pem: bytes) -> grpc.aio.Channel:
    """A channel to a join port: the broker proves who it is, the caller has no identity yet."""
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca_pem), _options(address))


def _options(address: str) -> Options:
    """A proxy named in the environment is a site's way out, but not to this very machine."""
    loopback = is_loopback(host_of(address))
    return (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0)) if loopback else CHANNEL_OPTIONS
