"""Two brokers, three etcd nodes and one site on this machine, to watch a leader being lost.

    python -m deploy.examples.failover.run FOLDER

from the root of the repository starts all of it in FOLDER, submits a job that takes ten
minutes, and says who leads. Kill the leader from another terminal: the other broker takes
over, the job goes on, and what was killed comes back and stands by. Ctrl-C ends everything.
Needs etcd, openssl and Suan.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.etcd import etcd_is_installed, make_keys, node_commands
from bench.several import leads

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
NODES, ETCD_PORT = 3, 2379
BROKERS = {"a": 7443, "b": 7543}  # and the two ports above each
SITE = "guiyang"
JOB = """\
name: patient
resources:
  accelerators: nvidia-h20:1
run: for second in $(seq 600); do echo "still here at second $second"; sleep 1; done
"""
LOOK_SECONDS, WAIT_SECONDS = 0.5, 60.0
AWAY_SECONDS = 15.0  # of a broker that was killed: so that the other one takes over
AGENT = """\
site: guiyang
broker: [{brokers}]
state_dir: agent
pools:
  - {{name: gpu, accelerator: nvidia-h20, nodes: 1, cards_per_node: 8}}
"""


class Machine:
    """The processes in one folder. `shift` is added to every port."""

    def __init__(self, folder: Path, shift: int) -> None:
        self.folder = folder
        self.shift = shift
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.job = ""
        ports = [port + shift for port in BROKERS.values()]
        self.brokers = [f"127.0.0.1:{port}" for port in ports]
        self.joins = [f"127.0.0.1:{port + 1}" for port in ports]
        self.admin, self.user = folder / "federation/admin", folder / "li.wei"

    def start(self, name: str, *command: object) -> subprocess.Popen[bytes]:
        """A process that writes to NAME.log; Ctrl-C is not for it."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*map(str, command)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"},
            )
        return self.running[name]

    def suan(self, identity: Path, *arguments: object) -> str:
        """What a command of the federation says."""
        own = {"SUAN_ADDRESS": ",".join(self.brokers), "SUAN_IDENTITY": str(identity)}
        said = subprocess.run(
            [BIN / "suan", *map(str, arguments)],
            cwd=self.folder,
            env=os.environ | own | {"SUAN_CONFIG": str(self.folder / "contexts.yaml")},
            capture_output=True,
            text=True,
        )
        if said.returncode:
            sys.exit(said.stderr)
        return said.stdout

    def stop(self) -> None:
        """The job, then agents and brokers by SIGTERM, and etcd last."""
        if self.job:
            self.suan(self.user, "cancel", "--wait", self.job)
        for name in sorted(self.running, key=lambda name: name.startswith("etcd")):
            process = self.running[name]
            process.terminate()
            try:
                process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited {WAIT_SECONDS:g} s for {what}; see the *.log files")
        time.sleep(LOOK_SECONDS)


def start_etcd(machine: Machine) -> None:
    folder = machine.folder / "etcd"
    clients = [ETCD_PORT + 2 * node + machine.shift for node in range(NODES)]
    ports = [*clients, *(port + 1 for port in clients)]
    for name, command in node_commands(folder, ports, make_keys(folder / "keys")).items():
        machine.start(name, *command)


def start_broker(machine: Machine, name: str) -> None:
    """With its file from beside this one, at our ports."""

    def shifted(found: re.Match[str]) -> str:
        return f"127.0.0.1:{int(found[1]) + machine.shift}"

    text = (HERE / f"broker-{name}.yaml").read_text()
    file = machine.folder / f"broker-{name}.yaml"
    file.write_text(re.sub(r"127\.0\.0\.1:(\d+)", shifted, text))
    machine.start(f"broker-{name}", BIN / "suan-broker", "run", "--config", file)


def leader(machine: Machine) -> str:
    health = {name: f"127.0.0.1:{port + 2 + machine.shift}" for name, port in BROKERS.items()}
    return next((name for name, address in health.items() if leads(address)), "")


def join_site(machine: Machine) -> None:
    """Token, join, approval, and the agent, which knows both brokers."""
    folder, admin = machine.folder, machine.admin
    file = folder / "agent.yaml"
    file.write_text(AGENT.format(brokers=", ".join(f'"{each}"' for each in machine.brokers)))
    if not (folder / "agent" / "identity").exists():
        machine.suan(admin, "site", "token", SITE, "--file", "join.yaml")
        joining = machine.start("join", BIN / "suan-agent", "-c", file, "join", "join.yaml")
        wait_until(lambda: json.loads(machine.suan(admin, "site", "pending", "-o", "json")), SITE)
        machine.suan(admin, "site", "approve", SITE, "--yes")
        joining.wait(WAIT_SECONDS)
        del machine.running["join"]
    machine.start("agent", BIN / "suan-agent", "-c", file, "run")


def watch(machine: Machine) -> None:
    """Say who leads at each change; start again what was killed, as systemd would."""
    known, away_since = "", 0.0
    while True:
        now = leader(machine)
        if now != known:
            pid = machine.running[f"broker-{now}"].pid if now else 0
            words = f"broker {now} leads; try: kill -9 {pid}" if now else "nobody leads"
            print(time.strftime("%H:%M:%S"), words, flush=True)
            known = now
        dead = [name for name in BROKERS if machine.running[f"broker-{name}"].poll() is not None]
        away_since = (away_since or time.monotonic()) if dead else 0.0
        if dead and time.monotonic() - away_since > AWAY_SECONDS:
            for name in dead:
                print(time.strftime("%H:%M:%S"), f"broker {name} is started again", flush=True)
                start_broker(machine, name)
        time.sleep(LOOK_SECONDS)


def found(machine: Machine) -> None:
    """The federation's authority, an administrator and a user."""
    if machine.admin.exists():
        return
    address = ("--federation", "failover", "--address", machine.brokers[0])
    machine.suan(machine.admin, "admin", "init", "federation", *address)
    issue = ("admin", "issue", "user", "li.wei", "--ca", "federation/ca", "--out", "li.wei")
    machine.suan(machine.admin, *issue, "--tenant", "team-a")


def begin(machine: Machine) -> None:
    """Everything, up to a job that runs."""
    found(machine)
    start_etcd(machine)
    for name in BROKERS:
        start_broker(machine, name)
    wait_until(lambda: leader(machine), "a broker to lead")
    join_site(machine)
    (machine.folder / "job.yaml").write_text(JOB)
    job = machine.suan(machine.user, "submit", "job.yaml", "-o", "name").strip()
    machine.job = job
    print("In another terminal, with the PATH of this one:")
    print(f"  export SUAN_ADDRESS={','.join(machine.brokers)} SUAN_IDENTITY={machine.user}")
    print(f"  suan logs --follow {job}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shift-ports", type=int, default=0, metavar="N", help="add N to each")
    asked = parser.parse_args(arguments)
    if not (etcd_is_installed() and shutil.which("openssl")):
        sys.exit("etcd or openssl is not installed; on Debian: apt install etcd-server openssl")
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has it ignored
        signal.signal(number, lambda *_: sys.exit(0))
    machine = Machine(asked.folder.absolute(), asked.shift_ports)
    machine.folder.mkdir(parents=True, exist_ok=True)
    try:
        begin(machine)
        watch(machine)
    finally:
        machine.stop()


if __name__ == "__main__":
    main()
