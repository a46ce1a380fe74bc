"""Ports that tests and benchmarks get for their servers: free, and never two of them the same."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bench import ports
from bench.ports import free_ports

ASK = "from bench.ports import free_ports; print(*(free_ports(1)[0] for _ in range(100)))"


def test_processes_that_ask_at_once_never_get_the_same(tmp_path: Path) -> None:
    own = os.environ | {"TMPDIR": str(tmp_path)}
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ASK],
            cwd=Path(__file__).parents[1],
            env=own,
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    got = [port for each in asking for port in each.communicate(timeout=60)[0].split()]
    assert len(set(got)) == len(got) == 300


def test_a_port_that_is_taken_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = free_ports(2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ports, "PORTS", (taken, free))
    with socket.create_server(("127.0.0.1", taken)):
        assert free_ports(1) == free_ports(1) == [free]
        with pytest.raises(OSError, match="no 2 free ports"):
            free_ports(2)
    assert sorted(free_ports(2)) == sorted([taken, free])
