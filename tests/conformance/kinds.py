"""The kinds of sites that must keep the same promises, each behind the contract of backends.

A kind says which site of the tests is of it, how to make a backend on it, and how to make
one whose agent dies while it submits. All else in this folder knows none of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

from agent.backends import Backend, NodeShare, RunOrder
from agent.backends.cgroup import NotAllowed, find_cgroups
from agent.backends.process import ProcessBackend
from agent.backends.rundir import RunDirectory
from agent.ray.backend import RayBackend
from agent.ray.client import RayClient
from agent.ray.command import RayPlace, RaySettings
from agent.ray.poll import RayPoll
from agent.slurm.backend import SlurmBackend
from agent.slurm.command import NodePlace, SlurmSettings
from agent.slurm.poll import SlurmPoll
from agent.slurm.read import Slurm
from bench.ray_site import ASCEND as RAY_ASCEND
from bench.ray_site import RaySite
from bench.slurm_site import ASCEND, SlurmSite, environment_of

CARDS_PER_NODE = 2
# Of the agent; of these a job gets PATH and HOME. Python is that of the tests.
AGENT = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
    "HOME": "/root",
    "AGENT_KEY": "hunter2",
}
SITE = {"HF_HUB_OFFLINE": "1"}  # set by the site for every job


class Site(Protocol):
    """A running site. It has two nodes with two free cards each."""

    @property
    def handle(self) -> str:
        """With which `Kind.at` reaches the same site from another process."""

    @property
    def nodes(self) -> tuple[NodeShare, ...]: ...

    @property
    def proves_memory(self) -> bool:
        """Whether a job that takes more memory than it may is told so."""

    def backend(self, state: Path) -> Backend:
        """Not opened yet; its runs lie under `state`."""

    def dying(self, state: Path, accepted: bool) -> Backend:
        """One whose agent dies by SIGKILL as it submits: before the run is accepted, or after."""


@dataclass(frozen=True, slots=True)
class Kind:
    fixture: str  # of all tests, that is such a site; "": it needs none
    on: Callable[[Any], Site]  # what the fixture gives
    at: Callable[[str], Site]
    dear: bool = False  # a run takes seconds of processor time to begin
    lease_seconds: float = 6.0  # in which a run begins, also on a busy machine


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it lives on")


# --- processes of this machine ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProcessSite:
    handle: str = ""

    @property
    def proves_memory(self) -> bool:
        try:
            return bool(find_cgroups(Path(tempfile.gettempdir())))
        except NotAllowed:
            return False

    @property
    def nodes(self) -> tuple[NodeShare, ...]:
        return tuple(NodeShare(f"n{i}", "127.0.0.1", (2 * i, 2 * i + 1)) for i in range(2))

    def backend(self, state: Path) -> Backend:
        return ProcessBackend(state, AGENT, SITE)

    def dying(self, state: Path, accepted: bool) -> Backend:
        dying = _DyingAfter if accepted else _DyingBefore
        return dying(state, AGENT, SITE)


class _DyingBefore(ProcessBackend):
    def _lay_out(self, order: RunOrder, deadline: float, port: int) -> RunDirectory:
        super()._lay_out(order, deadline, port)
        die()


class _DyingAfter(ProcessBackend):
    def _launch(self, order: RunOrder, deadline: float, port: int) -> NoReturn:
        _, fence = super()._launch(order, deadline, port)
        assert fence.stdout is not None
        fence.stdout.read()  # it closes its output once it has taken the run
        die()


# --- Slurm ------------------------------------------------------------------------------

_POLL_SECONDS = 0.5  # an operator's is 30


@dataclass(frozen=True, slots=True)
class SlurmKindSite:
    handle: str  # its slurm.conf
    proves_memory: bool = False  # it has no cgroups here, so Slurm proves nothing

    @property
    def nodes(self) -> tuple[NodeShare, ...]:
        return tuple(NodeShare(name, "127.0.0.1", (0, 1)) for name in ASCEND.names)

    def backend(self, state: Path) -> Backend:
        return self._on(Slurm(self._environment), state)

    def dying(self, state: Path, accepted: bool) -> Backend:
        return self._on(_DyingSlurm(self._environment, accepted), state)

    @property
    def _environment(self) -> Mapping[str, str]:
        return environment_of(Path(self.handle))

    def _on(self, slurm: Slurm, state: Path) -> Backend:
        place = NodePlace("ascend", "npu:910b", seconds_max=259200.0)
        settings = SlurmSettings(dict.fromkeys(ASCEND.names, place), python=sys.executable)
        poll = SlurmPoll(slurm, _POLL_SECONDS)
        return SlurmBackend(state, AGENT, SITE, lambda: settings, poll)


class _DyingSlurm(Slurm):
    def __init__(self, environment: Mapping[str, str], accepted: bool) -> None:
        super().__init__(environment)
        self._accepted = accepted

    async def call(self, tool: str, *arguments: str, text: bytes = b"") -> str:
        if tool != "sbatch":
            return await super().call(tool, *arguments, text=text)
        if self._accepted:
            await super().call(tool, *arguments, text=text)
        die()


def _on_slurm(slurm: SlurmSite) -> Site:
    return SlurmKindSite(str(slurm.conf))


# --- Ray --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RayKindSite:
    handle: str  # JSON: the address of its head, and its own names of the nodes, by ours
    proves_memory: bool = False

    @property
    def nodes(self) -> tuple[NodeShare, ...]:
        return tuple(NodeShare(name, "127.0.0.1", (0, 1)) for name in RAY_ASCEND.names)

    def backend(self, state: Path) -> Backend:
        return self._on(RayClient(self._address), state)

    def dying(self, state: Path, accepted: bool) -> Backend:
        return self._on(_DyingRay(self._address, accepted), state)

    @property
    def _address(self) -> str:
        return str(json.loads(self.handle)["address"])

    def _on(self, client: RayClient, state: Path) -> Backend:
        numbers = json.loads(self.handle)["nodes"]
        places = {name: RayPlace(number, "NPU") for name, number in numbers.items()}
        settings = RaySettings(places, sys.executable, version=(2, 60))
        return RayBackend(state, AGENT, SITE, lambda: settings, RayPoll(client, _POLL_SECONDS))


class _DyingRay(RayClient):
    def __init__(self, address: str, accepted: bool) -> None:
        super().__init__(address)
        self._accepted = accepted

    async def submit(self, request: Mapping[str, Any]) -> None:
        if self._accepted:
            await super().submit(request)
        die()


def _on_ray(ray: RaySite) -> Site:
    found = ray.call("GET", "/api/v0/nodes?detail=1&limit=1000")["data"]["result"]["result"]
    nodes = {node["node_name"]: node["node_id"] for node in found if node["state"] == "ALIVE"}
    return RayKindSite(json.dumps({"address": ray.address, "nodes": nodes}))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "process": Kind("", lambda _: ProcessSite(), ProcessSite),
        "slurm": Kind("slurm_site", _on_slurm, SlurmKindSite),
        "ray": Kind("ray_site", _on_ray, RayKindSite, dear=True, lease_seconds=30.0),
    }
)
