"""A real etcd on this machine: nodes with TLS, each a process that can be killed and stopped."""

from __future__ import annotations

import shutil
import socket
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from bench.federation import Daemon, wait_until

NODES = 3
CERTIFICATES = Path(__file__).parents[1] / "deploy/examples/failover/certificates.sh"
HOST = "127.0.0.1"


def etcd_is_installed() -> bool:
    return all(shutil.which(program) for program in ("etcd", "etcdctl"))


class Etcd:
    """A cluster in `folder`, on free ports of loopback. `start`, then `stop`."""

    def __init__(self, folder: Path, nodes: int = NODES) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True)
        keys = folder / "keys"
        subprocess.run([str(CERTIFICATES), str(keys), f"IP:{HOST}"], check=True)
        ports = free_ports(2 * nodes)
        peers = {f"etcd-{i}": f"https://{HOST}:{port}" for i, port in enumerate(ports[nodes:])}
        self.endpoints = [f"https://{HOST}:{port}" for port in ports[:nodes]]
        self.nodes = [
            Daemon(name, self._command(name, client, peers), folder)
            for name, client in zip(peers, self.endpoints, strict=True)
        ]

    @property
    def section(self) -> dict[str, Any]:
        """`etcd:` of broker.yaml."""
        keys = self.folder / "keys"
        return {
            "endpoints": self.endpoints,
            "ca": str(keys / "ca.pem"),
            "certificate": str(keys / "broker.pem"),
            "key": str(keys / "broker.key"),
        }

    def start(self) -> None:
        """Start what does not run, and wait until each node serves."""
        for node in self.nodes:
            if not node.running():
                node.start()
        for endpoint in self.endpoints:
            wait_until(partial(self._healthy, endpoint), f"etcd at {endpoint}")

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    def _healthy(self, endpoint: str) -> bool:
        for node in self.nodes:
            node.require_running()
        keys = self.folder / "keys"
        files = ("--cacert", keys / "ca.pem", "--cert", keys / "broker.pem", "--key")
        command = ["etcdctl", "--endpoints", endpoint, *map(str, files), str(keys / "broker.key")]
        said = subprocess.run(
            [*command, "endpoint", "health"], capture_output=True, env={"ETCDCTL_API": "3"}
        )
        return said.returncode == 0

    def _command(self, name: str, client: str, peers: dict[str, str]) -> list[str]:
        keys = self.folder / "keys"
        cluster = ",".join(f"{peer}={url}" for peer, url in peers.items())
        words = {
            "name": name,
            "data-dir": self.folder / name,
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peers[name],
            "initial-advertise-peer-urls": peers[name],
            "initial-cluster": cluster,
            "cert-file": keys / "node.pem",
            "key-file": keys / "node.key",
            "trusted-ca-file": keys / "ca.pem",
            "peer-cert-file": keys / "node.pem",
            "peer-key-file": keys / "node.key",
            "peer-trusted-ca-file": keys / "ca.pem",
            "log-level": "warn",
        }
        options = [f"--{option}={value}" for option, value in words.items()]
        return ["etcd", *options, "--client-cert-auth", "--peer-client-cert-auth"]


def free_ports(count: int) -> list[int]:
    """Ports that are free now, and until somebody else takes them."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
