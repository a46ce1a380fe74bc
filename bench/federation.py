"""A real federation on this machine: broker and agents as processes, throw-away keys.

For benchmarks and end-to-end tests. It uses the installed commands as an administrator
would; what it knows beyond them is how to kill a process. Everything lies in one folder
and listens on loopback.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bench.ports import free_ports
from suan.identity.issue import initialise, issue
from suan.identity.joinfile import JoinFile, write_join_file
from suan.identity.principal import Principal, Role
from suan.sync import Client

FEDERATION = "bench"
START_SECONDS_MAX = 60.0
BROKER_START_SECONDS_MAX = 150.0  # on a busy machine its Ray takes a minute
STOP_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02
COMMANDS = Path(sys.executable).parent


@dataclass(frozen=True)
class SiteSpec:
    """A site to start: `pool` is one pool of agent.yaml; empty where the backend finds them."""

    name: str
    pool: Mapping[str, Any]
    city: str = ""
    backend: str = "process"
    settings: Mapping[str, Any] = field(default_factory=dict)
    enter: tuple[str, ...] = ()  # put before its agent's command, e.g. into another network


ASCEND = {"name": "npu", "accelerator": "ascend-910b", "nodes": 4, "cards_per_node": 8}
DCU = {"name": "dcu", "accelerator": "hygon-bw1000", "nodes": 4, "cards_per_node": 8}
GPU = {"name": "gpu", "accelerator": "nvidia-h20", "nodes": 2, "cards_per_node": 8}
THREE_SITES = (
    SiteSpec("shenzhen", ASCEND),
    SiteSpec("zhengzhou", DCU),
    SiteSpec("guiyang", GPU),
)


def wait_until(condition: Callable[[], Any], what: str, seconds: float = START_SECONDS_MAX) -> Any:
    """The first true answer of `condition`. Raises TimeoutError naming `what`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"waited {seconds:g} s for {what}")


class Daemon:
    """One process of the federation, started again by `start` after `kill`."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PATH": f"{COMMANDS}:{os.environ['PATH']}"} | environment,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def family(self) -> list[int]:
        """The process and all that it started and that still lives."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def require_running(self) -> None:
        if not self.running():
            raise RuntimeError(f"{self.name} ended:\n{self.log.read_text()[-4000:]}")

    def wait(self, seconds: float = STOP_SECONDS_MAX) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As the power does: SIGKILL, and nothing is said."""
        if self.running():
            self.send(signal.SIGKILL)
            self.wait()

    def ask_to_stop(self) -> None:
        if self.running():
            self.send(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM and wait; SIGKILL when it does not end."""
        self.ask_to_stop()
        try:
            if self.running():
                self.wait()
        except subprocess.TimeoutExpired:
            self.kill()


class Federation:
    """Broker, agents and identities under `folder`."""

    def __init__(
        self,
        folder: Path,
        runtime: str = "local",
        limits: Mapping[str, float] | None = None,
        profile: Path | None = None,
        host: str = "127.0.0.1",
        **settings: Any,
    ) -> None:
        self.folder = folder
        self.agents: dict[str, Daemon] = {}
        self._made = initialise(folder / "federation", FEDERATION, [f"{host}:7443"])
        self.admin = self._made.admin
        self.user = self.identity("li.wei", "team-a")
        main, join = free_ports(2)
        self._settings: dict[str, Any] = {
            "state_dir": "broker",
            "identity": str(self._made.broker),
            "ca": str(self._made.authority),
            "listen": f"{host}:{main}",
            "join_listen": f"{host}:{join}",
            "health_listen": "",
            "runtime": runtime,
            "limits": dict(limits or {}),
        } | settings
        self._file = folder / "broker.yaml"
        command = [sys.executable, "-m", "broker", "run", "--config", str(self._file)]
        if profile is not None:
            command[1:1] = ["-m", "cProfile", "-o", str(profile)]
        self.broker = Daemon("broker", command, folder)

    def identity(self, name: str, tenant: str) -> Path:
        """A user's identity directory."""
        place = self.folder / "people" / name
        if not place.exists():
            principal = Principal(FEDERATION, Role.USER, name, tenant=tenant)
            issue(self._made.authority, principal, place)
        return place

    def launch_broker(self, **environment: str) -> None:
        """Start, or start again, and do not wait for anything."""
        (self.folder / "broker" / "ready").unlink(missing_ok=True)
        self._file.write_text(yaml.safe_dump(self._settings))
        self.broker.start(**environment)

    def start_broker(self, **environment: str) -> None:
        """As `launch_broker`, and wait until it serves."""
        self.launch_broker(**environment)
        ready = self.folder / "broker" / "ready"

        def serving() -> bool:
            self.broker.require_running()
            return ready.exists()

        wait_until(serving, "the broker", BROKER_START_SECONDS_MAX)

    @property
    def address(self) -> str:
        return str(self._settings["listen"])

    @property
    def join_address(self) -> str:
        return str(self._settings["join_listen"])

    @contextmanager
    def client(self, identity: Path | None = None) -> Iterator[Client]:
        """A client of the SDK; as the user li.wei of team-a unless told otherwise."""
        with Client.connect(address=self.address, identity=identity or self.user) as client:
            yield client

    def join(self, *sites: SiteSpec) -> None:
        """Let sites join as their operators would, approve them, and start their agents."""
        for site in sites:
            self._join(site)
        with self.client(self.admin) as admin:
            for site in sites:
                self.agents[site.name].require_running()
                wait_until(partial(self._is_open, admin, site.name), f"{site.name} to be open")

    def _is_open(self, admin: Client, site: str) -> bool:
        self.agents[site].require_running()
        return bool(admin.site(site).state == "open")

    def _join(self, site: SiteSpec) -> None:
        place = self.folder / "sites" / site.name
        place.mkdir(parents=True, exist_ok=True)
        with self.client(self.admin) as admin:
            token = admin.create_token(site.name)
            file = place / "join.yaml"
            join = JoinFile(
                federation=FEDERATION,
                site=site.name,
                broker=self.address,
                join=self.join_address,
                expires_at=token.expires_at,
                ca_pem=token.ca_pem.decode(),
                token=token.token,
            )
            write_join_file(file, join)
            joining = Daemon(
                f"join-{site.name}",
                [
                    str(COMMANDS / "suan-agent"),
                    "join",
                    str(file),
                    "--state-dir",
                    str(place / "state"),
                ],
                self.folder,
            )
            joining.start()
            pending = wait_until(
                lambda: [p for p in admin.pending() if p.site == site.name], f"{site.name} to ask"
            )
            admin.approve(site.name, pending[0].fingerprint)
        if joining.wait(START_SECONDS_MAX):
            raise RuntimeError(f"{site.name} did not join:\n{joining.log.read_text()}")
        config = {
            "site": site.name,
            "broker": self.address,
            "state_dir": str(place / "state"),
            "city": site.city or site.name,
            "backend": site.backend,
        } | dict(site.settings)
        if site.pool:
            config["pools"] = [dict(site.pool)]
        (place / "agent.yaml").write_text(yaml.safe_dump(config))
        agent = [str(COMMANDS / "suan-agent"), "-c", str(place / "agent.yaml"), "run"]
        command = [*site.enter, *agent]
        self.agents[site.name] = Daemon(f"agent-{site.name}", command, self.folder)
        self.agents[site.name].start()

    def stop(self) -> None:
        """End every process of the federation, agents first."""
        for agent in self.agents.values():
            agent.ask_to_stop()  # all at once: each takes its time
        for daemon in (*self.agents.values(), self.broker):
            daemon.stop()
