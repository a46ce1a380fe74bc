"""Real etcd nodes on loopback, one or three, each with its own directory and free ports."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from support_core import parse_spec

from broker.store.etcd import EtcdSettings, EtcdStore
from broker.store.etcd.loader import messages, stub

START_SECONDS = 30.0
Open = Callable[[EtcdSettings], EtcdStore]


@dataclass(frozen=True)
class Certificates:
    """PEM files: of the authority, of the nodes and of a broker."""

    ca: Path
    node: Path
    node_key: Path
    broker: Path
    broker_key: Path


@dataclass
class Node:
    """One etcd process. `stop` and `start` keep its data."""

    name: str
    directory: Path
    client: str
    peer: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.directory.mkdir(exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(self.arguments, stdout=log, stderr=log)

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@dataclass
class Etcd:
    """A cluster that serves."""

    nodes: list[Node]
    tls: Certificates | None = None
    federations: int = 0

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(node.client for node in self.nodes)

    def settings(self, **more: object) -> EtcdSettings:
        """Settings of a federation that nobody has used before, unless it is named."""
        if "federation" not in more:
            self.federations += 1
            more["federation"] = f"f{self.federations}"
        if self.tls is not None:
            more = {
                "ca_file": self.tls.ca,
                "certificate_file": self.tls.broker,
                "key_file": self.tls.broker_key,
            } | more
        return EtcdSettings(**({"endpoints": self.endpoints} | more))  # type: ignore[arg-type]

    def raw(self) -> Raw:
        return Raw(self)

    def end_lead(self, settings: EtcdSettings) -> None:
        """End the lease of whoever leads, as when it was silent for too long."""
        raw = self.raw()
        key = settings.prefix + b"leader"
        (leader,) = raw.kv.Range(messages().RangeRequest(key=key), timeout=5.0).kvs
        raw.lease.LeaseRevoke(messages().LeaseRevokeRequest(ID=leader.lease), timeout=5.0)
        raw.close()

    def start(self) -> None:
        for node in self.nodes:
            if node.process is None:
                node.start()
        self.wait()

    def wait(self) -> None:
        """Until each node that runs knows a leader."""
        for number, node in enumerate(self.nodes):
            if node.process is not None:
                self._wait_for(number)

    def _wait_for(self, number: int) -> None:
        wire, end = messages(), time.monotonic() + START_SECONDS
        raw = self.raw()
        try:
            kv = stub(raw.channels[number], "KV")
            while True:
                try:
                    kv.Range(wire.RangeRequest(key=b"0"), timeout=2.0)
                    return
                except grpc.RpcError:
                    node = self.nodes[number]
                    assert node.process is not None
                    log = (node.directory / "log").read_text()[-2_000:]
                    assert node.process.poll() is None, log
                    assert time.monotonic() < end, log
        finally:
            raw.close()

    def leader(self) -> Node:
        """The node that leads among the nodes."""
        raw = self.raw()
        try:
            for node, channel in zip(self.nodes, raw.channels, strict=True):
                if node.process is None:
                    continue
                status = stub(channel, "Maintenance").Status(
                    messages().StatusRequest(), timeout=5.0
                )
                if status.leader == status.header.member_id:
                    return node
        finally:
            raw.close()
        raise AssertionError("no node leads")

    def end(self) -> None:
        for node in self.nodes:
            node.stop()


class Raw:
    """etcd's own interface, for looking and for doing harm behind the store's back."""

    def __init__(self, etcd: Etcd) -> None:
        self.channels = [self._open(etcd, endpoint) for endpoint in etcd.endpoints]
        self.kv = stub(self.channels[0], "KV")
        self.lease = stub(self.channels[0], "Lease")
        self.maintenance = stub(self.channels[0], "Maintenance")

    @staticmethod
    def _open(etcd: Etcd, endpoint: str) -> grpc.Channel:
        options = [
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 50),
            ("grpc.max_receive_message_length", 64 << 20),
        ]
        if etcd.tls is None:
            return grpc.insecure_channel(endpoint, options)
        files = etcd.tls.ca, etcd.tls.broker_key, etcd.tls.broker
        parts = [path.read_bytes() for path in files]
        address = endpoint.removeprefix("https://")
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(*parts), options)

    def put(self, key: bytes, value: bytes) -> None:
        self.kv.Put(messages().PutRequest(key=key, value=value), timeout=5.0)

    def delete(self, key: bytes, end: bytes = b"") -> None:
        request = messages().DeleteRangeRequest(key=key, range_end=end)
        self.kv.DeleteRange(request, timeout=5.0)

    def pairs(self, prefix: bytes) -> dict[bytes, bytes]:
        end = prefix[:-1] + bytes((prefix[-1] + 1,))
        request = messages().RangeRequest(key=prefix, range_end=end)
        return {pair.key: pair.value for pair in self.kv.Range(request, timeout=5.0).kvs}

    def close(self) -> None:
        for channel in self.channels:
            channel.close()


@contextmanager
def open_stores() -> Iterator[Open]:
    """Opens stores, and closes them at the end."""
    with ExitStack() as stack:

        def open_one(settings: EtcdSettings) -> EtcdStore:
            store = EtcdStore(settings, parse_spec)
            stack.callback(store.close)
            return store

        yield open_one


def start_writer(settings: EtcdSettings, rows: int, crash: str = "") -> subprocess.Popen[str]:
    """A broker in a process of its own that leads and commits; see support_etcd_writer."""
    script = Path(__file__).with_name("support_etcd_writer.py")
    words = [",".join(settings.endpoints), settings.federation, rows]
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"SUAN_CRASH_POINT": crash},
    )


def make_certificates(directory: Path) -> Certificates:
    """An authority for one etcd, a certificate for its nodes and one for the brokers."""
    root, root_key = _certificate(directory / "ca", None)
    node, node_key = _certificate(directory / "node", (root, root_key))
    broker, broker_key = _certificate(directory / "broker", (root, root_key))
    return Certificates(root, node, node_key, broker, broker_key)


def _certificate(stem: Path, issuer: tuple[Path, Path] | None) -> tuple[Path, Path]:
    """Writes PEM files; without an issuer it signs itself and may sign others."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem.name)])
    issuer_name, issuer_key = name, key
    if issuer is not None:
        issuer_name = x509.load_pem_x509_certificate(issuer[0].read_bytes()).subject
        loaded = serialization.load_pem_private_key(issuer[1].read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        issuer_key = loaded
    now = datetime.now(UTC)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    stem.parent.mkdir(parents=True, exist_ok=True)
    certificate, key_file = stem.with_suffix(".pem"), stem.with_suffix(".key")
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, key_file


def require_etcd() -> None:
    """Skip the test, with a clear word, where etcd is not installed."""
    if shutil.which("etcd") is None:
        pytest.skip("needs etcd: deploy/servers.sh installs it")


@contextmanager
def running_etcd(
    directory: Path, nodes: int = 1, tls: Certificates | None = None, extra: tuple[str, ...] = ()
) -> Iterator[Etcd]:
    """A cluster that serves, ended by pid afterwards."""
    require_etcd()
    etcd = Etcd(_nodes(directory, nodes, tls, extra), tls)
    try:
        etcd.start()
        yield etcd
    finally:
        etcd.end()


def _nodes(
    directory: Path, count: int, tls: Certificates | None, extra: tuple[str, ...]
) -> list[Node]:
    ports = _free_ports(2 * count)
    scheme = "https" if tls else "http"
    names = [f"n{number}" for number in range(count)]
    peers = [f"http://127.0.0.1:{port}" for port in ports[count:]]
    cluster = ",".join(f"{name}={peer}" for name, peer in zip(names, peers, strict=True))
    made = []
    for name, port, peer in zip(names, ports, peers, strict=False):
        client = f"{scheme}://127.0.0.1:{port}"
        arguments = [
            "etcd",
            *("--name", name, "--data-dir", str(directory / name / "data")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", cluster, "--initial-cluster-token", str(directory)),
            *("--heartbeat-interval", "50", "--election-timeout", "500"),
            *("--log-level", "error"),
            *extra,
        ]
        if tls:
            arguments += ["--cert-file", str(tls.node), "--key-file", str(tls.node_key)]
            arguments += ["--trusted-ca-file", str(tls.ca), "--client-cert-auth"]
        endpoint = client if tls else f"127.0.0.1:{port}"
        made.append(Node(name, directory / name, endpoint, peer, arguments))
    return made


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, and for the moment until etcd takes them."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
