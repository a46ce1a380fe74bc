"""A gRPC channel to one etcd endpoint: TLS with our certificate, keepalive, reconnects."""

from __future__ import annotations

from pathlib import Path

import grpc

from broker.store import StoreError
from broker.store.etcd.settings import MIB, EtcdSettings

_OPTIONS = (
    ("grpc.keepalive_time_ms", 6_000),  # etcd takes offence below 5 s
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),  # else 60 s for a node that is stopped, not gone
    ("grpc.http2.max_pings_without_data", 0),  # no limit: a standby sends nothing else
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),  # large commits and the lease share no socket
    ("grpc.enable_http_proxy", 0),
)


def open_channel(endpoint: str, settings: EtcdSettings) -> grpc.Channel:
    """Connects by itself, again and again. Raises StoreError ("StoreFailed") for bad files."""
    received_max = max(4 * MIB, 2 * settings.request_bytes_max + MIB)
    options = [*_OPTIONS, ("grpc.max_receive_message_length", received_max)]
    address = endpoint.removeprefix("https://")
    if settings.ca_file is None:
        return grpc.insecure_channel(address, options)
    credentials = grpc.ssl_channel_credentials(
        content_of(settings.ca_file),
        content_of(settings.key_file),
        content_of(settings.certificate_file),
    )
    return grpc.secure_channel(address, credentials, options)


def content_of(path: Path | None) -> bytes | None:
    """What a file holds. Raises StoreError ("StoreFailed")."""
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise StoreError("StoreFailed", f"{path}: {error.strerror}") from error
