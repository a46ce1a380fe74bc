"""What the tests of the agent's processes share: waiting for conditions, and run directories."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.clock import boot_id, boottime_ns, raw_ns

FENCE = Path(__file__).parents[2] / "agent" / "fence.py"
PATIENCE_SECONDS = 30.0  # a bound on hanging, far above what anything here takes


def until(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Wait until `condition` is true; its value."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {PATIENCE_SECONDS} s for {what}"
        time.sleep(0.005)
    return value


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


class FenceRun:
    """One run directory and the fence on it, as an agent would use them."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    def order(
        self,
        *scripts: str,
        setup: str = "",
        time_limit: float = 0.0,
        grace: float = 20.0,
        environment: dict[str, str] | None = None,
    ) -> None:
        """One rank per script."""

        def process(label: str, script: str, rank: int) -> dict[str, Any]:
            return {
                "label": label,
                "argv": ["/bin/sh", "-c", script],
                "environment": {"PATH": os.environ["PATH"], **(environment or {})},
                "directory": str(self.directory),
                "stdout": str(self.directory / f"{rank}.out"),
                "stderr": str(self.directory / f"{rank}.err"),
            }

        ranks = [process(f"rank {rank}", script, rank) for rank, script in enumerate(scripts)]
        phases = [[process("setup on n0", setup, 0)], ranks] if setup else [ranks]
        order = {"time_limit_seconds": time_limit, "grace_seconds": grace, "phases": phases}
        (self.directory / "order.json").write_text(json.dumps(order))

    def lease(
        self, seconds: float = 600.0, lease_class: str = "restart", boot: str | None = None
    ) -> None:
        terms = {
            "class": lease_class,
            "boot_id": boot_id() if boot is None else boot,
            "boottime_ns": boottime_ns() + int(seconds * 1e9),
            "raw_ns": raw_ns() + int(seconds * 1e9),
        }
        text = json.dumps(terms)
        line = f"{zlib.crc32(text.encode()):08x} {text}".ljust(255) + "\n"
        descriptor = os.open(self.directory / "lease", os.O_WRONLY | os.O_CREAT)
        os.pwrite(descriptor, line.encode(), 0)
        os.close(descriptor)

    def lease_end_ns(self) -> int:
        return int(json.loads(self.text("lease").partition(" ")[2])["boottime_ns"])

    def start(self) -> subprocess.Popen[bytes]:
        with (self.directory / "fence.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(FENCE), str(self.directory)],
                start_new_session=True,
                stderr=log,
            )
        return self.process

    def wait(self) -> dict[str, Any]:
        """The exit record, once the fence is gone."""
        assert self.process is not None
        self.process.wait(PATIENCE_SECONDS)
        return self.record()

    def record(self) -> dict[str, Any]:
        assert (self.directory / "exit.json").exists(), (self.directory / "fence.log").read_text()
        record: dict[str, Any] = json.loads((self.directory / "exit.json").read_text())
        return record

    def run(self, *scripts: str, **order: Any) -> dict[str, Any]:
        """Order, lease, start and wait in one."""
        self.order(*scripts, **order)
        self.lease()
        self.start()
        return self.wait()

    def text(self, name: str) -> str:
        path = self.directory / name
        return path.read_text() if path.exists() else ""

    def wait_text(self, name: str) -> str:
        return str(until(lambda: self.text(name).strip(), f"{name} to be written"))

    def wait_pid(self, name: str) -> int:
        """A process number that a script wrote, with its newline."""
        until(lambda: self.text(name).endswith("\n"), f"{name} to be written")
        return int(self.text(name))

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # keeper and fence
            self.process.wait()
