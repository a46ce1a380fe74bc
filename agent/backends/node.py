# ruff: noqa: PTH105, PTH108, PTH110, PTH112, PTH118, PTH120, PTH123
"""Starts the fence on one node of a run, and keeps its lease in the node's own time.

    python3 -I -S node.py STATE_DIRECTORY RUN_NAME          as a task of Slurm, which names the node
    python3 -I -S node.py STATE_DIRECTORY RUN_NAME RANK     held by whoever keeps its input open

Needs Python 3.8 on Linux, the standard library, and `fence.py` beside it. A node does not know
the agent's clocks, and wall clocks differ; so it asks: it notes its own time, writes
`asks/RUN.NODE`, and the agent answers how many seconds are left. The answer counts from the
moment of the question, which lies before it, so that a lease ends here no later than there.
Without an answer nothing begins. If this node's part ends badly the other nodes are told, so
that a gang ends whole. The fence is forked, not started anew: it starts once for each job, and a
second interpreter would cost more than all the rest.

Held, it leaves its starter, whose manager may kill all that descends from it: the job keeps its
grace. The end of its input says that the starter is gone, and the job is told to end; the end
of its output, with the exit status as text, says that all is over.
"""

from __future__ import annotations

import binascii
import contextlib
import importlib.util
import json
import os
import select
import signal
import sys
import time
from typing import Any, NoReturn, Optional  # Python 3.8

POLL_SECONDS = 0.05  # for an answer
FIRST_SECONDS_MAX = 120.0  # without any answer the run does not begin
ASK_SECONDS_MIN, ASK_SECONDS_MAX = 1.0, 10.0  # between two questions
LEASE_BYTES = 255
PEER_ENDED = "another node of the gang ended: "
DEVICE_VARIABLES = (
    "ASCEND_VISIBLE_DEVICES",
    "ASCEND_RT_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "CUDA_VISIBLE_DEVICES",
)
# Set by the cluster manager for this part of the run; a job keeps them.
KEPT = (*DEVICE_VARIABLES, "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_CLUSTER_NAME")


class Node:
    """This node's part of a run."""

    def __init__(self, state: str, name: str, rank: str = "") -> None:
        self.run = os.path.join(state, "runs", name)
        nodes = json.loads(read_text(os.path.join(self.run, "nodes.json")))["names"]
        self.rank = int(rank) if rank else self.own_rank(nodes)
        self.held = bool(rank)
        self.directories = [os.path.join(self.run, "nodes", str(i)) for i in range(len(nodes))]
        self.directory = self.directories[self.rank]
        own = os.path.join(self.run, "asks")  # where this is not the agent's user
        asks = own if os.path.isdir(own) else os.path.join(state, "asks")
        self.ask_path = os.path.join(asks, f"{name}.{self.rank}")
        self.asked = 0
        self.nonce = ""
        self.asked_ns = (0, 0)
        self.remaining_seconds = 0.0

    def own_rank(self, nodes: list[str]) -> int:
        """Of a node whom nobody told: by the name that the cluster manager gave it."""
        return nodes.index(os.environ["SLURMD_NODENAME"])

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def ask(self) -> None:
        self.asked += 1
        self.nonce = f"{os.getpid()}-{self.asked}"
        self.asked_ns = clocks_ns()
        text = json.dumps({"nonce": self.nonce})
        with contextlib.suppress(OSError):  # a full disk: ask again
            replace(self.ask_path, text)

    def take_answer(self) -> bool:
        """Write the lease that the agent's answer gives; False: there is none yet."""
        try:
            answer = json.loads(read_text(self.path("answer")))
        except ValueError:
            return False
        if answer["nonce"] != self.nonce:
            return False
        self.nonce = ""
        self.remaining_seconds = answer["remaining_seconds"]
        left_ns = int(self.remaining_seconds * 1e9)
        terms = {
            "class": answer["class"],
            "boot_id": read_text("/proc/sys/kernel/random/boot_id"),
            "boottime_ns": self.asked_ns[0] + left_ns,
            "raw_ns": self.asked_ns[1] + left_ns,
        }
        text = json.dumps(terms)
        checksum = binascii.crc32(text.encode())
        line = f"{checksum:08x} {text}".ljust(LEASE_BYTES) + "\n"
        descriptor = os.open(self.path("lease"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, line.encode(), 0)
        finally:
            os.close(descriptor)
        return True

    def wait_lease(self) -> bool:
        """Until the first answer, a wish to stop, or for too long."""
        end = time.monotonic() + FIRST_SECONDS_MAX
        self.ask()
        asked_at = time.monotonic()
        while not self.take_answer():
            now = time.monotonic()
            if now >= end or any(os.path.exists(self.path(word)) for word in ("stop", "started")):
                return False  # too late, or the agent has ended this part for good
            if now - asked_at >= ASK_SECONDS_MAX:
                self.ask()
                asked_at = now
            time.sleep(POLL_SECONDS)
        return True

    def adopt_variables(self) -> None:
        """What the manager set for this part goes before what the agent thought of."""
        given = {name: os.environ[name] for name in KEPT if os.environ.get(name)}
        order = json.loads(read_text(self.path("order.json")))
        devices = any(name in given for name in DEVICE_VARIABLES)
        for processes in order["phases"]:
            for process in processes:
                environment = process["environment"]
                if devices:
                    for name in DEVICE_VARIABLES:
                        environment.pop(name, None)
                environment.update(given)
        replace(self.path("order.json"), json.dumps(order))

    def keep(self, fence: int) -> None:
        """Renew the lease until the fence is gone; tell it to end if the starter is."""
        asked_at = time.monotonic()
        while not os.waitpid(fence, os.WNOHANG)[0]:
            if self.held and starter_is_gone():
                self.held = False
                os.kill(fence, signal.SIGTERM)
            pause = POLL_SECONDS if self.nonce else ASK_SECONDS_MIN
            signal.sigtimedwait((signal.SIGCHLD,), pause)
            now = time.monotonic()
            wait = min(max(self.remaining_seconds / 4, ASK_SECONDS_MIN), ASK_SECONDS_MAX)
            with contextlib.suppress(OSError):
                if self.nonce and self.take_answer():
                    continue
            if now - asked_at >= wait:
                self.ask()
                asked_at = now

    def tell_peers(self) -> int:
        """After a bad end, ask the other nodes to end; this node's exit status."""
        record = self.record()
        if record is not None and record["reason"] == "Exited" and not record["exit_code"]:
            return 0
        why = record["detail"] or record["reason"] if record else "its fence did not begin"
        for directory in self.directories:
            stop = os.path.join(directory, "stop")
            if directory != self.directory and not os.path.exists(stop):
                with contextlib.suppress(OSError):
                    replace(stop, PEER_ENDED + why)
        return 1

    def record(self) -> Optional[dict[str, Any]]:  # noqa: UP045
        try:
            return dict(json.loads(read_text(self.path("exit.json"))))
        except ValueError:
            return None


def leave_starter() -> None:
    """Go on in a session of its own, as nobody's child."""
    if os.fork():
        os._exit(0)
    os.setsid()


def starter_is_gone() -> bool:
    readable, _, _ = select.select((0,), (), (), 0)
    return bool(readable) and not os.read(0, 4096)


def clocks_ns() -> tuple[int, int]:
    boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return boottime_ns, time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def replace(path: str, text: str) -> None:
    new = f"{path}.{os.getpid()}.new"
    with open(new, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(new, path)


def start_fence(node: Node) -> int:
    """Fork a process that is the fence of this node's part; its number."""
    path = os.path.join(os.path.dirname(__file__), "fence.py")
    spec = importlib.util.spec_from_file_location("fence", path)
    assert spec is not None and spec.loader is not None
    fence = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fence)
    pid = os.fork()
    if not pid:
        be_fence(fence, node)
    return pid


def be_fence(fence: Any, node: Node) -> NoReturn:
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        log = os.open(node.path("fence.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 2)
        os.environ.clear()
        status = fence.main([node.directory])
    finally:
        os._exit(status)


def main(arguments: list[str]) -> int:
    if len(arguments) > 2:
        leave_starter()
    # Slurm signals every process of a step; the fence is the one that acts on it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    node = Node(*arguments)
    # Without a lease the fence begins all the same: it says why it does not start anything.
    if node.wait_lease():
        node.adopt_variables()
    node.keep(start_fence(node))
    with contextlib.suppress(OSError):
        os.unlink(node.ask_path)
    status = node.tell_peers()
    if len(arguments) > 2:
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(1, str(status).encode())
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
