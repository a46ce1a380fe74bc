"""A real sshd on loopback for tests, where OpenSSH's server and paramiko are installed."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import until

from agent.staging.sftp import SftpAccount
from bench.ports import free_ports

SERVER = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") or ""
MISSING = [
    name
    for name, there in (
        ("sshd (openssh-server)", SERVER),
        ("ssh-keygen (openssh-client)", shutil.which("ssh-keygen")),
        ("paramiko (suan[sftp])", importlib.util.find_spec("paramiko")),
    )
    if not there
]
needs_sshd = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")


@dataclass(frozen=True)
class SshServer:
    """A server, and an account that it lets in."""

    port: int
    account: SftpAccount
    host_key: Path

    def url(self, path: Path | str) -> str:
        return f"sftp://127.0.0.1:{self.port}{path}"

    def known_as(self, port: int) -> str:
        """The line of known_hosts for this server behind another port."""
        return f"[127.0.0.1]:{port} {self.host_key.with_suffix('.pub').read_text()}"


def new_key(place: Path) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return place


@contextlib.contextmanager
def ssh_serving(base: Path) -> Iterator[SshServer]:
    base.mkdir(mode=0o700)
    host_key, key = new_key(base / "host"), new_key(base / "user")
    shutil.copy(key.with_suffix(".pub"), base / "authorized")
    (port,) = free_ports(1)
    settings = base / "sshd_config"
    settings.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\n"
        f"AuthorizedKeysFile {base}/authorized\nStrictModes no\nUsePAM no\nMaxStartups 100\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it insists
    server = SshServer(port, SftpAccount(getpass.getuser(), key, base / "known_hosts"), host_key)
    (base / "known_hosts").write_text(server.known_as(port))
    running = subprocess.Popen(
        [SERVER, "-D", "-e", "-f", str(settings)],
        stdin=subprocess.DEVNULL,
        stderr=(base / "log").open("wb"),
    )
    try:
        until(lambda: _answers(port), "sshd")
        yield server
    finally:
        running.terminate()
        running.wait(30)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as found:
            return found.recv(4) == b"SSH-"
    except OSError:
        return False
