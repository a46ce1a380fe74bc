"""A real Ray cluster on loopback, for tests and benchmarks: a head with its job server, raylets.

    with running_ray(folder) as site: ...      # site.address is what agent.yaml's ray.address is

Its own directory, ports that were free, nothing beyond loopback; nothing of another Ray on this
machine is read or changed. The raylets are children of one process, which is this module run as
a program: `ray` is imported there and not here. The resources are counts without hardware
behind them, which Ray takes as it takes those of cards.

    python -m bench.ray_site DIRECTORY PORT

reads one command a line (JSON) from its input, answers each with a line, and ends with its input.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.federation import wait_until
from bench.ports import free_ports
from bench.slurm_site import end_processes

START_SECONDS_MAX = 120.0  # on a busy machine the head alone takes half a minute
END_SECONDS_MAX = 30.0
OBJECT_STORE_BYTES = 80 * 1024 * 1024  # the least that Ray takes
MARK = "SUAN_RAY_SITE"  # in the environment of every process of a site: its directory
# Read by ray when it is imported; see broker/ray_settings.py.
LOOPBACK = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_worker_niceness": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    # A dead node is known to be dead after some seconds, not after half a minute.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


@dataclass(frozen=True, slots=True)
class RayNodes:
    """Nodes of one shape."""

    prefix: str
    count: int
    resources: Mapping[str, float]
    cpus: int = 16
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}{number}" for number in range(1, self.count + 1))


ASCEND = RayNodes("npu", 2, {"NPU": 8, "accelerator_type:Ascend910B3": 1}, labels={"rack": "r1"})
HYGON = RayNodes("dcu", 1, {"DCU": 4})  # the head is this one


def missing_packages() -> tuple[str, ...]:
    """What a Ray with a job server needs and this environment lacks."""
    wanted = ("ray", "aiohttp", "aiohttp_cors", "opencensus", "virtualenv")
    return tuple(name for name in wanted if importlib.util.find_spec(name) is None)


class RaySite:
    """One running Ray. The first node of all is its head."""

    def __init__(self, directory: Path, nodes: Sequence[RayNodes] = (HYGON, ASCEND)) -> None:
        self.directory = directory
        self.nodes = tuple(nodes)
        (port,) = free_ports(1)
        self.address = f"http://127.0.0.1:{port}"
        self._port = port
        self._place = ""  # Ray's own files: names of sockets are short
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """All nodes; returns once every one of them is known."""
        self.directory.mkdir(parents=True)
        self._place = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        with (self.directory / "ray.log").open("ab") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "bench.ray_site", self._place, str(self._port)),
                cwd=Path(__file__).parents[1],
                env={**os.environ, **LOOPBACK, MARK: str(self.directory)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        for nodes in self.nodes:
            for name in nodes.names:
                self._say(do="start", name=name, **asdict(nodes))
        for nodes in self.nodes:
            for _ in nodes.names:
                self._hear()
        self.wait_alive({name for nodes in self.nodes for name in nodes.names})

    def wait_alive(self, names: set[str]) -> None:
        """Until these nodes and no others live, and jobs are taken."""
        wait_until(lambda: self._alive() == names, f"{names} to live", START_SECONDS_MAX)

    def start_node(self, name: str) -> None:
        (nodes,) = (nodes for nodes in self.nodes if name in nodes.names)
        self._say(do="start", name=name, **asdict(nodes))
        self._hear()

    def kill_node(self, name: str) -> None:
        """SIGKILL to the raylet and all of Ray there; what it had started may live on."""
        self._say(do="kill", name=name)
        self._hear()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What the head's server answers, which must be a success."""
        request = urllib.request.Request(
            self.address + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=END_SECONDS_MAX) as answer:
            return json.loads(answer.read())

    def jobs(self) -> dict[str, str]:
        """The states of all submissions, by their names."""
        jobs = self.call("GET", "/api/jobs/")
        return {job["submission_id"]: job["status"] for job in jobs if job["submission_id"]}

    def log(self) -> str:
        path = self.directory / "ray.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """End everything, and see that nothing is left."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            end_processes(f"{MARK}={self.directory}")
        shutil.rmtree(self._place, ignore_errors=True)

    def _alive(self) -> set[str]:
        """The nodes that live and of which Ray knows what is in use."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = self.call("GET", "/api/v0/nodes?detail=1&limit=1000")["data"]["result"]
            status = self.call("GET", "/api/cluster_status")["data"]["clusterStatus"]
            used = status["loadMetricsReport"]["usageByNode"]
            living = (node for node in found["result"] if node["state"] == "ALIVE")
            return {node["node_name"] for node in living if node["node_id"] in used}
        return set()

    def _say(self, **command: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == "done\n", f"{said!r}: {self.log()[-4000:]}"


@contextlib.contextmanager
def running_ray(directory: Path, nodes: Sequence[RayNodes] = (HYGON, ASCEND)) -> Iterator[RaySite]:
    """A Ray for the length of a block; ended also where its start fails."""
    site = RaySite(directory, nodes)
    try:
        site.start()
        yield site
    finally:
        site.close()


# --- the process that the raylets are children of ------------------------------------


class _Raylets:
    """Nodes of one Ray, by name."""

    def __init__(self, place: str, port: int) -> None:
        self._place = place
        self._port = port
        self._head: Any = None
        self._nodes: dict[str, Any] = {}

    def start(self, name: str, resources: Mapping[str, float], cpus: int, labels: Any) -> None:
        from ray._private.node import Node
        from ray._private.parameter import RayParams
        from ray._private.utils import write_ray_address

        given: dict[str, Any] = {
            "node_name": name,
            "num_cpus": cpus,
            "num_gpus": 0,
            "resources": dict(resources),
            "labels": dict(labels),
            "object_store_memory": OBJECT_STORE_BYTES,
            "min_worker_port": 0,
            "max_worker_port": 0,
            "temp_dir": self._place,
            "include_log_monitor": False,
            "dashboard_agent_listen_port": 0,
        }
        first = self._head is None
        if first:
            given |= {
                "include_dashboard": True,
                "dashboard_host": "127.0.0.1",
                "dashboard_port": self._port,
            }
        else:
            given |= {
                "gcs_address": self._head.gcs_address,
                "redis_address": self._head.redis_address,
                "node_manager_port": 0,
            }
        node = Node(RayParams(**given), head=first, shutdown_at_exit=True, spawn_reaper=True)
        if first:
            self._head = node
            write_ray_address(node.gcs_address, self._place)  # for drivers with "auto"
        self._nodes[name] = node

    def kill(self, name: str) -> None:
        node = self._nodes.pop(name)
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)

    def close(self) -> None:
        for name in reversed(tuple(self._nodes)):
            self.kill(name)


def _serve(place: str, port: int) -> None:
    raylets, answers = _Raylets(place, port), sys.stdout
    sys.stdout = sys.stderr  # what ray prints
    began = time.monotonic()
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "start":
            wanted = ("name", "resources", "cpus", "labels")
            raylets.start(**{key: command[key] for key in wanted})
        else:
            raylets.kill(command["name"])
        print(f"{command} after {time.monotonic() - began:.1f} s", file=sys.stderr)
        print("done", file=answers, flush=True)
    raylets.close()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
