"""A real Slurm on loopback, for tests and benchmarks: a controller and several node daemons.

Its own directory, its own munge daemon and key, ports that were free; nothing of the machine's
own Slurm is read or changed. Every daemon is ended by its process number. The resources are
counts without hardware behind them, which Slurm takes as it takes those of Ascend and Hygon.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.federation import wait_until
from bench.ports import free_ports

TOOLS = ("munged", "slurmctld", "slurmd", "sinfo", "squeue", "sbatch", "scancel", "scontrol")
CALL_SECONDS_MAX = 30.0
DAEMON_SECONDS_MAX = 3.0  # to end when asked; then it is killed
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class SlurmNodes:
    """Nodes of one shape, which are one partition too."""

    partition: str
    prefix: str
    count: int
    gres: str  # as in slurm.conf: "npu:910b:8"
    cpus: int = 16
    memory_mib: int = 4000
    options: str = ""  # of the partition's line

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}{number}" for number in range(1, self.count + 1))


ASCEND = SlurmNodes("ascend", "npu", 2, "npu:910b:8", options="MaxTime=3-00:00:00")
HYGON = SlurmNodes("hygon", "dcu", 1, "dcu:k100:4", options="MaxTime=1-00:00:00")


def environment_of(conf: Path) -> dict[str, str]:
    """What leads Slurm's commands to the Slurm of this file."""
    return {"PATH": _PATH, "SLURM_CONF": str(conf), "LANG": "C.UTF-8"}


def missing_tools() -> tuple[str, ...]:
    """What of Slurm and munge this machine lacks."""
    return tuple(tool for tool in TOOLS if shutil.which(tool, path=_PATH) is None)


class SlurmSite:
    """One running Slurm. `environment` leads its commands to it."""

    def __init__(self, directory: Path, nodes: Sequence[SlurmNodes] = (ASCEND, HYGON)) -> None:
        self.directory = directory
        self.nodes = tuple(nodes)
        self.conf = directory / "slurm.conf"
        self.environment = environment_of(self.conf)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """All daemons; returns once every node can take work."""
        for part in ("state", "spool", "log", "run"):
            (self.directory / part).mkdir(parents=True)
        names = [name for nodes in self.nodes for name in nodes.names]
        ports = free_ports(len(names) + 1)
        self._write_configuration(ports[0], dict(zip(names, ports[1:], strict=True)))
        self._start_munge()
        self.start_controller()
        for name in names:
            self.start_node(name)
        self.wait_idle()

    def wait_idle(self) -> None:
        """Until every node can take work and none has any."""
        names = {name for nodes in self.nodes for name in nodes.names}
        wait_until(lambda: self._idle() == names, "all nodes to be idle")

    def start_controller(self) -> None:
        self._run("slurmctld", "slurmctld", "-D", "-f", str(self.conf))

    def start_node(self, name: str) -> None:
        self._run(name, "slurmd", "-D", "-N", name, "-f", str(self.conf))

    def kill(self, daemon: str) -> None:
        """SIGKILL to "slurmctld" or to the daemon of a node; the jobs' own processes live on."""
        process = self._daemons.pop(daemon)
        process.kill()
        process.wait()

    def call(self, *command: str) -> str:
        """Standard output of one of Slurm's commands; it must succeed."""
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
        return done.stdout

    def log(self, daemon: str) -> str:
        path = self.directory / "log" / f"{daemon}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """End all jobs, then all daemons, and see that none is left."""
        with contextlib.suppress(AssertionError, OSError, subprocess.TimeoutExpired):
            self.call("scancel", "--full", "--signal=KILL", "--user=root")
            self.call("scancel", "--user=root")
            wait_until(lambda: not self.call("squeue", "-h"), "all jobs to be over")
        for process in reversed(self._daemons.values()):
            process.send_signal(signal.SIGTERM)
        for process in self._daemons.values():
            try:
                process.wait(DAEMON_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._daemons.clear()
        end_processes(f"SLURM_CONF={self.conf}")

    # --- what it is made of ------------------------------------------------------

    def _idle(self) -> set[str]:
        done = subprocess.run(
            ("sinfo", "-h", "-N", "-o", "%N %T"),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=CALL_SECONDS_MAX,
            check=False,
        )
        lines = (line.split() for line in done.stdout.splitlines())
        return {name for name, state in lines if state == "idle"}

    def _start_munge(self) -> None:
        run = self.directory / "run"
        key = run / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        places = [
            f"--{option}={run / name}"
            for option, name in (
                ("socket", "munge.socket"),
                ("key-file", "munge.key"),
                ("pid-file", "munge.pid"),
                ("log-file", "munge.log"),
                ("seed-file", "munge.seed"),
            )
        ]
        self._run("munge", "munged", "--foreground", "--force", *places)
        wait_until((run / "munge.socket").exists, "munge to listen")

    def _run(self, name: str, *command: str) -> None:
        path = shutil.which(command[0], path=_PATH)
        assert path is not None, command[0]
        with (self.directory / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                (path, *command[1:]),
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _write_configuration(self, port: int, node_ports: dict[str, int]) -> None:
        place = self.directory
        kinds = sorted({nodes.gres.partition(":")[0] for nodes in self.nodes})
        lines = [
            "ClusterName=loopback",
            "SlurmctldHost=localhost(127.0.0.1)",
            "SlurmUser=root",
            "SlurmdUser=root",
            "AuthType=auth/munge",
            "CredType=cred/munge",
            f"AuthInfo=socket={place}/run/munge.socket",
            f"SlurmctldPort={port}",
            f"StateSaveLocation={place}/state",
            f"SlurmdSpoolDir={place}/spool/%n",
            f"SlurmctldPidFile={place}/run/slurmctld.pid",
            f"SlurmdPidFile={place}/run/%n.pid",
            f"SlurmctldLogFile={place}/log/slurmctld.log",
            f"SlurmdLogFile={place}/log/%n.log",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "JobAcctGatherType=jobacct_gather/none",
            "AccountingStorageType=accounting_storage/none",
            "JobCompType=jobcomp/none",
            "MpiDefault=none",
            "SwitchType=switch/none",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "SchedulerType=sched/backfill",
            "SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1",
            "SlurmdParameters=config_overrides",
            "SlurmctldTimeout=30",
            "SlurmdTimeout=15",
            "KillWait=5",
            "InactiveLimit=0",
            "MinJobAge=300",
            "ReturnToService=2",
            "DefMemPerCPU=100",
            "MaxMemPerCPU=3888",
            f"GresTypes={','.join(kinds)}",
        ]
        gres = []
        for nodes in self.nodes:
            for name in nodes.names:
                lines.append(
                    f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1"
                    f" Port={node_ports[name]} CPUs={nodes.cpus} CoresPerSocket={nodes.cpus}"
                    f" RealMemory={nodes.memory_mib} Gres={nodes.gres}"
                )
                kind, model, count = nodes.gres.split(":")
                gres.append(f"NodeName={name} Name={kind} Type={model} Count={count}")
            members = ",".join(nodes.names)
            options = f" {nodes.options}" if nodes.options else ""
            lines.append(f"PartitionName={nodes.partition} Nodes={members}{options} State=UP")
        self.conf.write_text("\n".join(lines) + "\n")
        (place / "gres.conf").write_text("\n".join(gres) + "\n")


def end_processes(variable: str) -> None:
    """Kill every process that was started with `variable` ("NAME=value"), step daemons too."""
    for pid in _processes_of(variable):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(_alive(pid) for pid in _processes_of(variable)), "all to be gone")


def _alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _processes_of(variable: str) -> list[int]:
    mark = os.fsencode(variable)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


@contextlib.contextmanager
def running_slurm(
    directory: Path, nodes: Sequence[SlurmNodes] = (ASCEND, HYGON)
) -> Iterator[SlurmSite]:
    """A Slurm for the length of a block; ended also where its start fails."""
    site = SlurmSite(directory, nodes)
    try:
        site.start()
        yield site
    finally:
        site.close()
