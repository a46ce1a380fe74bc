"""A federation with several brokers over one etcd, of which one leads."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.etcd import Etcd, make_keys
from bench.federation import Daemon, Federation, SiteSpec, wait_until
from bench.ports import free_ports

SERVICE = "suan.v1.Jobs"
LOOK_SECONDS = 0.5  # that a broker has to say how it is
_LISTENS = ("listen", "join_listen", "health_listen")  # in broker.yaml


def _addresses() -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports(len(_LISTENS))]


def leads(health_address: str) -> bool:
    """Whether a broker says on its health port that it serves jobs."""
    with grpc.insecure_channel(health_address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            answer = stub.Check(request, timeout=LOOK_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class SeveralBrokers(Federation):
    """As a Federation, with brokers `a`, `b`, … in place of one."""

    def __init__(
        self,
        folder: Path,
        runtime: str = "local",
        limits: Mapping[str, float] | None = None,
        count: int = 2,
        **settings: Any,
    ) -> None:
        self.etcd = Etcd(folder / "etcd", keys=make_keys(folder / "etcd" / "keys"))
        own = {"store": "etcd", "etcd": self.etcd.section}
        super().__init__(folder, runtime, limits, **(own | settings))
        self.brokers = {
            name: Daemon(f"broker-{name}", self._command(name), folder)
            for name in "abcdefgh"[:count]
        }
        self.broker = self.brokers["a"]
        self._listens = {
            name: dict(zip(_LISTENS, _addresses(), strict=True)) for name in self.brokers
        }

    def start_broker(self, **environment: str) -> None:
        """Start etcd and all brokers, and wait until one leads."""
        self.etcd.start()
        for name in self.brokers:
            self.start_one(name, **environment)
        self.await_leader()

    def start_one(self, name: str, **environment: str) -> None:
        """Start a broker, or start it again at its ports, and wait until it stands by."""
        ready = self.folder / f"broker-{name}" / "ready"
        ready.unlink(missing_ok=True)
        own = {"state_dir": f"broker-{name}"} | self._listens[name]
        self._file_of(name).write_text(yaml.safe_dump(self._settings | own))
        daemon = self.brokers[name]
        daemon.start(**environment)

        def standing_by() -> bool:
            daemon.require_running()
            return ready.exists()

        wait_until(standing_by, f"broker {name}")

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to a broker and to all that it started, as to a machine."""
        for pid in self.brokers[name].family():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def leaders(self) -> list[str]:
        """The brokers that say they lead: one, or none for a while."""
        return [
            name for name, daemon in self.brokers.items() if daemon.running() and self._leads(name)
        ]

    def await_leader(self, *others: str) -> str:
        """The broker that leads, once one of the `others` (default: any) does."""
        wanted = set(others or self.brokers)
        (leader,) = wait_until(lambda: wanted.intersection(self.leaders()), "a broker to lead")
        return str(leader)

    def _leads(self, name: str) -> bool:
        return leads(self._listens[name]["health_listen"])

    @property
    def address(self) -> str:
        return ",".join(listen["listen"] for listen in self._listens.values())

    @property
    def join_address(self) -> str:
        return ",".join(listen["join_listen"] for listen in self._listens.values())

    def address_of(self, name: str) -> str:
        return self._listens[name]["listen"]

    def join(self, *sites: SiteSpec) -> None:
        brokers = {"broker": self.address.split(",")}
        super().join(*(replace(site, settings={**site.settings, **brokers}) for site in sites))

    def stop(self) -> None:
        for agent in self.agents.values():
            agent.ask_to_stop()
        for daemon in (*self.agents.values(), *self.brokers.values()):
            daemon.stop()
        self.etcd.stop()

    def _file_of(self, name: str) -> Path:
        return self.folder / f"broker-{name}.yaml"

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "broker", "run", "--config", str(self._file_of(name))]
