# ruff: noqa: PTH100, PTH108, PTH110, PTH118, PTH120
"""The entry of a pod: waits for the gang, then keeps the fence of this node as Slurm's nodes do.

    python3 -I -S pod.py STATE_DIRECTORY RUN_NAME WAIT_SECONDS [ranktable]

Needs Python 3.8 on Linux, the standard library, and `node.py` and `fence.py` beside it. It
says at which address its pod is and waits for the others to say so, because Kubernetes alone
does not start a gang whole; while any has not come nothing begins. Then it asks the agent for
the lease, over the shared volume and in this node's own time (see `node`), and starts the
fence. As the container's first process it hands kubelet's SIGTERM on to the fence.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import sys
import time
from typing import Any

POLL_SECONDS = 0.1
NEVER_BEGAN = 3  # exit status; as the fence's, when another was faster
PATH_DEFAULT = "/usr/local/bin:/usr/bin:/bin"  # what the agent puts where nobody said a PATH


def load(name: str) -> Any:
    """The module of that name beside this file."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


node = load("node")


class Pod(node.Node):  # type: ignore[misc, name-defined]
    """This pod's part of a run."""

    def __init__(self, state: str, name: str, wait_seconds: float, needs_ranktable: bool) -> None:
        self.wait_seconds = wait_seconds
        self.needs_ranktable = needs_ranktable
        self.told = False  # to end, before anything began
        super().__init__(state, name)

    def own_rank(self, nodes: list[str]) -> int:
        return nodes.index(os.environ["SUAN_NODE_NAME"])

    def note_told(self, _number: int, _frame: Any) -> None:
        self.told = True

    def wait_gang(self) -> bool:
        """Until every pod has said its address; False when one does not come in time."""
        node.replace(self.path("address"), os.environ.get("SUAN_POD_ADDRESS", ""))
        end = time.monotonic() + self.wait_seconds
        while not self.is_complete():
            ended = any(os.path.exists(self.path(word)) for word in ("stop", "started"))
            if ended or self.told or time.monotonic() >= end:
                return False
            time.sleep(POLL_SECONDS)
        return not self.told

    def is_complete(self) -> bool:
        if not all(self.addresses()):
            return False
        if not self.needs_ranktable:
            return True
        with contextlib.suppress(ValueError):
            table = json.loads(node.read_text(os.path.join(self.run, "ranktable", "hccl.json")))
            return bool(table["status"] == "completed")
        return False

    def addresses(self) -> list[str]:
        return [node.read_text(os.path.join(each, "address")) for each in self.directories]

    def adopt_variables(self) -> None:
        """The image's variables lie below all others; addresses and devices are the pods' own."""
        addresses = self.addresses()
        image = {k: v for k, v in os.environ.items() if not k.startswith("SUAN_")}
        order = json.loads(node.read_text(self.path("order.json")))
        for processes in order["phases"]:
            for process in processes:
                process["environment"] = self.variables(process["environment"], image, addresses)
                if not os.path.exists(process["argv"][0]):
                    process["argv"][0] = "/bin/sh"
        node.replace(self.path("order.json"), json.dumps(order))

    def variables(
        self, own: dict[str, str], image: dict[str, str], addresses: list[str]
    ) -> dict[str, str]:
        if own.get("PATH") == PATH_DEFAULT and "PATH" in image:
            del own["PATH"]
        for name in node.DEVICE_VARIABLES:  # kubelet chose them, and may number them anew
            own.pop(name, None)
        planned = own["SUAN_NODE_IPS"].split("\n")
        if own["MASTER_ADDR"] == planned[0]:  # else the job has chosen its own
            own["MASTER_ADDR"] = addresses[0]
        own["SUAN_NODE_IPS"] = "\n".join(addresses)
        own["SUAN_HOSTFILE"] = self.hostfile(own["SUAN_HOSTFILE"], addresses)
        if self.needs_ranktable:
            own["RANK_TABLE_FILE"] = "/user/serverid/devindex/config/hccl.json"
        return {**image, **own}

    def hostfile(self, planned: str, addresses: list[str]) -> str:
        """The place of one with the pods' addresses."""
        path = str(self.path("hostfile"))
        if planned != path:
            slots = node.read_text(planned).partition("\n")[0].rpartition("=")[2]
            node.replace(path, "".join(f"{each} slots={slots}\n" for each in addresses))
        return path

    def keep(self, fence: int) -> None:
        # Kubelet signals this process alone; the fence is the one that acts on it.
        signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(fence, number))
        if self.told:
            os.kill(fence, signal.SIGTERM)
        super().keep(fence)


def main(arguments: list[str]) -> int:
    state, name, wait_seconds, *wishes = arguments
    pod = Pod(state, name, float(wait_seconds), "ranktable" in wishes)
    signal.signal(signal.SIGTERM, pod.note_told)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    if not pod.wait_gang():
        return NEVER_BEGAN  # the agent sees to it that it never does
    if pod.wait_lease():
        pod.adopt_variables()
    pod.keep(node.start_fence(pod))
    with contextlib.suppress(OSError):
        os.unlink(pod.ask_path)
    return int(pod.tell_peers())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
