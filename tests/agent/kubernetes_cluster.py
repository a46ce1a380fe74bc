"""A small cluster behind the tests' API server: job controllers, a scheduler, kubelets.

The kubelets really run the pods: each container is a process in mount and process namespaces
of its own, which sees of the shared volume what its pod mounts and nothing else, and is the
first process there. What images, cgroups and device plugins do is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubernetes_api import VOLCANO, ApiServer, Json, serving

from agent.kubernetes.pods import ASCEND_CONFIGURATION

STEP_SECONDS = 0.03
_ENTER = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
# $1: a free directory, $2: the shared volume; then part, place and mode of each mount; "--".
_MOUNT = r"""
set -e
stage=$1 shared=$2; shift 2
mount --bind "$shared" "$stage"
mount -t tmpfs tmpfs "$shared"
while [ "$1" != -- ]; do
    mkdir -p "$2"
    mount --bind "$stage/$1" "$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$2"
    shift 3
done
umount "$stage"
shift
exec "$@"
"""


def can_run() -> bool:
    """Whether this machine lets us have namespaces."""
    try:
        command = [*_ENTER, "sh", "-c", 'mount -t tmpfs tmpfs "$1"', "sh", "/mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def node(name: str, cards: int = 8, resource: str = "huawei.com/Ascend910", **more: Any) -> Json:
    amounts = {"cpu": "16", "memory": "64Gi", "pods": "110", resource: str(cards)}
    number = len(name) and ord(name[-1]) % 200
    return {
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "node.kubernetes.io/npu.chip.name": "910B3",
                **more.get("labels", {}),
            },
        },
        "spec": more.get("spec", {}),
        "status": {
            "capacity": amounts,
            "allocatable": {**amounts, **more.get("allocatable", {})},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": f"127.0.0.{number}"}],
        },
    }


class Cluster:
    """The controllers, in steps; each looks at the server's objects and changes them."""

    def __init__(self, server: ApiServer, shared: Path, place: Path) -> None:
        self.server = server
        self.shared = shared
        self.place = place
        self.containers: dict[str, asyncio.subprocess.Process] = {}  # by the pod's uid
        self.lost: set[str] = set()  # nodes that are cut off
        self.paused = False  # no pod gets a node

    async def live(self) -> None:
        while True:
            for collection in ("jobs", f"jobs@{VOLCANO}"):
                for job in tuple(self.server.of(collection).values()):
                    self._control(collection, job)
            if not self.paused:
                self._schedule()
            for pod in tuple(self.server.of("pods").values()):
                if pod["spec"].get("nodeName") not in self.lost:
                    await self._keep(pod)
            await asyncio.sleep(STEP_SECONDS)

    def lose(self, name: str) -> None:
        """Cut a node off, as the node and taint controllers see it after their patience."""
        self.lost.add(name)
        found = copy.deepcopy(self.server.of("nodes")["", name])
        found["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
        self.server.put("nodes", found)
        for pod in tuple(self.server.of("pods").values()):
            if pod["spec"].get("nodeName") == name:
                self.server.let_go(pod, "DeletionByTaintManager")

    def pids(self) -> list[int]:
        """The containers' first processes, as this machine numbers them."""
        return [pid for each in self.containers.values() if (pid := _first(each.pid))]

    async def close(self) -> None:
        for process in self.containers.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    # --- controllers ------------------------------------------------------------------

    def _control(self, collection: str, job: Json) -> None:
        uid, name = job["metadata"]["uid"], job["metadata"]["name"]
        mine = [
            pod
            for pod in self.server.of("pods").values()
            if any(o["uid"] == uid for o in pod["metadata"].get("ownerReferences", ()))
        ]
        if not mine and not job.get("status"):
            spec = job["spec"]
            task = spec["tasks"][0] if "tasks" in spec else spec
            for index in range(task.get("replicas") or task["parallelism"]):
                self._make(job, task["template"], index, name)
            self.server.put(collection, {**job, "status": {"active": 1}})
        failed = [pod for pod in mine if pod["status"]["phase"] == "Failed"]
        if failed and collection == "jobs":  # backoffLimit 0: the others are ended
            for pod in mine:
                if pod["status"]["phase"] not in ("Failed", "Succeeded"):
                    self.server.let_go(pod)

    def _make(self, job: Json, template: Json, index: int, name: str) -> None:
        metadata = copy.deepcopy(template["metadata"])
        metadata["annotations"]["batch.kubernetes.io/job-completion-index"] = str(index)
        owner = {"apiVersion": job["apiVersion"], "kind": "Job", "name": name, "controller": True}
        self.server.put(
            "pods",
            {
                "metadata": {
                    **metadata,
                    "name": f"{name}-{index}-{secrets.token_hex(3)}",
                    "namespace": job["metadata"]["namespace"],
                    "ownerReferences": [{**owner, "uid": job["metadata"]["uid"]}],
                },
                "spec": copy.deepcopy(template["spec"]),
                "status": {"phase": "Pending"},
            },
        )

    def _schedule(self) -> None:
        waiting = [
            pod
            for pod in self.server.of("pods").values()
            if not pod["spec"].get("nodeName") and pod["status"]["phase"] == "Pending"
        ]
        for pod in waiting:
            gang = [p for p in waiting if _owner(p) == _owner(pod)]
            if pod["spec"].get("schedulerName") == "volcano" and len(gang) > len(self._free(pod)):
                continue  # all or none
            if free := self._free(pod):
                bound = copy.deepcopy(pod)
                bound["spec"]["nodeName"] = free[0]
                self.server.put("pods", bound)

    def _free(self, pod: Json) -> list[str]:
        affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
        allowed = {
            value
            for term in required.get("nodeSelectorTerms", ())
            for requirement in term["matchFields"]
            for value in requirement["values"]
        }
        return [
            found["metadata"]["name"]
            for found in self.server.of("nodes").values()
            if found["metadata"]["name"] in allowed
            and not found["spec"].get("unschedulable")
            and self._has_room(found, pod)
        ]

    def _has_room(self, found: Json, pod: Json) -> bool:
        name = found["metadata"]["name"]
        here = [
            each
            for each in self.server.of("pods").values()
            if each["spec"].get("nodeName") == name
            and each["status"]["phase"] not in ("Failed", "Succeeded")
        ]
        if "podAntiAffinity" in pod["spec"].get("affinity", {}) and any(
            _owner(each) == _owner(pod) for each in here
        ):
            return False
        for resource, count in _limits(pod).items():
            used = sum(int(_limits(each).get(resource, 0)) for each in here)
            if used + int(count) > int(found["status"]["allocatable"].get(resource, 0)):
                return False
        return True

    # --- kubelet ----------------------------------------------------------------------

    async def _keep(self, pod: Json) -> None:
        uid, metadata = pod["metadata"]["uid"], pod["metadata"]
        process = self.containers.get(uid)
        if process is None:
            if not pod["spec"].get("nodeName") or pod["status"]["phase"] != "Pending":
                return
            image = pod["spec"]["containers"][0]["image"]
            if "missing" in image:
                waiting = {"reason": "ImagePullBackOff", "message": f"Back-off pulling {image}"}
                self._report(pod, "Pending", {"waiting": waiting})
                return
            self._report(pod, "Running", {"running": {}})
            self.containers[uid] = await self._start(pod)
        elif process.returncode is not None:
            if "deletionTimestamp" in metadata:
                self.server.remove("pods", metadata["namespace"], metadata["name"])
            elif pod["status"]["phase"] == "Running":
                code = process.returncode % 256
                ended = {"exitCode": code, "reason": "Error" if code else "Completed"}
                if code:  # FallbackToLogsOnError
                    said = (self.place / f"{metadata['name']}.log").read_text("utf-8", "replace")
                    ended["message"] = said[-2048:]
                self._report(pod, "Failed" if code else "Succeeded", {"terminated": ended})
        elif "deletionTimestamp" in metadata and (first := _first(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGTERM)

    def _report(self, pod: Json, phase: str, state: Json) -> None:
        told = copy.deepcopy(pod)
        found = self.server.of("nodes")["", pod["spec"]["nodeName"]]
        status = {"name": "run", "state": state, "ready": phase == "Running"}
        told["status"] |= {
            "phase": phase,
            "podIP": found["status"]["addresses"][0]["address"],
            "containerStatuses": [status],
        }
        if "ring-controller.atlas" in told["metadata"]["labels"] and phase == "Running":
            devices = [{"device_id": str(n), "device_ip": f"192.168.0.{n}"} for n in (4, 5)]
            said = {"pod_name": told["metadata"]["name"], "server_id": told["status"]["podIP"]}
            noted = json.dumps({**said, "devices": devices})  # the device plugin
            told["metadata"]["annotations"][ASCEND_CONFIGURATION] = noted
        if told["status"] != pod["status"]:
            self.server.put("pods", told)

    async def _start(self, pod: Json) -> asyncio.subprocess.Process:
        container = pod["spec"]["containers"][0]
        stage = self.place / pod["metadata"]["name"]
        stage.mkdir()
        mounts = []
        for mount in sorted(container["volumeMounts"], key=lambda each: str(each["mountPath"])):
            if mount["mountPath"].startswith(str(self.shared)):  # others would need an image
                mode = "ro" if mount.get("readOnly") else "rw"
                mounts += [mount["subPath"], mount["mountPath"], mode]
        found = self.server.of("nodes")["", pod["spec"]["nodeName"]]
        fields = {
            "spec.nodeName": pod["spec"]["nodeName"],
            "status.podIP": found["status"]["addresses"][0]["address"],
        }
        variables = {
            each["name"]: fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
            for each in container["env"]
        }
        image = {"PATH": f"/opt/cann/bin:{os.environ['PATH']}", "LD_LIBRARY_PATH": "/opt/cann"}
        devices = {"ASCEND_VISIBLE_DEVICES": "4,5"}  # as its container runtime has it
        volume = next(each for each in pod["spec"]["volumes"] if each["name"] == "suan")
        root = volume.get("hostPath", {}).get("path", str(self.shared))
        script = [*_ENTER, "sh", "-c", _MOUNT, "sh", str(stage), root]
        log = (self.place / f"{pod['metadata']['name']}.log").open("wb")
        with log:
            return await asyncio.create_subprocess_exec(
                *script,
                *mounts,
                "--",
                *container["command"],
                env={**image, **devices, **variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _owner(pod: Json) -> str:
    owners = pod["metadata"].get("ownerReferences", ({"uid": ""},))
    return str(owners[0]["uid"])


def _limits(pod: Json) -> Json:
    found: Json = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
    return {name: count for name, count in found.items() if "/" in name}


def _first(pid: int) -> int:
    """The first process in the namespace that `unshare` made; 0: none yet."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return int(children[0]) if children else 0


@asynccontextmanager
async def running_cluster(place: Path, server: ApiServer | None = None) -> AsyncIterator[Cluster]:
    """Two nodes of eight Ascend cards; the shared volume is `place`/shared."""
    shared = place / "geteilt 共享"
    shared.mkdir(parents=True)
    (place / "kubelet").mkdir()
    async with serving(server or ApiServer()) as opened:
        for name in ("npu1", "npu2"):
            opened.put("nodes", node(name))
        cluster = Cluster(opened, shared, place / "kubelet")
        living = asyncio.create_task(cluster.live())
        try:
            yield cluster
        finally:
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await living
            await cluster.close()
