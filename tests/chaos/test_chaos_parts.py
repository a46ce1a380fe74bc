"""The parts of the harness: schedules of a seed, the proxy's cuts, processes found and ended."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import combinations
from pathlib import Path

import pytest

from tests.chaos.faults import (
    BROKER,
    FAULTS_MAX,
    FAULTS_MIN,
    LEASE_SECONDS,
    SCHEDULE_SECONDS,
    Fault,
    Kind,
    schedule,
)
from tests.chaos.leftovers import kill_all, processes_of, wait_gone
from tests.chaos.proxy import Proxy
from tests.chaos.series import Order, campaign

SILENCE_SECONDS = 0.3
PATIENCE_SECONDS = 20.0


# --- schedules --------------------------------------------------------------------

SCHEDULES = [schedule(seed) for seed in range(300)]


def test_a_seed_has_one_schedule() -> None:
    assert [schedule(seed) for seed in range(300)] == SCHEDULES
    assert len(set(SCHEDULES)) == len(SCHEDULES)


def test_all_kinds_hit_all_targets() -> None:
    done = {(fault.kind, fault.target) for faults in SCHEDULES for fault in faults}
    at_sites = {kind for kind, target in done if target != BROKER}
    assert at_sites == set(Kind) - {Kind.STOP_ALL_FENCES}
    assert {kind for kind, target in done if target == BROKER} == {Kind.KILL, Kind.STOP}
    outlasting = [f for faults in SCHEDULES for f in faults if f.for_seconds > LEASE_SECONDS]
    assert len(outlasting) > len(SCHEDULES) / 2


@pytest.mark.parametrize("faults", SCHEDULES[:50], ids=range(50))
def test_a_schedule_keeps_to_the_assumptions(faults: tuple[Fault, ...]) -> None:
    assert FAULTS_MIN <= len(faults) <= FAULTS_MAX
    for fault in faults:
        assert 0.0 < fault.at_seconds <= fault.end_seconds <= SCHEDULE_SECONDS
    for one, other in combinations(faults, 2):  # in order of their beginning
        if one.target == other.target and one.kind.part == other.kind.part:
            assert one.end_seconds < other.at_seconds
        kinds = {one.kind, other.kind}
        if one.target == other.target and Kind.KILL_FENCE in kinds and one.for_seconds > 3.5:
            assert not kinds & {Kind.KILL, Kind.STOP} or one.end_seconds < other.at_seconds


def test_a_kind_may_be_left_out() -> None:
    without = frozenset({Kind.DISK_FULL})
    assert all(f.kind not in without for seed in range(50) for f in schedule(seed, without))


# --- the proxy ---------------------------------------------------------------------


@contextmanager
def echo() -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each piece with itself, and what has reached it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                while piece := connection.recv(100):
                    heard.append(piece)
                    connection.sendall(piece)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = server.getsockname()
        yield f"{host}:{port}", heard
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def says_nothing(connection: socket.socket) -> bool:
    connection.settimeout(SILENCE_SECONDS)
    try:
        return not connection.recv(100)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(PATIENCE_SECONDS)


@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize("out", [False, True])
def test_a_proxy_can_be_cut_each_way(into: bool, out: bool) -> None:
    with echo() as (target, heard), closing(Proxy(target)) as proxy:
        host, _, port = proxy.address.rpartition(":")
        with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as connection:
            connection.sendall(b"1")
            assert connection.recv(1) == b"1"
            proxy.pass_only(into=into, out=out)
            connection.sendall(b"2")
            assert says_nothing(connection) is not (into and out)
            assert heard == ([b"1", b"2"] if out else [b"1"])
            proxy.pass_only(into=True, out=True)
            if not (into and out):
                assert connection.recv(1) == b"2"


# --- processes ---------------------------------------------------------------------


def test_processes_are_found_by_their_folder_and_ended(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    named = subprocess.Popen([*sleep, f"{folder}/agent.yaml"])
    living = subprocess.Popen(sleep, env={"WITNESS": f"{folder}/witness"})
    other = subprocess.Popen([*sleep, f"{tmp_path}/one-more/agent.yaml"])
    try:
        assert {process.pid for process in processes_of(folder)} == {named.pid, living.pid}
        assert {process.pid for process in wait_gone(folder, 0.1)} == {named.pid, living.pid}
        living.send_signal(signal.SIGSTOP)  # who is stopped dies as well
        threads = [threading.Thread(target=each.wait) for each in (named, living)]
        for thread in threads:
            thread.start()
        kill_all(folder)
        assert wait_gone(folder, 0.0) == []
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert named.returncode == living.returncode == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (named, living, other):
            process.kill()
            process.wait()


def test_a_schedule_without_a_verdict_is_a_violation(tmp_path: Path) -> None:
    order = Order(0, "no such network")
    ((_, verdict),) = campaign([order], 1, tmp_path)
    (violation,) = verdict.violations
    assert violation.promise == "harness"
    assert "no verdict" in violation.text
