"""A real etcd on this machine: nodes with TLS or without, that can be killed and stopped.

The only place where one is started: for tests, for benchmarks and for the example of two
brokers (`deploy/examples/failover`).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.federation import Daemon, wait_until
from bench.ports import free_ports
from broker.store import StoreError
from broker.store.etcd import EtcdSettings
from broker.store.etcd.connection import Cluster, Connection
from broker.store.etcd.loader import messages

NODES = 3
CERTIFICATES = Path(__file__).parents[1] / "deploy/examples/failover/certificates.sh"
HOST = "127.0.0.1"


def etcd_is_installed() -> bool:
    return shutil.which("etcd") is not None


@dataclass(frozen=True, slots=True)
class Keys:
    """The PEM files that `certificates.sh` leaves in a folder."""

    folder: Path

    @property
    def files(self) -> dict[str, Path]:
        """What a broker needs, as `EtcdSettings` calls it."""
        names = {"ca_file": "ca.pem", "certificate_file": "broker.pem", "key_file": "broker.key"}
        return {field: self.folder / name for field, name in names.items()}

    @property
    def options(self) -> dict[str, Path]:
        """What a node needs, for brokers and for the other nodes."""
        files = {"cert-file": "node.pem", "key-file": "node.key", "trusted-ca-file": "ca.pem"}
        own = {option: self.folder / name for option, name in files.items()}
        return own | {f"peer-{option}": path for option, path in own.items()}


def make_keys(folder: Path) -> Keys:
    """An authority with certificates for nodes on loopback and for brokers."""
    subprocess.run([str(CERTIFICATES), str(folder), f"IP:{HOST}"], check=True)
    return Keys(folder)


def node_commands(folder: Path, ports: Sequence[int], keys: Keys | None) -> dict[str, list[str]]:
    """The command of each node by its name; `ports`: those for clients, then those for peers."""
    scheme = "https" if keys else "http"
    urls, count = [f"{scheme}://{HOST}:{port}" for port in ports], len(ports) // 2
    pairs = zip(urls[:count], urls[count:], strict=True)
    nodes = {f"etcd-{number}": pair for number, pair in enumerate(pairs)}
    words: dict[str, object] = {
        "initial-cluster": ",".join(f"{name}={peer}" for name, (_, peer) in nodes.items()),
        "initial-cluster-token": folder,
        "log-level": "warn",
        **(keys.options if keys else {}),
    }
    tls = ["--client-cert-auth", "--peer-client-cert-auth"] if keys else []
    commands = {}
    for name, (client, peer) in nodes.items():
        own: dict[str, object] = {
            "name": name,
            "data-dir": folder / name,
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
        }
        options = [f"--{option}={value}" for option, value in (own | words).items()]
        commands[name] = ["etcd", *options, *tls]
    return commands


class Etcd:
    """A cluster in `folder`, on free ports. `start`, then `stop`; both keep its data.

    `more`: options of each node beside its own.
    """

    def __init__(
        self, folder: Path, nodes: int = NODES, keys: Keys | None = None, more: Sequence[str] = ()
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        ports = free_ports(2 * nodes)
        scheme = "https://" if keys else ""
        self.keys = keys
        self.endpoints = tuple(f"{scheme}{HOST}:{port}" for port in ports[:nodes])
        self.nodes = [
            Daemon(name, [*command, *more], folder)
            for name, command in node_commands(folder, ports, keys).items()
        ]

    @property
    def section(self) -> dict[str, Any]:
        """`etcd:` of broker.yaml."""
        files = self.keys.files if self.keys else {}
        own = {field.removesuffix("_file"): str(path) for field, path in files.items()}
        return {"endpoints": list(self.endpoints)} | own

    def settings(self, federation: str, **more: Any) -> EtcdSettings:
        """How the store is told of it; `more` wins."""
        files = self.keys.files if self.keys else {}
        known: dict[str, Any] = {"endpoints": self.endpoints, "federation": federation}
        return EtcdSettings(**(known | files | more))

    def start(self) -> None:
        """Start what does not run, and wait until each node serves."""
        for node in self.nodes:
            if not node.running():
                node.start()
        self.wait()

    def wait(self) -> None:
        """Until each node that runs knows a leader. Raises TimeoutError, RuntimeError."""
        connection = Connection(self.settings("any"), Cluster())
        try:
            for index, node in enumerate(self.nodes):
                if node.running():
                    wait_until(partial(self._serves, connection, index), f"{node.name} to serve")
        finally:
            connection.close()

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    def _serves(self, connection: Connection, index: int) -> bool:
        self.nodes[index].require_running()
        try:
            connection.call("KV.Range", messages().RangeRequest(key=b"0"), at=index)
        except StoreError:
            return False
        return True
